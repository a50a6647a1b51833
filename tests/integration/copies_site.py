"""A site without processes: catalog, files, and copies of one call in all their states; the curator's work on call."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from recorder.curator.copies.decide import PairDecider
from recorder.curator.copies.heal import Healer
from recorder.curator.copies.seek import Seeker
from recorder.depot import Depot
from recorder.settings import CopySettings, RecordingSettings, Settings
from storage.catalog import Catalog
from storage.catalog.copy_records import HEAL, PAIR, CopyState
from storage.catalog.ledger import RECEIVED, LedgerInterval, LedgerKind, account
from storage.catalog.records import (
    FINALISE,
    GapKind,
    RecordingState,
    RenderedFile,
    RenderedGap,
    RenderedRecording,
    SegmentOpening,
)
from storage.files import FileStore, directory_of, file_name
from tests.integration.storage_samples import START, closing, opening
from tests.unit.media.healing.copies import RATE, copy, linear, mulaw, talk

SECONDS: Final = 8.0
"""Length of every copy."""
UUID_OF_CALL: Final = "01EXAMPLE0CALLUUID0000000000000A"


def site_settings(root: Path, copies: CopySettings | None = None) -> Settings:
    """Return the settings of a site."""
    recordings = RecordingSettings(root=root / "recordings")
    return Settings(state_dir=root / "state", recordings=recordings, copies=copies or CopySettings())


class Site:
    """A catalog, its files, and copies of one call in all their states."""

    def __init__(self, catalog: Catalog, root: Path, epoch: int, choice: random.Random) -> None:
        self.catalog = catalog
        self.store = FileStore(root / "recordings")
        self.scratch = root / "made"
        self.scratch.mkdir(parents=True)
        self.epoch = epoch
        self.choice = choice
        self.open: dict[int, SegmentOpening] = {}
        self.sessions: dict[int, list[SegmentOpening]] = {}
        self.ids: dict[int, UUID] = {}
        self.ruled: dict[frozenset[int], CopyState] = {}
        self.settings = site_settings(root)
        self._versions = 0

    async def begin(self, number: int) -> None:
        """Open the first or the next session of a copy."""
        sample = opening(f"{UUID_OF_CALL}_2026-11-22_09-30-{number:02d}", epoch=self.epoch)
        call = msgspec.structs.replace(sample.call, call_uuid=UUID_OF_CALL, record_dn="5550100")
        sample = msgspec.structs.replace(sample, call=call, opened_at=START + timedelta(seconds=number * 0.1))
        opened = await self.catalog.open_segment(sample)
        self.open[number] = sample
        self.sessions.setdefault(number, []).append(sample)
        self.ids[number] = opened.recording_id

    async def end(self, number: int) -> None:
        """Close the session of a copy and publish what was received of all its sessions."""
        await self.catalog.close_segment(closing(self.open.pop(number), after_s=SECONDS + len(self.sessions[number])))
        job = await self.catalog.claim_job("finaliser", kinds=(FINALISE,))
        assert job is not None
        assert (await self.catalog.publish(self.rendered(number), job=job)).refused is None

    def rendered(self, number: int) -> RenderedRecording:
        """A rendering that lacks a stretch of its own, and a little less of it with every session."""
        self._versions += 1
        sessions = self.sessions[number]
        begin = 1.0 + number
        lost = {0: [(begin, begin + 0.8 / len(sessions))]}
        spoken = [mulaw(linear(talk(party, SECONDS))) for party in (0, 1)]
        sound = copy(self.scratch, f"{number}-{self._versions}", spoken, lost=lost)
        made = self.scratch / f"{number}-{self._versions}.wav"
        with self.store.begin(directory_of(START)) as pending:
            pending.path.write_bytes(made.read_bytes())
            published = pending.publish(
                lambda digest: file_name(sessions[0].record_identifier, self.ids[number], digest, ".wav")
            )
        frames = sound.frames
        start, end = (round(at * RATE) for at in lost[0][0])
        ledger = tuple(
            account(
                party,
                RATE,
                frames,
                [
                    LedgerInterval(0, frames, LedgerKind.RECORDED, RECEIVED, "segment 1"),
                    *([LedgerInterval(start, end, LedgerKind.LOST, "network")] if party == 0 else []),
                ],
            )
            for party in (0, 1)
        )
        return RenderedRecording(
            recording_id=self.ids[number],
            segment_ids=tuple(session.segment_id for session in sessions),
            state=RecordingState.COMPLETE,
            started_at=START,
            duration_s=frames / RATE,
            files=(
                RenderedFile(
                    kind="master",
                    store=published.store,
                    path=published.path,
                    format="wav-mulaw",
                    sample_rate=RATE,
                    channels=2,
                    frames=frames,
                    size_bytes=published.size_bytes,
                    sha256=published.sha256,
                ),
            ),
            gaps=(
                RenderedGap(
                    party=0, start_s=start / RATE, duration_s=(end - start) / RATE, kind=GapKind.LOST, cause="network"
                ),
            ),
            streams=(),
            ledger=ledger,
        )

    def depot(self, catalog: Catalog) -> Depot:
        """Return the way of files into the store."""
        return Depot(catalog, self.settings)

    async def seek(self, catalog: Catalog) -> None:
        await Seeker(catalog.copies, self.settings.copies).seek()

    async def work(self, catalog: Catalog, lease_s: float) -> bool:
        """Take one job about copies and do it; False when there is none."""
        job = await self.catalog.claim_job(f"curator-{self._versions}", kinds=(PAIR, HEAL), lease_s=lease_s)
        if job is None:
            return False
        if job.kind == PAIR:
            await PairDecider(catalog, self.store).decide(job)
        else:
            await Healer(catalog, self.settings, self.depot(catalog)).heal(job)
        return True

    async def rule(self, state: CopyState) -> None:
        """Let an operator decide about two copies."""
        one, other = self.choice.sample(sorted(self.ids), 2)
        self.ruled[frozenset((one, other))] = state
        await self.catalog.copies.rule(
            [(self.ids[one], self.ids[other])], state, "said so", by="operator", action="copies.rule"
        )
