"""From the journal of a call to what its recording must hold: which payload at which place, and what may be missing.

Pure. Places are samples from the first planned packet of the same stream, by RTP timestamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recorder.simulator.conversation import FRAME_SAMPLES, Conversation
from recorder.simulator.g711 import SAMPLE_RATE, Octets
from recorder.simulator.journal import DELAYED, DOUBTFUL, DUPLICATE, PAUSED, SENT, CallFacts, Journal, Packets

NS_PER_SAMPLE: Final = 1_000_000_000 // SAMPLE_RATE


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedParty:
    """What one party sent that counts, in the order of its timestamps."""

    party: int
    places: npt.NDArray[np.int64]
    """Samples from the stream's first planned packet to each packet that may be in the recording."""
    payloads: Octets
    """Shape (packets, 160)."""
    sequences: npt.NDArray[np.uint16]
    certain: npt.NDArray[np.bool_]
    """False: the packet may be missing, but only as a whole."""
    paused: tuple[tuple[int, int], ...]
    """Intervals (begin, end) of packets that must not be there because recording was paused."""
    length: int
    """Samples from the first planned packet to the end of the last."""
    origin_ns: int
    """Wall clock at which place 0 was due; if the journal does not say, as early as any packet lets it have been."""


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """What one recording must hold."""

    facts: CallFacts
    parties: tuple[ExpectedParty, ...]


def expected_call(journal: Journal, conversation: Conversation, call: int) -> ExpectedCall:
    """Say what the recording of `call` must hold.

    Raises:
        ValueError: the journal was made with other speech than `conversation`.

    """
    if journal.speech_sha256 != conversation.digest:
        raise ValueError("the journal was made with other speech than this program's; its payloads cannot be rebuilt")
    facts = journal.calls[call]
    rows = journal.packets_of(call)
    due = journal.due.get(call) or (None,) * len(facts.first_timestamps)
    return ExpectedCall(
        facts=facts,
        parties=tuple(
            _expected_party(rows[rows["stream"] == party], conversation, party, first, due_ns)
            for party, (first, due_ns) in enumerate(zip(facts.first_timestamps, due, strict=True))
        ),
    )


def expected_master(copies: Sequence[ExpectedCall]) -> ExpectedCall:
    """Say what the healed master of copies of one call must hold: what either of them may have received, once.

    A packet that one copy was sent while the other was paused is in doubt: a pause of any copy silences the master.
    """
    parties = zip(*(copy.parties for copy in copies), strict=True)
    return ExpectedCall(copies[0].facts, tuple(_merged(party) for party in parties))


def _merged(copies: Sequence[ExpectedParty]) -> ExpectedParty:
    places = np.concatenate([copy.places for copy in copies])
    chosen, first = np.unique(places, return_index=True)
    certain = np.isin(chosen, np.concatenate([copy.places[copy.certain] for copy in copies]))
    for copy in copies:
        for begin, end in copy.paused:
            certain &= (chosen < begin) | (chosen >= end)
    origins = [copy.origin_ns for copy in copies if len(copy.places)]
    return ExpectedParty(
        party=copies[0].party,
        places=chosen,
        payloads=np.concatenate([copy.payloads for copy in copies])[first],
        sequences=np.concatenate([copy.sequences for copy in copies])[first],
        certain=certain,
        paused=tuple(sorted(span for copy in copies for span in copy.paused)),
        length=max(copy.length for copy in copies),
        origin_ns=origins[0] if origins else 0,
    )


def _expected_party(
    rows: Packets, conversation: Conversation, party: int, first_timestamp: int, due_ns: int | None
) -> ExpectedParty:
    rows = rows[rows["flags"] & DUPLICATE == 0]
    rows = rows[np.argsort(rows["packet"], kind="stable")]
    flags = rows["flags"]
    # Unsigned arithmetic modulo 2^32 is RTP's own; a call is far shorter than half a turn (74 hours).
    places = (rows["timestamp"] - np.uint32(first_timestamp)).astype(np.int64)
    counted = flags & SENT != 0
    # A packet sent while paused counts only while it is in doubt whether the pause was already agreed.
    counted &= (flags & PAUSED == 0) | (flags & DOUBTFUL != 0)
    on_time = (flags & SENT != 0) & (flags & DELAYED == 0)
    origins = rows["at_ns"][on_time] - places[on_time] * NS_PER_SAMPLE
    if due_ns is None:
        # A packet leaves late, never early.
        due_ns = int(origins.min()) if len(origins) else 0
    chosen = rows[counted]
    return ExpectedParty(
        party=party,
        places=places[counted],
        payloads=conversation.frames(party, chosen["speech"]),
        sequences=chosen["sequence"].copy(),
        certain=chosen["flags"] & DOUBTFUL == 0,
        paused=_runs(places[(flags & PAUSED != 0) & ~counted]),
        length=int(places[-1]) + FRAME_SAMPLES if len(places) else 0,
        origin_ns=due_ns,
    )


def _runs(places: npt.NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """Join packets that follow each other without a hole into intervals."""
    if not len(places):
        return ()
    breaks = np.flatnonzero(np.diff(places) != FRAME_SAMPLES) + 1
    return tuple((int(run[0]), int(run[-1]) + FRAME_SAMPLES) for run in np.split(places, breaks))
