"""Checks what became of calls that were sent twice: one healed master for each, equal to what either copy was sent.

Uses the catalog as a client would: the copies are found by the Call-IDs of their sessions, the master through them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from recorder.simulator.conversation import load_conversation
from recorder.simulator.expectation import ExpectedCall, expected_call, expected_master
from recorder.simulator.journal import Journal
from recorder.simulator.oracle import Difference, Tolerance, Verdict
from recorder.simulator.verification import AT_WORK, EXACT, POLL_S, Patience, await_final, judge, without_recording
from storage.catalog import Catalog
from storage.catalog.records import RecordingState
from storage.catalog.views import RecordingDetail, RecordingFilter, RecordingSummary

_MANY: Final = 10_000
"""Rows; as many as the catalog gives at once."""


class _Stage(NamedTuple):
    """How far the recorder is with the copies of a call."""

    groups: Sequence[object]
    master: RecordingDetail | None
    """Once it is final."""


async def verify_masters(
    journal: Journal,
    catalog: Catalog,
    files_root: Path,
    *,
    patience: Patience,
    tolerance: Tolerance = EXACT,
) -> list[Verdict]:
    """Return a verdict on the healed master of every call that was sent twice and answered twice."""
    pairs = [(journal.calls[facts.copy_of], facts) for facts in journal.calls.values() if facts.copy_of is not None]
    if not pairs:
        return []
    found = await await_final(journal, catalog, [facts for pair in pairs for facts in pair], patience)
    conversation = load_conversation(journal.law)
    verdicts = []
    copies_of = [
        [found[facts.call_id] for facts in pair] if all(facts.call_id in found for facts in pair) else []
        for pair in pairs
    ]
    masters = await await_masters(catalog, copies_of, patience)
    for pair, copies, master in zip(pairs, copies_of, masters, strict=True):
        expected = expected_master([expected_call(journal, conversation, facts.call) for facts in pair])
        if master is None:
            verdicts.append(
                replace(without_recording(expected, "its copies did not become one recording"), healed=True)
            )
            continue
        verdict = await asyncio.to_thread(
            judge,
            _named(expected, master),
            journal.law,
            master,
            files_root,
            tolerance=tolerance,
            state=RecordingState.COMPLETE,
        )
        listed = await _listed(catalog, master.summary, copies)
        verdicts.append(replace(verdict, differences=(*verdict.differences, *listed), healed=True))
    return verdicts


def _named(expected: ExpectedCall, master: RecordingDetail) -> ExpectedCall:
    """Give a master its own identifier: it is the recorder's to choose."""
    summary = master.summary
    return replace(expected, facts=replace(expected.facts, record_identifier=summary.record_identifier))


async def await_masters(
    catalog: Catalog, calls: Sequence[Sequence[RecordingSummary]], patience: Patience
) -> list[RecordingDetail | None]:
    """Return the master that stands for the copies of each call, as soon as all are there; nobody waits for no copies.

    None where there is none and the recorder has taken no step towards any for as long as the patience lasts.
    """
    before: list[_Stage] = []
    deadline = 0.0
    while True:
        stages = [await _stage(catalog, copies) for copies in calls]
        if stages != before:
            before, deadline = stages, time.monotonic() + patience.limit_s
        if all(stage.master or not stage.groups for stage in stages) or time.monotonic() >= deadline:
            return [stage.master for stage in stages]
        await asyncio.sleep(POLL_S)


async def _stage(catalog: Catalog, copies: Sequence[RecordingSummary]) -> _Stage:
    groups = [await catalog.copies.groups(recording_id=copy.recording_id, rejected=True) for copy in copies]
    standing = [await catalog.copies.standing(copy.recording_id) for copy in copies]
    masters = {one.master_id for one in standing if one}
    master = masters.pop() if len(masters) == 1 else None
    detail = await catalog.get_recording(master) if master else None
    if not isinstance(detail, RecordingDetail) or detail.summary.state in AT_WORK:
        return _Stage(groups, None)
    return _Stage(groups, detail)


async def _listed(catalog: Catalog, master: RecordingSummary, copies: Sequence[RecordingSummary]) -> list[Difference]:
    """Return what is wrong with the list that people see: the master once, and none of its copies."""
    since = min([master.started_at, *(copy.started_at for copy in copies)])
    shown = {
        one.recording_id for one in await catalog.list_recordings(RecordingFilter(started_from=since, limit=_MANY))
    }
    wrong = []
    if master.recording_id not in shown:
        wrong.append("the healed master is not listed")
    if any(copy.recording_id in shown for copy in copies):
        wrong.append("a copy is listed beside its master")
    return [Difference(-1, None, None, "catalog", text) for text in wrong]
