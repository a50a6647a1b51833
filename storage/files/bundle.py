"""The recording bundle: one recording with its audio in one file, for import at another site (docs/bundle.md).

A POSIX tar of two members: `recording.json`, then `audio`. Nothing is ever extracted by a name out of the file. All
calls block.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from storage.errors import AlreadyPublished, IntegrityBroken
from storage.files.durable import TEMPORARY_PREFIX, file_errors, sync_directory
from storage.files.port import BLOCK

FORMAT: Final = "tandem-recording"
VERSION: Final = 1
SUFFIX: Final = ".tandem"
_DESCRIPTION: Final = "recording.json"
_AUDIO: Final = "audio"
_LONGEST: Final = 64 << 20
"""Bytes of `recording.json`; a call of ten hours with a gap in every second has less than a tenth."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """An open bundle."""

    path: Path
    description: Mapping[str, Any]
    """As in the format's table."""
    _audio: IO[bytes]

    def copy_audio(self, target: Path, *, size_bytes: int, sha256: bytes) -> None:
        """Write the audio to a file that is not yet published.

        Errors: `IntegrityBroken` when it is not what the description says, and those of the file system.
        """
        hasher = hashlib.sha256()
        copied = 0
        with file_errors(target), target.open("wb") as writer:
            while block := self._audio.read(BLOCK):
                hasher.update(block)
                copied += writer.write(block)
        if (copied, hasher.digest()) != (size_bytes, sha256):
            raise IntegrityBroken(
                f"{self.path}: its audio has {copied} bytes, SHA-256 {hasher.hexdigest()}, instead of {size_bytes}"
                f" bytes, {sha256.hex()}: the bundle was changed or cut off; nothing was imported"
            )


def write_bundle(target: Path, description: Mapping[str, Any], audio: Path, *, replace: bool = False) -> None:
    """Write a bundle durably: the whole file under its name, or nothing.

    Errors: `AlreadyPublished` when the target exists and `replace` is false, and those of the file system.
    """
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    body = json.dumps({"format": FORMAT, "version": VERSION, **description}, indent=1).encode()
    try:
        with file_errors(target):
            if target.exists() and not replace:
                raise AlreadyPublished(f"{target} exists already")
            with temporary.open("xb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                    tar.addfile(_member(_DESCRIPTION, len(body)), io.BytesIO(body))
                    with audio.open("rb") as source:
                        tar.addfile(_member(_AUDIO, os.fstat(source.fileno()).st_size), source)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            sync_directory(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle for reading.

    Errors: `IntegrityBroken` for anything that is not a bundle of a known version, and those of the file system.
    """
    with file_errors(path):
        try:
            with tarfile.open(path, "r:") as tar:
                description = _description(path, tar)
                member = tar.next()
                audio = tar.extractfile(member) if member and member.name == _AUDIO and member.isfile() else None
                if audio is None:
                    raise IntegrityBroken(f"{path}: no audio behind its description: the bundle is cut off")
                yield Bundle(path, description, audio)
        except tarfile.TarError as error:
            raise IntegrityBroken(f"{path}: not a recording bundle: {error}") from error


def _description(path: Path, tar: tarfile.TarFile) -> Mapping[str, Any]:
    member = tar.next()
    file = tar.extractfile(member) if member and member.name == _DESCRIPTION and member.isfile() else None
    if member is None or file is None or member.size > _LONGEST:
        raise IntegrityBroken(f"{path}: not a recording bundle: it does not begin with {_DESCRIPTION}")
    try:
        found = json.loads(file.read())
    except ValueError as error:
        raise IntegrityBroken(f"{path}: its description is not JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise IntegrityBroken(f"{path}: not a recording bundle")
    if found.get("version") != VERSION:
        raise IntegrityBroken(
            f"{path}: bundle version {found.get('version')!r}; this program reads {VERSION}: bring it to the version of"
            " the site that wrote it"
        )
    return found


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o444
    return member
