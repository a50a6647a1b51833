"""Encryption of finished audio to public keys, as docs/encryption.md has it. Needs neither catalog nor recorder.

`chunks` is the form of the audio, `recipients` wraps and unwraps data keys, `envelope` is the file of wrapped keys. Who
encrypts holds no private key.
"""

from storage.encryption.chunks import ClearReader, encrypt_file
from storage.encryption.envelope import Envelope
from storage.encryption.recipients import PrivateKey, Recipient, load_private_key, load_recipients

__all__ = ["ClearReader", "Envelope", "PrivateKey", "Recipient", "encrypt_file", "load_private_key", "load_recipients"]
