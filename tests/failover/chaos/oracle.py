"""Judges a run from the outside: what the simulator sent and was told against captures, recordings and catalog.

The rules are those of the project's test oracle: every packet once or in a declared gap, nothing of a pause anywhere,
one final response per transaction, CSeq rising, every accepted INVITE with its recording. Uses nothing of `signaling`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recorder.simulator.conversation import load_conversation
from recorder.simulator.journal import DOUBTFUL, PAUSED, SENT, Journal, SipTrace
from recorder.simulator.oracle import Tolerance, Verdict
from recorder.simulator.verification import Patience, verify
from recorder.state_dir import StateDir
from storage.catalog import Catalog
from storage.catalog.records import RecordingState
from storage.catalog.views import RecordingFilter

_UNFINISHED: Final = (RecordingState.RECORDING, RecordingState.FINALISING)
_SKEW_S: Final = 0.1
"""Where a party begins is known by times of arrival, and a machine that is busy with other tests sends late."""
_VERSION: Final = re.compile(r"^o=\S+ (\S+) (\d+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Message:
    """A SIP message, taken apart no further than the rules need."""

    trace: SipTrace

    @property
    def first(self) -> str:
        return self.trace.message.split("\r\n", 1)[0]

    @property
    def status(self) -> int:
        return int(self.first.split(" ")[1]) if self.first.startswith("SIP/2.0 ") else 0

    @property
    def body(self) -> str:
        return self.trace.message.partition("\r\n\r\n")[2]

    def header(self, name: str) -> str:
        head = self.trace.message.partition("\r\n\r\n")[0]
        found = re.search(rf"^{name}:\s*(.*?)\r?$", head, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""

    @property
    def branch(self) -> str:
        return self.header("Via").partition("branch=")[2].partition(";")[0].partition(",")[0]

    @property
    def cseq(self) -> tuple[int, str]:
        number, _, method = self.header("CSeq").partition(" ")
        return int(number), method.strip()


def sip_faults(sip: Sequence[SipTrace]) -> list[str]:
    """Return what the recorder said that it must not say; `sip` in the order of time."""
    received = [_Message(trace) for trace in sip if not trace.outgoing]
    return [*_two_answers(received), *_numbers(received), *_descriptions(received)]


def _two_answers(received: list[_Message]) -> Iterator[str]:
    answers: dict[tuple[str, int, str], set[str]] = defaultdict(set)
    for message in received:
        if message.status >= 200:
            answers[message.branch, *message.cseq].add(message.trace.message)
    for (branch, number, method), contents in answers.items():
        if len(contents) > 1:
            text = "\n----\n".join(sorted(contents))
            yield f"{len(contents)} different final responses to {method} {number} ({branch}):\n{text}"


def _numbers(received: list[_Message]) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    last: dict[str, tuple[int, str]] = {}
    for message in received:
        call_id = message.header("Call-ID")
        number, method = message.cseq
        if message.status or method == "ACK" or (call_id, message.branch) in seen:
            continue
        seen.add((call_id, message.branch))
        if call_id in last and number <= last[call_id][0]:
            yield f"CSeq {number} {method} after {last[call_id]} in {call_id}"
        last[call_id] = (number, method)


def _descriptions(received: list[_Message]) -> Iterator[str]:
    """One version of a session description has one content, and versions do not fall (RFC 3264 section 8)."""
    known: dict[tuple[str, str, int], str] = {}
    highest: dict[tuple[str, str], int] = {}
    done: set[tuple[str, str, str]] = set()
    for message in received:
        found = _VERSION.search(message.body)
        what = (message.header("Call-ID"), message.branch, message.first)
        if found is None or what in done:
            continue
        done.add(what)
        session, version = (what[0], found[1]), int(found[2])
        if known.setdefault((*session, version), message.body) != message.body:
            yield f"version {version} with two contents:\n{known[*session, version]}\n----\n{message.body}"
        if version < highest.get(session, version):
            yield f"version {version} after {highest[session]} in {what[0]}"
        highest[session] = max(version, highest.get(session, version))


def paused_faults(journal: Journal, captures: Sequence[Path]) -> list[str]:
    """Return where the payload of a packet that was sent during a pause is in a capture file of these directories.

    A payload that the same call also sent outside of its pauses proves nothing and is left out.
    """
    conversation = load_conversation(journal.law)
    files = [(path, path.read_bytes()) for folder in captures for path in folder.rglob("*.tcap")]
    faults = []
    for facts in journal.calls.values():
        rows = journal.packets_of(facts.call)
        rows = rows[rows["flags"] & SENT != 0]
        barred = (rows["flags"] & PAUSED != 0) & (rows["flags"] & DOUBTFUL == 0)
        if not barred.any():
            continue
        mine = [(path, data) for path, data in files if facts.call_id.encode() in data]
        for party in (0, 1):
            of_party = rows["stream"] == party
            secret = conversation.frames(party, rows["speech"][of_party & barred])
            open_ = {bytes(frame) for frame in conversation.frames(party, rows["speech"][of_party & ~barred])}
            for frame in {bytes(frame) for frame in secret} - open_:
                faults += [f"call {facts.call}: paused payload in {path.name}" for path, data in mine if frame in data]
    return faults


async def unrecorded(journal: Journal, catalog: Catalog) -> list[str]:
    """Return accepted INVITEs without a recording, and recordings that nobody finishes."""
    rows = await catalog.list_recordings(RecordingFilter(limit=10_000))
    known = {call_id for row in rows for call_id in row.sip_call_ids}
    accepted = {
        message.header("Call-ID")
        for message in map(_Message, journal.sip)
        if not message.trace.outgoing and message.status == 200 and message.cseq[1] == "INVITE"
    }
    faults = [f"accepted, but not in the catalog: {call_id}" for call_id in accepted - known]
    mine = [row for row in rows if accepted & set(row.sip_call_ids)]
    return faults + [f"never finished: {row.record_identifier} {row.state}" for row in mine if row.state in _UNFINISHED]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a run."""

    faults: tuple[str, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def lost(self) -> int:
        """Packets that are in no recording; each is inside a declared gap, or it is among the faults."""
        return sum(verdict.sent - verdict.recorded for verdict in self.verdicts)


async def judge(
    journal: Journal,
    state_dir: StateDir,
    *,
    cost: int = 0,
    patience_s: float = 150.0,
    interrupted: frozenset[int] = frozenset(),
    captures: Sequence[Path] = (),
) -> Judgement:
    """Wait for the recordings of a run and say everything that is wrong.

    Args:
        journal: of the finished run.
        state_dir: of the recorder, which runs.
        cost: packets that each stream may have lost, if a gap declares them.
        patience_s: without any recording becoming final.
        interrupted: calls whose recording is to be declared interrupted.
        captures: directories of captures; by default those of `state_dir`.

    """
    running = state_dir.read_running()
    assert running is not None
    catalog = await Catalog.connect(running.dsn, min_size=1, max_size=1)
    try:
        verdicts = await verify(
            journal,
            catalog,
            Path(running.recordings_root),
            patience=Patience(limit_s=patience_s),
            tolerance=Tolerance(skew_s=_SKEW_S, lead_s=_SKEW_S, declared_loss=cost > 0),
            interrupted=interrupted,
        )
        faults = [str(difference) for verdict in verdicts for difference in verdict.differences]
        faults += await unrecorded(journal, catalog)
    finally:
        await catalog.close()
    faults += [
        f"call {verdict.call}: {verdict.sent - verdict.recorded} packets lost, {cost} per stream allowed"
        for verdict in verdicts
        if verdict.sent - verdict.recorded > 2 * cost
    ]
    faults += sip_faults(journal.sip)
    faults += paused_faults(journal, captures or [state_dir.captures])
    return Judgement(tuple(faults), tuple(verdicts))
