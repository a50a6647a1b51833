"""A curator's work without its process: a recording with a real capture, and jobs done one after the other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from recorder.config import load_settings
from recorder.curator.work import JOBS, NODE, JobHandler, Tools
from recorder.depot import Depot
from recorder.settings import Settings
from storage.catalog import Catalog
from storage.catalog.records import OpenedSegment
from tests.integration.storage_samples import closing, opening
from tests.unit.media.pipeline.recordings import START_NS, CaptureFile, sound, talk

QUICK = ("finalise", "manifest", "upload", "discard", "upload@host-a", "discard@host-a")


class Curating:
    """One curator of one catalog."""

    def __init__(self, catalog: Catalog, state_dir: Path, **tables: Any) -> None:
        self.catalog = catalog
        self.state_dir = state_dir
        self.settings: Settings = load_settings(None, {"state_dir": state_dir, "node": "host-a"} | tables)
        self.depot = Depot(catalog, self.settings)
        self.tools = Tools(catalog, self.settings, self.depot)
        self._handlers: dict[str, JobHandler] = {
            kind.replace(NODE, self.settings.node): make(self.tools) for kind, make in JOBS.items()
        }

    async def record(
        self,
        identifier: str,
        *,
        seconds: float = 0.5,
        seed: int = 1,
        epoch: int = 0,
        after_s: float = 0.0,
        lost: bool = False,
    ) -> OpenedSegment:
        """Open a segment of a recording, write its capture, and close it.

        Args:
            identifier: of the recording.
            seconds: of sound in both streams, made of `seed`.
            seed: see `seconds`.
            epoch: of the lease; 0 takes it.
            after_s: how much later than the first.
            lost: whether a packet of the first stream is lost.

        """
        at = datetime.fromtimestamp(START_NS / 1e9 + after_s, UTC)
        sample = opening(identifier, epoch=epoch or await self.catalog.acquire_lease(), at=at)
        folder = self.state_dir / "captures"
        folder.mkdir(parents=True, exist_ok=True)
        packets = [
            packet
            for stream in (0, 1)
            for packet in talk(
                sound(int(8000 * seconds), seed + stream),
                stream=stream,
                ssrc=seed * 16 + stream,
                start_ms=after_s * 1000,
            )
        ]
        if lost:
            del packets[5]
        capture = CaptureFile(packets=packets, session=sample.segment_id.hex, opened_ms=after_s * 1000 - 100).write(
            folder
        )
        sample = msgspec.structs.replace(sample, capture_path=str(capture), host=self.settings.node)
        opened = await self.catalog.open_segment(sample)
        await self.catalog.close_segment(closing(sample))
        return opened

    async def work(self, *, kinds: tuple[str, ...] = QUICK, stop: Callable[[str], bool] = lambda _: False) -> list[str]:
        """Do jobs that are due until none is left; returns their kinds. A job that fails is given back."""
        done: list[str] = []
        while job := await self.catalog.claim_job("curator-test", kinds=kinds, lease_s=10.0):
            done.append(job.kind)
            try:
                await self._handlers[job.kind](job)
            except Exception as error:  # as the curator's process does
                await self.catalog.fail_job(job, str(error))
            if stop(job.kind):
                break
        return done
