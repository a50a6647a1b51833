"""Audio in chunks of AES-256-GCM: written in one pass, read from any position. The form is in docs/encryption.md."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.errors import IntegrityBroken

MAGIC: Final = b"TANDEMC1"
CHUNK: Final = 65536
"""Bytes of clear text in a chunk: a seek decrypts at most this much for nothing."""
TAG: Final = 16
DATA_KEY: Final = 32
SALT: Final = 16

_HEADER: Final = struct.Struct(">8sI16s")
_INFO: Final = b"tandem-file/1"
_MAX_CHUNK: Final = 1 << 24
"""What a reader accepts; a header that says more is damaged or hostile."""


@dataclass(frozen=True, slots=True)
class ClearFacts:
    """What was encrypted."""

    size_bytes: int
    sha256: bytes


def encrypt_file(source: Path, target: Path, data_key: bytes, *, chunk: int = CHUNK) -> ClearFacts:
    """Encrypt a file into another one and return the facts of the clear text. The caller syncs the target.

    Obligation: `data_key` is random, and used for this file and for what takes its place only; the salt is another each
    time.
    """
    header = _HEADER.pack(MAGIC, chunk, os.urandom(SALT))
    cipher = _cipher(data_key, header)
    digest = hashlib.sha256()
    size = 0
    with source.open("rb") as reader, target.open("wb") as writer:
        writer.write(header)
        number = 0
        block = reader.read(chunk)
        while True:
            following = reader.read(chunk)
            digest.update(block)
            size += len(block)
            writer.write(cipher.encrypt(_nonce(number, last=not following), block, header))
            if not following:
                return ClearFacts(size, digest.digest())
            block = following
            number += 1


class ClearReader:
    """Reads the clear text of encrypted audio.

    Args:
        read: gives so many bytes from a position of the encrypted file, fewer only at its end.
        size_bytes: of the encrypted file.
        data_key: 32 bytes; see `storage.encryption.envelope`.
        name: of the file, for messages.

    Errors of all calls: `IntegrityBroken` for a changed, cut or foreign file, and for a wrong key.

    """

    def __init__(self, read: Callable[[int, int], bytes], size_bytes: int, data_key: bytes, *, name: str) -> None:
        self._read = read
        self._name = name
        self._header = read(0, _HEADER.size)
        if len(self._header) != _HEADER.size:
            raise IntegrityBroken(f"{name} is too short for encrypted audio")
        magic, self._chunk, _ = _HEADER.unpack(self._header)
        if magic != MAGIC or not 0 < self._chunk <= _MAX_CHUNK:
            raise IntegrityBroken(f"{name} is not encrypted audio of this program")
        self._cipher = _cipher(data_key, self._header)
        body = size_bytes - _HEADER.size
        self._chunks = -(-body // (self._chunk + TAG))
        self.size_bytes = body - self._chunks * TAG
        """Of the clear text."""
        rest = body - (self._chunks - 1) * (self._chunk + TAG)
        if self._chunks < 1 or rest < TAG or (rest == TAG and self._chunks > 1):
            raise IntegrityBroken(f"{name} is cut")

    def blocks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the clear text from `start`, to the end or so many bytes; each block was authenticated."""
        end = self.size_bytes if length is None else min(start + length, self.size_bytes)
        if self.size_bytes == 0:
            self._decrypt(0)  # nothing to give, but what stands there must be ours
        position = max(start, 0)
        while position < end:
            number, offset = divmod(position, self._chunk)
            block = self._decrypt(number)[offset : offset + end - position]
            yield block
            position += len(block)

    def _decrypt(self, number: int) -> bytes:
        stored = self._read(_HEADER.size + number * (self._chunk + TAG), self._chunk + TAG)
        try:
            return self._cipher.decrypt(_nonce(number, last=number == self._chunks - 1), stored, self._header)
        except InvalidTag:
            raise IntegrityBroken(
                f"{self._name}: chunk {number} was changed or cut, or the key is another one"
            ) from None


def _cipher(data_key: bytes, header: bytes) -> AESGCM:
    salt = header[-SALT:]
    return AESGCM(HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=_INFO).derive(data_key))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
