"""Recipients of encrypted audio: X25519 keys, elliptic curve and RSA certificates; wrapping a data key for each.

The schemes are in docs/encryption.md. Loading reads files; the rest is pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.errors import IntegrityBroken, StorageMisused
from storage.inputs import named

PublicKey = X25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = X25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

MIN_RSA_BITS: Final = 2048

_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"tandem-rsa/1")
_CURVES: Final = ("secp256r1", "secp384r1")
_NONCE: Final = bytes(12)
"""The wrapping key is used once: its ephemeral key is."""
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key that one recipient can unwrap."""

    key: str
    """Id of the recipient's public key."""
    name: str
    scheme: str
    public: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who shall be able to decrypt."""

    name: str
    public_key: PublicKey

    @property
    def key_id(self) -> str:
        """The beginning of the SHA-256 of the public key."""
        return key_id_of(self.public_key)

    def wrap(self, data_key: bytes) -> WrappedKey:
        """Wrap a data key; what is returned is worth nothing without the private key."""
        key = self.public_key
        if isinstance(key, rsa.RSAPublicKey):
            return WrappedKey(self.key_id, self.name, "rsa-oaep", b"", key.encrypt(data_key, _OAEP))
        if isinstance(key, X25519PublicKey):
            ephemeral = X25519PrivateKey.generate()
            scheme, public, shared = "x25519", _raw(ephemeral.public_key()), ephemeral.exchange(key)
        else:
            one_time = ec.generate_private_key(key.curve)
            scheme, public, shared = "ecdh", _raw(one_time.public_key()), one_time.exchange(ec.ECDH(), key)
        wrapped = _wrapping(shared, public + _raw(key), scheme).encrypt(_NONCE, data_key, None)
        return WrappedKey(self.key_id, self.name, scheme, public, wrapped)


def unwrap(wrapped: WrappedKey, private_key: PrivateKey) -> bytes:
    """Return the data key; `IntegrityBroken` when the wrapped key was changed."""
    try:
        if isinstance(private_key, rsa.RSAPrivateKey):
            return private_key.decrypt(wrapped.wrapped, _OAEP)
        if isinstance(private_key, X25519PrivateKey):
            shared = private_key.exchange(X25519PublicKey.from_public_bytes(wrapped.public))
        else:
            public = ec.EllipticCurvePublicKey.from_encoded_point(private_key.curve, wrapped.public)
            shared = private_key.exchange(ec.ECDH(), public)
        salt = wrapped.public + _raw(private_key.public_key())
        return _wrapping(shared, salt, wrapped.scheme).decrypt(_NONCE, wrapped.wrapped, None)
    except (ValueError, InvalidTag) as error:
        raise IntegrityBroken(f"the data key wrapped for {wrapped.name!r} was changed") from error


def key_id_of(key: PublicKey) -> str:
    """Return the id under which a recipient's key is known."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:16]


def load_recipients(paths: Sequence[Path]) -> tuple[Recipient, ...]:
    """Read recipients from PEM files, each a certificate or a public key.

    Errors: `StorageMisused` names the file that cannot be used, and why.
    """
    recipients = tuple(_load(path) for path in paths)
    if len({recipient.key_id for recipient in recipients}) != len(recipients):
        raise StorageMisused("two of the recipients are the same key: name each once")
    return recipients


def load_private_key(path: Path, ask_passphrase: Callable[[], str]) -> PrivateKey:
    """Read a private key from a PEM file; the passphrase is asked for only when there is one.

    Errors: `StorageMisused` for what is no such key, and for a wrong passphrase.
    """
    with named(path, "give a readable PEM file"):
        data = path.read_bytes()
    try:
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except TypeError:
            key = serialization.load_pem_private_key(data, password=ask_passphrase().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StorageMisused(f"{path} is not a private key in PEM form, or the passphrase is wrong") from error
    if not isinstance(key, X25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise StorageMisused(f"{path} is a key for signatures only; X25519, P-256, P-384 and RSA keys can decrypt")
    return key


def _load(path: Path) -> Recipient:
    with named(path, "give a readable PEM file"):
        data = path.read_bytes()
    name = path.stem
    try:
        if _CERTIFICATE in data:
            certificate = x509.load_pem_x509_certificate(data)
            key: object = certificate.public_key()
            name = certificate.subject.rfc4514_string() or name
        else:
            key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StorageMisused(f"{path} is neither a certificate nor a public key in PEM form") from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise StorageMisused(f"{path} has an RSA key of {key.key_size} bits; at least {MIN_RSA_BITS} are needed")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in _CURVES:
        raise StorageMisused(f"{path} is on curve {key.curve.name}; use P-256 or P-384")
    if not isinstance(key, PublicKey):
        raise StorageMisused(f"{path} is a key for signatures only; use X25519, P-256, P-384 or RSA")
    return Recipient(name, key)


def _raw(key: X25519PublicKey | ec.EllipticCurvePublicKey) -> bytes:
    if isinstance(key, X25519PublicKey):
        return key.public_bytes_raw()
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _wrapping(shared: bytes, salt: bytes, scheme: str) -> AESGCM:
    info = f"tandem-{scheme}/1".encode()
    return AESGCM(HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(shared))
