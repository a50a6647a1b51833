"""Opens the stored audio of a recording for reading: from whichever store, decrypted where a key is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import typer

from storage.catalog import Catalog
from storage.catalog.views import FileView
from storage.cli.context import CliContext, CommandFailed
from storage.encryption import ClearReader, Envelope, load_private_key
from storage.errors import IntegrityBroken
from storage.exit_codes import ExitCode
from storage.files import Store
from storage.files.durable import write_durably

ENCRYPTED: Final = ".enc"
AHEAD: Final = 4 << 20
"""Bytes of encrypted audio that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSource:
    """Audio that can be read any number of times; reading blocks."""

    file_name: str
    size_bytes: int
    sha256: bytes
    read: Callable[[int, int | None], Iterator[bytes]]
    """Yields the bytes from a position, so many or to the end."""

    def write(self, target: Path, *, replace: bool = False) -> None:
        """Write a verified copy; see `storage.files.durable.write_durably`."""
        write_durably(
            self.read(0, None),
            target,
            name=self.file_name,
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            replace=replace,
        )


async def open_audio(catalog: Catalog, context: CliContext, file: FileView, key: Path | None) -> AudioSource:
    """Open a file of a recording.

    Errors: `CommandFailed` when it is encrypted and no key is given, `WrongKey` when the key is another one, and those
    of store and key file.
    """
    store = context.store(file.store)
    envelope = await catalog.files.envelope(file.sha256)
    name = PurePosixPath(file.path).name
    if envelope is None:
        if name.endswith(ENCRYPTED):
            raise IntegrityBroken(f"{name} is encrypted, but the catalog has lost its keys; {name}.keys lies beside it")
        return AudioSource(
            file_name=name,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            read=lambda start, length: store.read(file.path, start=start, length=length),
        )
    wrapped = Envelope.decode(envelope.keys, name=f"{name}.keys")
    if key is None:
        names = ", ".join(f"{recipient.name} ({recipient.key})" for recipient in wrapped.recipients)
        raise CommandFailed(f"it is encrypted to {names}: give one of these private keys with --key", ExitCode.REFUSED)
    private = await asyncio.to_thread(load_private_key, key, ask_passphrase)
    reader = await asyncio.to_thread(_reader, store, file, wrapped.open(private))
    return AudioSource(
        file_name=name.removesuffix(ENCRYPTED),
        size_bytes=envelope.clear_bytes,
        sha256=envelope.clear_sha256,
        read=reader.blocks,
    )


def _reader(store: Store, file: FileView, data_key: bytes) -> ClearReader:
    window, begin = b"", 0

    def read(start: int, length: int) -> bytes:
        """Read ahead, because each reading of an object store is a request."""
        nonlocal window, begin
        if not begin <= start <= start + length <= begin + len(window):
            window, begin = b"".join(store.read(file.path, start=start, length=max(length, AHEAD))), start
        return window[start - begin : start - begin + length]

    return ClearReader(read, file.size_bytes, data_key, name=file.path)


def ask_passphrase() -> str:
    """Ask the person at the terminal for the passphrase of a key."""
    return str(typer.prompt("Passphrase of the key", hide_input=True, err=True))
