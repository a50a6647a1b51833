"""What each call sends, from a seed: identifiers, streams, and the order in which packets leave.

Pure. The seed decides the media (offsets, SSRC, sequence, timestamps, impairments), so that a run can be repeated;
`run` makes the identifiers new each time, because a record identifier that comes again continues its recording.
"""

from __future__ import annotations

import base64
import enum
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from recorder.simulator.conversation import FRAME_SAMPLES, PARTIES
from recorder.simulator.g711 import SAMPLE_RATE, Law

PACKETS_PER_SECOND: Final = SAMPLE_RATE // FRAME_SAMPLES
TICKS_PER_SLOT: Final = 4
"""Calls are spread over the 20 ms between two packets in steps of 5 ms."""
NOTHING: Final = -1
"""In a schedule: nothing leaves in this slot."""
_OFFSET_STRIDE: Final = 4801
"""Samples between the speech of one call and the next: prime, so that 480,000 calls begin at different samples."""
_WRAP_WITHIN: Final = 40
"""Packets: every fourth call's sequence numbers (and another fourth's timestamps) wrap this soon."""


class Door(enum.StrEnum):
    """Which kind of recording session is opened."""

    MSR = "msr"
    SIPREC = "siprec"


@dataclass(frozen=True, slots=True)
class Pause:
    """An interval in which the recorder is told, by re-INVITE, not to record."""

    at_s: float
    """Seconds after the start of the media."""
    for_s: float


@dataclass(frozen=True, slots=True)
class Impairments:
    """What happens to packets on their way; each is a share of all packets from 0 to 1."""

    loss: float = 0.0
    """Never sent."""
    reorder: float = 0.0
    """Sent 20 ms late, behind their successor."""
    duplicate: float = 0.0
    """Sent again 20 ms later."""


@dataclass(frozen=True, slots=True)
class ScenarioOptions:
    """Everything that all calls of a run have in common."""

    door: Door = Door.MSR
    calls: int = 1
    seconds: float = 10.0
    """Media time of each call."""
    law: Law = Law.PCMU
    seed: int = 1
    rate: float = 20.0
    """Call set-ups per second."""
    pauses: tuple[Pause, ...] = ()
    impairments: Impairments = Impairments()
    srtp: str = ""
    """Crypto-suite of all streams; empty for plain RTP."""
    copies: int = 1
    """Sessions that each call is sent by, under record identifiers of their own; 1 or 2."""
    copy_loss_s: float = 0.0
    """With two copies: a stretch of this length is withheld from each party of each copy, never the same of both."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The packets of one stream in the order in which they leave, one slot per 20 ms."""

    first: npt.NDArray[np.int32]
    """Per slot the packet that leaves, `NOTHING`, or `withheld(packet)`."""
    second: npt.NDArray[np.int32]
    """Per slot a packet that leaves after it: one that was delayed, or a duplicate; else `NOTHING`."""

    @property
    def slots(self) -> int:
        """Length in slots of 20 ms."""
        return len(self.first)


