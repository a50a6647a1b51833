"""What `recordings export --format evidence` takes along besides the audio: manifests, SIP messages, raw captures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from storage.catalog import Catalog
from storage.catalog.records import Role
from storage.catalog.views import RecordingDetail
from storage.cli.context import CliContext, CommandFailed
from storage.cli.recordings_trace import trace_json
from storage.errors import IntegrityBroken
from storage.exit_codes import ExitCode
from storage.files import Store, copy_durably
from storage.files.durable import digest_file, file_errors
from storage.integrity.evidence import CAPTURES, TRACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found."""

    manifests: Mapping[str, bytes]
    """By file name; the newest is the last."""
    trace: Mapping[str, object]
    captures: tuple[Path, ...]
    """Those that lie on this host."""
    not_here: tuple[Mapping[str, str], ...]
    """The others: `path` (its name), `host`."""
    copies: tuple[str, ...]
    """Recordings that this one was healed from: their captures are in evidence of their own."""
    by: str
    reason: str

    def write(self, folder: Path) -> None:
        """Put everything into a folder; captures are compared with what was sealed. Blocks.

        Errors: `IntegrityBroken` when a capture is not what the newest manifest states, and those of the file system.
        """
        for name, data in self.manifests.items():
            (folder / name).write_bytes(data)
        (folder / TRACE).write_text(json.dumps(self.trace, indent=2) + "\n", encoding="ascii")
        (folder / CAPTURES).mkdir()
        stated = _stated(list(self.manifests.values())[-1])
        for capture in self.captures:
            with file_errors(capture):
                size_bytes, sha256 = stated.get(capture.name) or digest_file(capture)
            copy_durably(capture, folder / CAPTURES / capture.name, size_bytes=size_bytes, sha256=sha256)


async def gather(
    recording: RecordingDetail, catalog: Catalog, context: CliContext, *, by: str, reason: str
) -> Evidence:
    """Find what belongs to a recording.

    Errors: `CommandFailed` with `NOT_READY` while its present state has no manifest, and those of the stores.
    """
    recording_id = recording.summary.recording_id
    # Before the manifests: what is sealed in between is among them.
    standing = await catalog.files.standing(recording_id)
    rows = await catalog.files.manifests(recording_id)
    if not rows or standing is None or standing.awaits_seal:
        raise CommandFailed(
            f"recording {recording_id} is not sealed yet: a curator signs its manifest; try again in a moment, or see "
            "`recorder-admin jobs list`",
            ExitCode.NOT_READY,
        )
    manifests = {}
    for row in rows:
        read = partial(_read, context.store(row.store), row.path)
        manifests[PurePosixPath(row.path).name] = await asyncio.to_thread(read)
    role = await catalog.copies.standing(recording_id)
    located = [capture for segment in recording.segments for capture in segment.captures]
    here = await asyncio.to_thread(lambda: [capture for capture in located if Path(capture.path).is_file()])
    return Evidence(
        manifests=manifests,
        trace=trace_json(recording, await catalog.read_trace(recording_id)),
        captures=tuple(Path(capture.path) for capture in here),
        not_here=tuple(
            {"path": PurePosixPath(capture.path).name, "host": capture.host}
            for capture in located
            if capture not in here
        ),
        copies=tuple(str(copy) for copy in role.copies) if role and role.role is Role.MASTER else (),
        by=by,
        reason=reason,
    )


def _read(store: Store, path: str) -> bytes:
    return b"".join(store.read(path))


def _stated(manifest: bytes) -> dict[str, tuple[int, bytes]]:
    """Return size and digest of the captures that a manifest states, by their names."""
    try:
        captures: list[dict[str, Any]] = json.loads(manifest)["document"]["captures"]
        return {
            str(one["path"]): (int(one["size_bytes"]), bytes.fromhex(one["sha256"]))
            for one in captures
            if one["sha256"] is not None
        }
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityBroken(
            f"the manifest of the recording is damaged ({error}): see `recorder-admin verify`"
        ) from error
