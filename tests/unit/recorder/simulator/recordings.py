"""Builds journals as a run would leave them, and the perfect recording of each."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from recorder.simulator.audio_file import Encoding, RecordedAudio
from recorder.simulator.conversation import FRAME_SAMPLES, load_conversation
from recorder.simulator.expectation import ExpectedCall, expected_call
from recorder.simulator.g711 import Law, decode
from recorder.simulator.gap_check import DeclaredGap
from recorder.simulator.journal import DELAYED, DUPLICATE, PACKET_DTYPE, PAUSED, SENT, WITHHELD, CallFacts, Journal
from recorder.simulator.scenario import NOTHING, TICKS_PER_SLOT, Impairments, ScenarioOptions, plan_calls, withheld

START_NS = 1_900_000_000_000_000_000
SLOT_NS = 20_000_000
UNIMPAIRED = Impairments()


@dataclass(frozen=True)
class Made:
    """A call, and a recording of it that is right in every respect."""

    expected: ExpectedCall
    audio: RecordedAudio
    gaps: list[DeclaredGap]


def run_journal(
    *,
    seconds: float = 1.0,
    law: Law = Law.PCMU,
    seed: int = 1,
    index: int = 0,
    impairments: Impairments = UNIMPAIRED,
    paused: tuple[int, int] = (0, 0),
) -> Journal:
    """Return the journal of one call whose packets `paused` (from, to) fell into a pause."""
    options = replace(ScenarioOptions(), calls=index + 1, seconds=seconds, law=law, seed=seed, impairments=impairments)
    call = plan_calls(options, started_at=datetime(2030, 1, 15, 9, 30, tzinfo=UTC), run="r")[index]
    conversation = load_conversation(law)
    journal = Journal(law, conversation.digest)
    journal.calls[index] = CallFacts(
        call=index,
        door=call.door,
        record_identifier=call.record_identifier,
        call_id="c1@192.0.2.20",
        call_uuid=call.call_uuid,
        ani=call.ani,
        dnis=call.dnis,
        dn=call.dn,
        other_dn=call.other_dn,
        first_timestamps=tuple(stream.first_timestamp for stream in call.streams),
    )
    for stream in call.streams:
        first, second = stream.schedule.first, stream.schedule.second
        for slot in range(len(first)):
            for packet, late in ((int(first[slot]), False), (int(second[slot]), True)):
                if packet == NOTHING:
                    continue
                flags = SENT
                if packet < NOTHING:
                    packet, flags = int(withheld(np.int32(packet))), WITHHELD  # type: ignore[arg-type] # noqa: PLW2901
                elif late:
                    flags |= DUPLICATE if first[packet] == packet else DELAYED
                if paused[0] <= packet < paused[1]:
                    flags = PAUSED | flags & DUPLICATE
                row = np.zeros(1, PACKET_DTYPE)
                row["at_ns"] = START_NS + stream.delay_ticks * SLOT_NS // TICKS_PER_SLOT + slot * SLOT_NS
                row["call"], row["stream"], row["packet"], row["flags"] = index, stream.party, packet, flags
                row["sequence"] = (stream.first_sequence + packet) % 65536
                row["timestamp"] = (stream.first_timestamp + packet * FRAME_SAMPLES) % 2**32
                row["speech"] = (stream.speech_offset + packet * FRAME_SAMPLES) % conversation.samples
                journal.append(row)
    return journal


def perfect_recording(expected: ExpectedCall, law: Law, encoding: Encoding) -> RecordedAudio:
    """Place every packet where it belongs; the earliest stream begins the file."""
    origin = min(party.origin_ns + int(party.places[0]) * 125_000 for party in expected.parties)
    offsets = [round((party.origin_ns - origin) / 125_000) for party in expected.parties]
    length = max(
        int(party.places[-1]) + FRAME_SAMPLES + offset for party, offset in zip(expected.parties, offsets, strict=True)
    )
    frames: npt.NDArray[np.uint8] = np.full((length, 2), 0xFF if law is Law.PCMU else 0xD5, np.uint8)
    for party, offset in zip(expected.parties, offsets, strict=True):
        frames[(party.places + offset)[:, None] + np.arange(FRAME_SAMPLES), party.party] = party.payloads
    if encoding is Encoding.PCM16:
        return RecordedAudio(encoding, 8000, decode(frames, law))
    return RecordedAudio(encoding, 8000, frames)


def make(
    *,
    law: Law = Law.PCMU,
    encoding: Encoding | None = None,
    seconds: float = 1.0,
    seed: int = 1,
    index: int = 0,
    impairments: Impairments = UNIMPAIRED,
    paused: tuple[int, int] = (0, 0),
) -> Made:
    """Return a call with its perfect recording and the gaps that a right catalog declares."""
    journal = run_journal(seconds=seconds, law=law, seed=seed, index=index, impairments=impairments, paused=paused)
    expected = expected_call(journal, load_conversation(law), index)
    default = Encoding.MU_LAW if law is Law.PCMU else Encoding.A_LAW
    audio = perfect_recording(expected, law, encoding or default)
    origin = min(party.origin_ns + int(party.places[0]) * 125_000 for party in expected.parties)
    gaps = []
    for party in expected.parties:
        offset = round((party.origin_ns - origin) / 125_000)
        holes = np.flatnonzero(np.diff(party.places) > FRAME_SAMPLES)
        for hole in holes:
            begin, end = int(party.places[hole]) + FRAME_SAMPLES, int(party.places[hole + 1])
            missing = np.arange(begin, end, FRAME_SAMPLES)
            is_paused = np.array([any(a <= place < b for a, b in party.paused) for place in missing])
            for kind, chosen in (("paused", is_paused), ("lost", ~is_paused)):
                gaps += [
                    DeclaredGap(party.party, (int(place) + offset) / 8000, FRAME_SAMPLES / 8000, kind)
                    for place in missing[chosen]
                ]
    return Made(expected, audio, gaps)
