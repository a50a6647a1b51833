"""The desk of a storage administrator, for tests: real commands against a real catalog and real files."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner, Result

from recorder.admin.app import GROUPS
from storage.catalog import Catalog
from storage.catalog.records import OpenedSegment, SegmentOpening
from storage.cli.context import CliContext
from storage.files import FileStore, directory_of, file_name
from tests.integration.storage_samples import closing, opening, rendered, with_facts

AUDIO = b"RIFF" + bytes(range(256)) * 40


class Desk:
    """A storage administrator: types commands, and has a recorder that makes recordings."""

    def __init__(self, catalog: Catalog, context: CliContext) -> None:
        self.catalog = catalog
        self.context = context
        self._app = typer.Typer()
        self._app.add_typer(GROUPS["recordings"].app(), name="recordings")
        self._app.add_typer(GROUPS["retention"].app(), name="retention")
        self._app.add_typer(GROUPS["storage"].app(), name="storage")
        self._app.add_typer(GROUPS["jobs"].app(), name="jobs")

    async def type(self, *words: str) -> Result:
        """Run a command; it has an event loop of its own, hence the thread."""
        runner = CliRunner()
        return await asyncio.to_thread(lambda: runner.invoke(self._app, list(words), obj=self.context))

    async def json(self, *words: str) -> Any:
        result = await self.type(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    async def record(self, identifier: str = "CALL0001", **facts: str | None) -> tuple[SegmentOpening, OpenedSegment]:
        sample = with_facts(opening(identifier, epoch=await self.catalog.acquire_lease()), **facts)
        return sample, await self.catalog.open_segment(sample)

    async def finish(self, identifier: str = "CALL0001", *, content: bytes = AUDIO) -> tuple[OpenedSegment, Path]:
        """Record, render and publish; returns the recording and its file."""
        sample, opened = await self.record(identifier)
        await self.catalog.close_segment(closing(sample))
        store = FileStore(self.context.files_root)
        with store.begin(directory_of(sample.opened_at)) as pending:
            pending.path.write_bytes(content)
            published = pending.publish(lambda digest: file_name(identifier, opened.recording_id, digest, ".wav"))
        result = rendered(opened.recording_id, sample)
        file = dataclasses.replace(
            result.files[0], path=published.path, size_bytes=published.size_bytes, sha256=published.sha256
        )
        await self.catalog.publish(dataclasses.replace(result, files=(file,)))
        return opened, self.context.files_root / published.path
