"""Proof that records are what they were: hash chain, signatures, keys. The forms are in docs/integrity.md.

`chain` checks the audit log, `keys` holds the signing key of a host and the public keys it trusts, `signed` writes and
reads signed documents, `anchor` is the head of the audit log to be kept elsewhere, `manifest` (with `merkle`) states
what a recording is, `verify` checks recordings by their manifests, `jws` signs what other systems read. Nothing here
needs a database.
"""

from storage.integrity.anchor import Anchor
from storage.integrity.chain import GENESIS, ChainCheck, ChainEntry, ChainFault, digest_of
from storage.integrity.keys import PublicKeys, SigningKeys
from storage.integrity.signed import read_signed, sign_document

__all__ = [
    "GENESIS",
    "Anchor",
    "ChainCheck",
    "ChainEntry",
    "ChainFault",
    "PublicKeys",
    "SigningKeys",
    "digest_of",
    "read_signed",
    "sign_document",
]
