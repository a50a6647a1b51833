"""Waits until the recorder has finished the recordings of a run, fetches them and asks the oracle about each.

Uses the catalog as a client would: it finds a recording by the Call-ID of its session, so that a wrong record
identifier is noticed and not only "not found".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from recorder.simulator.audio_file import AudioFileError, read_recording
from recorder.simulator.conversation import load_conversation
from recorder.simulator.expectation import ExpectedCall, expected_call
from recorder.simulator.g711 import Law
from recorder.simulator.gap_check import DeclaredGap
from recorder.simulator.journal import CallFacts, Journal
from recorder.simulator.oracle import Difference, Tolerance, Verdict, compare
from recorder.simulator.scenario import Door
from storage.catalog import Catalog
from storage.catalog.records import RecordingState
from storage.catalog.views import RecordingDetail, RecordingFilter, RecordingSummary

_PAGE: Final = 500
POLL_S: Final = 0.25
_CLOCKS_APART: Final = timedelta(minutes=10)
"""A recorder on another host may have another time."""
AT_WORK: Final = frozenset({RecordingState.RECORDING, RecordingState.FINALISING})
_DURATION_TOLERANCE_S: Final = 0.001
EXACT: Final = Tolerance()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for the recorder."""

    limit_s: float = 60.0
    """Without any recording becoming final, or any copies coming nearer to it."""
    progress: Callable[[int, int], None] | None = None
    """Called with how many recordings are final, and of how many."""


async def verify(
    journal: Journal,
    catalog: Catalog,
    files_root: Path,
    *,
    patience: Patience = Patience(),
    tolerance: Tolerance = EXACT,
    interrupted: frozenset[int] = frozenset(),
) -> list[Verdict]:
    """Return a verdict on every call that had media.

    Args:
        journal: of the finished run.
        catalog: of the recorder.
        files_root: directory that the catalog's paths start from.
        patience: how long to wait until recordings are final.
        tolerance: of the oracle.
        interrupted: calls whose recording must be declared interrupted, because they ended without BYE.

    """
    calls = [facts for facts in journal.calls.values() if _had_media(journal, facts.call)]
    found = await await_final(journal, catalog, calls, patience)
    conversation = load_conversation(journal.law)
    verdicts = []
    for facts in calls:
        summary = found.get(facts.call_id)
        detail = await catalog.get_recording(summary.recording_id) if summary else None
        if not isinstance(detail, RecordingDetail):
            expected = expected_call(journal, conversation, facts.call)
            verdicts.append(without_recording(expected, "there is no recording of this session"))
            continue
        state = RecordingState.INTERRUPTED if facts.call in interrupted else RecordingState.COMPLETE
        verdicts.append(
            await asyncio.to_thread(
                judge,
                expected_call(journal, conversation, facts.call),
                journal.law,
                detail,
                files_root,
                tolerance=tolerance,
                state=state,
            )
        )
    return verdicts


def _had_media(journal: Journal, call: int) -> bool:
    return any(note.what == "media-started" for note in journal.notes_of(call))


async def await_final(
    journal: Journal, catalog: Catalog, calls: Sequence[CallFacts], patience: Patience
) -> dict[str, RecordingSummary]:
    """Return the recordings of the calls by Call-ID, as soon as all are final or no more become so."""
    wanted = {facts.call_id for facts in calls}
    since = datetime.fromtimestamp(min(note.at_ns for note in journal.notes) / 1e9, UTC) - _CLOCKS_APART
    deadline = time.monotonic() + patience.limit_s
    before = -1
    while True:
        found = await _find(catalog, wanted, since)
        final = sum(summary.state not in AT_WORK for summary in found.values())
        if final > before:
            before, deadline = final, time.monotonic() + patience.limit_s
            if patience.progress is not None:
                patience.progress(final, len(wanted))
        if final == len(wanted) or time.monotonic() >= deadline:
            return found
        await asyncio.sleep(POLL_S)


async def _find(catalog: Catalog, call_ids: set[str], since: datetime) -> dict[str, RecordingSummary]:
    found: dict[str, RecordingSummary] = {}
    page = RecordingFilter(started_from=since, copies=True, limit=_PAGE)
    while rows := await catalog.list_recordings(page):
        for summary in rows:
            found |= {call_id: summary for call_id in summary.sip_call_ids if call_id in call_ids}
        if len(rows) < _PAGE or len(found) == len(call_ids):
            break
        page = replace(page, after=rows[-1].key)
    return found


def without_recording(expected: ExpectedCall, why: str) -> Verdict:
    """Return the verdict on a call of which nothing can be compared."""
    facts = expected.facts
    sent = sum(int(party.certain.sum()) for party in expected.parties)
    difference = Difference(facts.call, None, None, "catalog", why)
    return Verdict(facts.call, facts.record_identifier, sent, 0, (difference,))


def judge(
    expected: ExpectedCall,
    law: Law,
    detail: RecordingDetail,
    files_root: Path,
    *,
    tolerance: Tolerance,
    state: RecordingState,
) -> Verdict:
    """Compare file and catalog rows of one recording with what was sent."""
    facts = expected.facts
    master = next((file for file in detail.files if file.kind == "master"), None)
    nothing = not any(len(party.places) for party in expected.parties)
    if nothing or (master is None and tolerance.declared_loss):
        # That there are no media declares the loss of all of them.
        claims = _catalog_claims(facts, detail.summary, RecordingState.NO_MEDIA, None)
        differences = tuple(Difference(facts.call, None, None, "catalog", claim) for claim in claims)
        sent = sum(int(party.certain.sum()) for party in expected.parties)
        return Verdict(facts.call, facts.record_identifier, sent, 0, differences)
    if master is None:
        return without_recording(expected, f"state {detail.summary.state}, no file")
    try:
        audio = read_recording(files_root / master.path)
    except AudioFileError as error:
        return without_recording(expected, str(error))
    gaps = [DeclaredGap(gap.party, gap.start_s, gap.duration_s, gap.kind) for gap in detail.summary.gaps]
    verdict = compare(expected, law, audio, gaps, tolerance)
    duration = len(audio.frames) / audio.sample_rate
    claims = _catalog_claims(facts, detail.summary, state, duration)
    return replace(
        verdict,
        differences=(
            *verdict.differences,
            *(Difference(facts.call, None, None, "catalog", claim) for claim in claims),
        ),
    )


def _catalog_claims(
    facts: CallFacts, summary: RecordingSummary, state: RecordingState, duration_s: float | None
) -> list[str]:
    """Return what the catalog says wrongly about a call; `duration_s` is that of the file, None without one."""
    expected: list[tuple[str, object, object]] = [
        ("state", summary.state, state),
        ("door", summary.door, facts.door),
        ("record identifier", summary.record_identifier, facts.record_identifier),
    ]
    if facts.door is Door.MSR:
        expected += [
            ("call_uuid", summary.call_uuid, facts.call_uuid),
            ("ani", summary.ani, facts.ani),
            ("dnis", summary.dnis, facts.dnis),
            ("dn", summary.dn, facts.dn),
            ("other_dn", summary.other_dn, facts.other_dn),
        ]
    wrong = [f"{name} is {found!s}, expected {wanted!s}" for name, found, wanted in expected if found != wanted]
    if duration_s is None:
        return wrong
    if summary.duration_s is None or abs(summary.duration_s - duration_s) > _DURATION_TOLERANCE_S:
        wrong.append(f"duration is {summary.duration_s} s, the file has {duration_s:.4f} s")
    return wrong
