"""Seals checkpoints: they hold SRTP keys, which must not lie readable in the catalog, its backups, or the journal.

AES-256-GCM with a key of its own for each segment, derived from the site's key, so that no key ever seals many things.
Every host that may take a session over needs the same file of the site's keys. Does not decide what is sealed.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recorder.errors import RecorderError, SetupError

_FORMAT: Final = b"TSC1"
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}\Z")
_KEY_BYTES: Final = 32
_MARK_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_COMMENT: Final = "# The site's key: seals what the catalog and the journal keep of live sessions."
_CLOSED_TO_OTHERS: Final = 0o077


class SealedError(RecorderError):
    """Remote: what was stored cannot be opened: it is damaged, or was sealed under a key that this host lacks."""


class Vault:
    """Seals and opens.

    Args:
        keys: the site's keys, 32 bytes each; the first one seals, each one opens.

    """

    def __init__(self, keys: list[bytes]) -> None:
        self._sealing = _mark(keys[0])
        self._keys = {_mark(key): key for key in keys}

    def seal(self, data: bytes, segment: UUID) -> bytes:
        """Return data that only `open` with the same segment can read."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(_derived(self._keys[self._sealing], segment))
        return _FORMAT + self._sealing + nonce + cipher.encrypt(nonce, data, _FORMAT)

    def open(self, sealed: bytes, segment: UUID) -> bytes:
        """Return what was sealed.

        Raises:
            SealedError: it is damaged, of another segment, or sealed under a key that is not here.

        """
        start = len(_FORMAT) + _MARK_BYTES
        mark, nonce = sealed[len(_FORMAT) : start], sealed[start : start + _NONCE_BYTES]
        if sealed[: len(_FORMAT)] != _FORMAT or len(nonce) < _NONCE_BYTES:
            raise SealedError("not a sealed checkpoint")
        if mark not in self._keys:
            raise SealedError("sealed under another site key: give every host the same checkpoints.key_file")
        try:
            return AESGCM(_derived(self._keys[mark], segment)).decrypt(nonce, sealed[start + _NONCE_BYTES :], _FORMAT)
        except InvalidTag:
            raise SealedError("a sealed checkpoint is damaged") from None


def open_vault(path: Path) -> Vault:
    """Read the file of the site's keys: 64 hexadecimal digits a line, the newest first, `#` for comments.

    Raises:
        SetupError: it is missing, open to other users, or holds something else.

    """
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise SetupError(
            f"checkpoints.key_file {path}: {error.strerror}; give a file that this user can read"
        ) from None
    if mode & _CLOSED_TO_OTHERS:
        raise SetupError(f"checkpoints.key_file {path} is open to other users: chmod 600 it")
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys or not all(_KEY.match(key) for key in keys):
        raise SetupError(f"checkpoints.key_file {path}: each line has to be a key of 64 hexadecimal digits")
    return Vault([bytes.fromhex(key) for key in keys])


def make_key_file(path: Path) -> None:
    """Make a file with a fresh key, durable, unless there is one.

    Raises:
        SetupError: it cannot be made.

    """
    fresh = f"{_COMMENT}\n{secrets.token_hex(_KEY_BYTES)}\n"
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        if path.exists():
            return
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, fresh.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # A link never replaces: two that start at once agree on the first one's key.
        with suppress(FileExistsError):
            os.link(temporary, path)
        os.unlink(temporary)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise SetupError(f"checkpoints.key_file {path}: {error.strerror}; make its directory writable") from None


def _mark(key: bytes) -> bytes:
    """Return what tells keys apart without telling anything of them."""
    return hashlib.blake2b(key, digest_size=_MARK_BYTES, person=b"tandem-mark").digest()


def _derived(key: bytes, segment: UUID) -> bytes:
    return hashlib.blake2b(segment.bytes, key=key, digest_size=_KEY_BYTES, person=b"tandem-seal").digest()
