"""The depot: where finished files are made, encrypted, named and kept, as the settings say.

It joins stores, layout and recipients with the catalog's intents (`storage/catalog/migrations/0017_file_lives.sql`): a
file gets its name only after the catalog knows that it may exist.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from recorder.settings import Settings
from recorder.stores import directories, open_remote, s3_options
from storage.catalog import Catalog
from storage.catalog.file_lives import EnvelopeRow
from storage.encryption import Envelope, Recipient, encrypt_file, load_recipients
from storage.encryption.chunks import DATA_KEY
from storage.encryption.envelope import SUFFIX as KEYS_SUFFIX
from storage.errors import StoreFailed
from storage.files import FileStore, PublishedFile, Store, file_name
from storage.files.layout import Layout

ENCRYPTED: Final = ".enc"
SCRATCH: Final = PurePosixPath(".unfinished")
"""Folder of a directory of finished files for files that never get a name."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The recording that a file belongs to."""

    recording_id: UUID
    started_at: datetime
    facts: Mapping[str, str | None]
    """By the names of `storage.files.layout.FACTS`."""


class Depot:
    """Files of finished recordings on this host: where they are made, archives, and the object store if there is."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self.local, *self.archives = [FileStore(root, name=name) for name, root in directories(settings).items()]
        self.remote: Store | None = open_remote(s3_options(settings))
        self._layout = Layout(settings.recordings.layout)
        self._recipients = load_recipients([Path(path) for path in settings.recordings.encrypt_to])

    @property
    def stores(self) -> dict[str, Store]:
        """The stores by the names that the catalog has for them."""
        return {store.name: store for store in (self.local, *self.archives, self.remote) if store is not None}

    def store(self, name: str) -> Store:
        """Return a store by its name."""
        try:
            return self.stores[name]
        except KeyError:
            raise StoreFailed(
                f"store {name!r} is not known on this host: see [s3], recordings.archives and recordings.shared of the "
                "settings"
            ) from None

    def draft(self, subject: Subject, *, encrypt: bool = True) -> Draft:
        """Begin a file of a recording; use it as a context manager. Blocks."""
        place = self._layout.place(subject.started_at, subject.facts)
        recipients = self._recipients if encrypt else ()
        return Draft(self.local, place.directory, place.readable, subject.recording_id, recipients)

    async def publish(self, draft: Draft) -> PublishedFile:
        """Give a sealed draft its name, durably. Obligation: claim it in the catalog, or leave it to its intent.

        Errors: `StoreFailed` while a former file of that name is being removed; repeat the work later.
        """
        sealed, envelope = draft.sealed, draft.envelope
        keys = None if envelope is None else envelope.keys
        if not await self._catalog.files.intend(
            draft.recording_id, self.local.name, sealed.path, sealed.sha256, envelope
        ):
            raise StoreFailed(f"{sealed.path} is being removed; it will be made again")
        await asyncio.to_thread(draft.link, keys)
        return sealed


def remove_file(store: Store, path: str) -> None:
    """Remove a finished file and the keys beside it. Blocks."""
    store.delete(path)
    if path.endswith(ENCRYPTED):
        store.delete(path + KEYS_SUFFIX)


class Draft:
    """A file under construction: write `path`, then `seal` it, then hand it to `Depot.publish`."""

    def __init__(
        self,
        store: FileStore,
        directory: PurePosixPath,
        readable: str,
        recording_id: UUID,
        recipients: tuple[Recipient, ...],
    ) -> None:
        self.recording_id = recording_id
        self._store = store
        self._readable = readable
        self._recipients = recipients
        self._pending = store.begin(directory)
        self._clear = store.begin(directory) if recipients else self._pending
        self._envelope: EnvelopeRow | None = None
        self._sealed: PublishedFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()

    @property
    def path(self) -> Path:
        """Where the content is written, in clear."""
        return self._clear.path

    @property
    def sealed(self) -> PublishedFile:
        """Facts of the file that will be published; after `seal`."""
        if self._sealed is None:
            raise StoreFailed(f"{self.path} was not sealed")
        return self._sealed

    @property
    def envelope(self) -> EnvelopeRow | None:
        """What the catalog keeps of an encrypted file."""
        return self._envelope

    def seal(self, suffix: str) -> None:
        """Encrypt the content if there are recipients, make it durable, and settle its name. Blocks."""
        if not self._recipients:
            size = self.path.stat().st_size
            self._sealed = self._pending.seal(self._name(suffix), expected_bytes=size)
            return
        data_key = secrets.token_bytes(DATA_KEY)
        clear = encrypt_file(self.path, self._pending.path, data_key)
        self._clear.discard()
        self._sealed = self._pending.seal(self._name(suffix + ENCRYPTED))
        keys = Envelope.seal(data_key, self._recipients, sha256=self._sealed.sha256).encode()
        self._envelope = EnvelopeRow(clear_sha256=clear.sha256, clear_bytes=clear.size_bytes, keys=keys)

    def link(self, keys: bytes | None) -> None:
        """Publish: keys first, so that no encrypted audio ever stands without them. Blocks."""
        if keys is not None:
            self._store.replace(keys, self.sealed.path + KEYS_SUFFIX)
        self._pending.link()

    def discard(self) -> None:
        """Remove what was not published."""
        self._clear.discard()
        self._pending.discard()

    def _name(self, suffix: str) -> Callable[[bytes], str]:
        return lambda digest: file_name(self._readable, self.recording_id, digest, suffix)
