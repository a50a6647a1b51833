"""The Ed25519 key with which a host signs, and the public keys that a verifier trusts.

A directory holds `signing.pem` (private, 0600) and `public/KEY.pem` of this and all former keys. All calls block.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from storage.errors import IntegrityBroken, StorageMisused, StoreForbidden
from storage.inputs import named
from storage.ownership import give_to_owner

DIRECTORY: Final = "keys"
"""Under the state directory."""

_PRIVATE: Final = "signing.pem"
_PUBLIC: Final = "public"


def key_id_of(key: Ed25519PublicKey) -> str:
    """Return the name of a key: the beginning of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


class PublicKeys:
    """Keys whose signatures count, by their ids."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id_of(key): key for key in keys}

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Self:
        """Read PEM files, and all `*.pem` of directories.

        Errors: `StorageMisused` for a file that is no Ed25519 public key.
        """
        keys = []
        for path in paths:
            for file in sorted(path.glob("*.pem")) if path.is_dir() else [path]:
                keys.append(_read_public(file))
        return cls(keys)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Ids of the keys, sorted."""
        return tuple(sorted(self._keys))

    def verify(self, key_id: str, signature: bytes, message: bytes, *, name: str) -> None:
        """Raise `IntegrityBroken` unless the signature is that of the named, trusted key; `name` is for the message."""
        key = self._keys.get(key_id)
        if key is None:
            known = ", ".join(self.key_ids) or "none"
            raise IntegrityBroken(f"{name} is signed with key {key_id[:64]!r}, which is not trusted (trusted: {known})")
        try:
            key.verify(signature, message)
        except InvalidSignature:
            raise IntegrityBroken(f"{name} was changed: the signature of key {key_id} does not fit") from None


class SigningKeys:
    """The signing key of this host and the public keys that have been in use."""

    def __init__(self, directory: Path, private: Ed25519PrivateKey) -> None:
        self._directory = directory
        self._private = private

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Read the key; make one when there is none. Several processes may do so at once: one key wins.

        Errors: `StoreForbidden` when the directory cannot be used, `StorageMisused` for a damaged or open key.
        """
        path = directory / _PRIVATE
        try:
            if not path.exists():
                if not directory.exists():
                    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                    give_to_owner(directory, directory.parent)
                _place(path, _pem_of(Ed25519PrivateKey.generate()), replace=False)
            if path.stat().st_mode & 0o077:
                raise StorageMisused(f"{path} can be read by other users: `chmod 600 {path}`")
            keys = cls(directory, _read_private(path))
            keys._keep_public()
        except OSError as error:
            raise StoreForbidden(f"{error.filename or path}: {error.strerror}: give this user access") from error
        return keys

    @property
    def key_id(self) -> str:
        """Id of the present key."""
        return key_id_of(self._private.public_key())

    @property
    def public_directory(self) -> Path:
        """Where the public keys are."""
        return self._directory / _PUBLIC

    @property
    def public_pem(self) -> bytes:
        """The present public key as PEM."""
        return self._private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def certificate(self) -> bytes:
        """A self-signed X.509 certificate (DER) of the present key, for forms that carry keys so; always the same.

        Nobody vouches for it, and it has no end (RFC 5280 section 4.1.2.5): the key counts.
        """
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Tandem signing key {self.key_id}")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._private.public_key())
            .serial_number(int(self.key_id, 16) >> 1 or 1)
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
        )
        return builder.sign(self._private, None).public_bytes(serialization.Encoding.DER)

    def trusted(self) -> PublicKeys:
        """Return the keys that this host trusts: its own, former ones, and what was put into the public directory."""
        return PublicKeys.read([self.public_directory])

    def sign(self, message: bytes) -> tuple[str, bytes]:
        """Return key id and signature."""
        return self.key_id, self._private.sign(message)

    def rotate(self) -> SigningKeys:
        """Replace the private key by a new one; the former public key stays trusted."""
        private = Ed25519PrivateKey.generate()
        successor = SigningKeys(self._directory, private)
        try:
            # Public part first: nothing may ever be signed with a key that nobody can check.
            successor._keep_public()
            _place(self._directory / _PRIVATE, _pem_of(private), replace=True)
        except OSError as error:
            raise StoreForbidden(f"{error.filename}: {error.strerror}: give this user access") from error
        return successor

    def _keep_public(self) -> None:
        path = self.public_directory / f"{self.key_id}.pem"
        if not path.exists():
            self.public_directory.mkdir(mode=0o755, exist_ok=True)
            give_to_owner(self.public_directory, self._directory)
            _place(path, self.public_pem, replace=True, mode=0o644)


def _pem_of(private: Ed25519PrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _place(path: Path, content: bytes, *, replace: bool, mode: int = 0o600) -> None:
    """Write a small file durably; without `replace`, a file that is there already stays."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            give_to_owner(descriptor, path.parent)
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StorageMisused(f"{path} is not a private key without passphrase: restore it from a backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StorageMisused(f"{path} is not an Ed25519 key")
    return key


def _read_public(path: Path) -> Ed25519PublicKey:
    with named(path, "give a readable PEM file"):
        data = path.read_bytes()
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StorageMisused(f"{path} is not a public key in PEM form") from error
    if not isinstance(key, Ed25519PublicKey):
        raise StorageMisused(f"{path} is not an Ed25519 public key")
    return key