def withheld(packet: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Mark packets of a schedule as never sent; applying it twice gives the packets back."""
    return -2 - packet


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One RTP stream: one party of one call."""

    party: int
    ssrc: int
    first_sequence: int
    first_timestamp: int
    """RTP timestamp units."""
    speech_offset: int
    """Samples from the beginning of the conversation."""
    delay_ticks: int
    """Steps of 5 ms between the start of the call's media and this stream's first packet."""
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One recording session."""

    index: int
    door: Door
    law: Law
    seconds: float
    start_after_s: float
    """Seconds from the start of the run to the INVITE."""
    started_at: datetime
    record_identifier: str
    """MSR: user part of the Request-URI without `record=`. SIPREC: the session id of its metadata."""
    call_uuid: str
    conn_id: str
    dn: str
    other_dn: str
    record_dn: str
    agent_id: str
    ani: str
    dnis: str
    sips_app_name: str
    pauses: tuple[Pause, ...]
    streams: tuple[StreamPlan, ...]
    srtp: str = ""
    """Crypto-suite; empty for plain RTP."""
    copy_of: int | None = None
    """Index of the session that sends the same call."""


def plan_calls(options: ScenarioOptions, *, started_at: datetime, run: str) -> list[CallPlan]:
    """Lay out a run.

    Args:
        options: what the calls have in common.
        started_at: wall clock in UTC, for the identifiers.
        run: any text that no earlier run against the same recorder used.

    """
    calls = [_plan_call(options, index, started_at, run) for index in range(options.calls)]
    if options.copies == 1:
        return calls
    return [*calls, *(_plan_copy(options, call, options.calls + call.index) for call in calls)]


def _plan_copy(options: ScenarioOptions, call: CallPlan, index: int) -> CallPlan:
    """Return the second session of a call (reference: duplication by the Media Server).

    Equal: what names call and parties, and what is said. Different: record identifier, dialog, RTP sources.
    """
    rng = np.random.default_rng([options.seed, index])
    if call.door is Door.MSR:
        record_identifier = f"{call.call_uuid}_{call.started_at + timedelta(seconds=1):%Y-%m-%d_%H-%M-%S}"
    else:
        record_identifier = base64.b64encode(hashlib.sha256(call.record_identifier.encode()).digest()[:16]).decode()
    streams = tuple(
        _plan_stream(
            options,
            index,
            stream.party,
            rng,
            offset=stream.speech_offset,
            delay_ticks=stream.delay_ticks,
            keep_back=_kept_back(options, stream.party, 1, call.index),
        )
        for stream in call.streams
    )
    return replace(call, index=index, record_identifier=record_identifier, streams=streams, copy_of=call.index)


def _kept_back(options: ScenarioOptions, party: int, copy: int, call: int) -> range:
    """Return the packets that are withheld from a party of a copy: in one half of the call or in the other."""
    packets = max(1, round(options.seconds * PACKETS_PER_SECOND))
    count = round(options.copy_loss_s * PACKETS_PER_SECOND)
    if options.copies == 1 or not count:
        return range(0)
    rng = np.random.default_rng([options.seed, call, party, 77])
    half, room = packets // 2, packets // 2 - count
    begin = int(rng.integers(max(room, 0) + 1)) + half * ((copy + int(rng.integers(2))) % 2)
    return range(begin, begin + count)


def _plan_call(options: ScenarioOptions, index: int, started_at: datetime, run: str) -> CallPlan:
    identity = hashlib.sha256(f"{run}/{options.seed}/{index}".encode()).digest()
    call_uuid = base64.b32encode(identity[:20]).decode()
    if options.door is Door.MSR:
        record_identifier = f"{call_uuid}_{started_at:%Y-%m-%d_%H-%M-%S}"
    else:
        record_identifier = base64.b64encode(identity[:16]).decode()  # RFC 7865 §6.10: 16 octets in base64
    rng = np.random.default_rng([options.seed, index])
    beginning = int(np.random.default_rng(options.seed).integers(60 * SAMPLE_RATE))
    offset = (beginning + index * _OFFSET_STRIDE) % (60 * SAMPLE_RATE)
    phase = index % TICKS_PER_SLOT
    return CallPlan(
        index=index,
        door=options.door,
        law=options.law,
        seconds=options.seconds,
        start_after_s=index / options.rate,
        started_at=started_at,
        record_identifier=record_identifier,
        call_uuid=call_uuid,
        conn_id=identity[20:28].hex(),
        dn=f"{5550100 + index}",
        other_dn=f"{6660100 + index}",
        record_dn=f"{5550100 + index}",
        agent_id=f"agent-{index + 1:04d}",
        ani=f"{6660100 + index}",
        dnis="5550000",
        sips_app_name="SIP_Simulator",
        pauses=options.pauses,
        srtp=options.srtp,
        streams=tuple(
            _plan_stream(
                options,
                index,
                party,
                rng,
                offset=offset,
                delay_ticks=phase + party * int(rng.integers(TICKS_PER_SLOT)),
                keep_back=_kept_back(options, party, 0, index),
            )
            for party in range(len(PARTIES))
        ),
    )


def _plan_stream(
    options: ScenarioOptions,
    index: int,
    party: int,
    rng: np.random.Generator,
    *,
    offset: int,
    delay_ticks: int,
    keep_back: range,
) -> StreamPlan:
    sequence, timestamp = int(rng.integers(1 << 16)), int(rng.integers(1 << 32))
    if index % 4 == 1:
        sequence = (1 << 16) - 1 - sequence % _WRAP_WITHIN
    elif index % 4 == 2:
        timestamp = (1 << 32) - 1 - timestamp % (_WRAP_WITHIN * FRAME_SAMPLES)
    packets = max(1, round(options.seconds * PACKETS_PER_SECOND))
    return StreamPlan(
        party=party,
        ssrc=int(rng.integers(1, 1 << 32)),
        first_sequence=sequence,
        first_timestamp=timestamp,
        speech_offset=offset,
        delay_ticks=delay_ticks,
        schedule=lay_out(packets, options.impairments, rng, keep_back),
    )


def lay_out(packets: int, impairments: Impairments, rng: np.random.Generator, keep_back: range = range(0)) -> Schedule:
    """Put `packets` into slots of 20 ms, impaired at random; those of `keep_back` are withheld in any case.

    Each packet is in the schedule exactly once, as sent or as withheld; a duplicate only behind a packet that was
    sent in its own slot. One slot more than packets: for what the last packet leaves behind.
    """
    chance = rng.random((3, packets))
    lost = chance[0] < impairments.loss
    lost[keep_back.start : keep_back.stop] = True
    late = (chance[1] < impairments.reorder) & ~lost
    late[1:] &= ~late[:-1]  # a packet behind a late one keeps its slot, or both would merely be shifted
    late[-1:] = False  # the last one has no successor to change places with
    again = (chance[2] < impairments.duplicate) & ~lost & ~late

    first = np.full(packets + 1, NOTHING, np.int32)
    second = np.full(packets + 1, NOTHING, np.int32)
    number = np.arange(packets, dtype=np.int32)
    first[:-1] = np.where(lost, withheld(number), np.where(late, NOTHING, number))
    # A packet cannot be late and doubled, and two neighbours compete for no slot: each uses the one behind its own.
    second[1:][late] = number[late]
    second[1:][again] = number[again]
    return Schedule(first=first, second=second)
