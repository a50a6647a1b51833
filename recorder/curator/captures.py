"""The captures that a recording is made of, wherever in the site they lie.

One that cannot be seen here is fetched from the host that wrote it, for as long as it is needed. That host alone can
say that it is lost. Knows nothing of what is in a capture.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from media.container.layout import FILE_SUFFIX
from recorder.errors import ChannelLostError
from recorder.gateway.captures import fetch_capture
from recorder.gateway.link import own_address, site_context
from recorder.settings import Settings
from recorder.state_dir import StateDir
from storage.catalog.records import CaptureLocation, RecordingSegments
from storage.catalog.sites import Sites
from storage.errors import CaptureOutOfReach

_log = structlog.get_logger()

_SILENT_S: Final = 10.0
"""A host that the register has not heard for so long is not asked."""
_LEFT_NS: Final = 3600 * 10**9
"""No rendering takes that long."""


class Gathered(NamedTuple):
    """Where the captures of a recording can be read."""

    places: Mapping[str, Path]
    """By their path in the catalog."""
    missing: tuple[str, ...]
    """Paths of those that are lost, by the word of the host that wrote them."""


class Captures:
    """Finds captures for one curator.

    Args:
        sites: the register of hosts.
        settings: of this host.

    """

    def __init__(self, sites: Sites, settings: Settings) -> None:
        self._sites = sites
        self._ha, self._node = settings.ha, settings.node
        self._folder = StateDir(settings.state_dir).fetched
        self._tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def gathered(self, recording: RecordingSegments) -> AsyncIterator[Gathered]:
        """Have all captures of a recording here for a while.

        Errors: `CaptureOutOfReach` for one that another host may have and does not give, or whose directory is not
        there.
        """
        captures = [capture for segment in recording.segments for capture in segment.captures]
        folder = Path(await asyncio.to_thread(self._make_folder)) if self._ha.listen else None
        try:
            places: dict[str, Path] = {}
            missing: list[str] = []
            here = await asyncio.to_thread(lambda: [Path(capture.path).exists() for capture in captures])
            for number, capture in enumerate(captures):
                if here[number]:
                    places[capture.path] = Path(capture.path)
                    continue
                found = await self._find(capture, folder / f"{number}{FILE_SUFFIX}" if folder else None)
                if found is None:
                    missing.append(capture.path)
                else:
                    places[capture.path] = found
            yield Gathered(places, tuple(missing))
        finally:
            if folder:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def sweep(self) -> None:
        """Remove what a curator that was killed has left."""
        await asyncio.to_thread(self._remove_left)

    def _remove_left(self) -> None:
        for folder in self._folder.glob("*"):
            if time.time_ns() - folder.stat().st_mtime_ns > _LEFT_NS:
                shutil.rmtree(folder, ignore_errors=True)

    def _make_folder(self) -> str:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return tempfile.mkdtemp(dir=self._folder)

    async def _find(self, capture: CaptureLocation, target: Path | None) -> Path | None:
        """Look for a capture that cannot be seen here."""
        path = Path(capture.path)
        if capture.host == self._node:
            if await asyncio.to_thread(path.parent.is_dir):
                return None
            raise CaptureOutOfReach(
                f"capture {path}: its directory is not there; mount it, then `recorder-admin jobs retry`"
            )
        if target is None:
            raise CaptureOutOfReach(
                f"capture {path} of host {capture.host} cannot be seen on host {self._node}: a curator of "
                f"{capture.host} has to finalise this recording, or make the directory visible here at the same path, "
                "then `recorder-admin jobs retry`"
            )
        try:
            here = await self._fetch(capture, target)
        except (OSError, ssl.SSLError, ChannelLostError) as error:
            raise CaptureOutOfReach(
                f"capture {path} of host {capture.host} cannot be fetched from it: {error or type(error).__name__}; "
                "the recording is finished when that host is back"
            ) from None
        return target if here else None

    async def _fetch(self, capture: CaptureLocation, target: Path) -> bool:
        rows = {row.node: row for row in await self._sites.nodes(self._ha.site)}
        row = rows.get(capture.host)
        if row is None or row.silent_s > _SILENT_S or row.state != "running":
            raise ConnectionRefusedError("it is not heard")
        if self._tls is None:
            self._tls = await asyncio.to_thread(lambda: site_context(self._ha, server=False))
        _log.info("fetching a capture of another host", host=capture.host, capture=capture.path)
        return await fetch_capture(row.endpoint, self._tls, capture.path, target, source=own_address(self._ha))
