"""Whatever a network does to two parties, every sample that came is at its place, and every other one is declared."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from media.container import RecordFlag
from media.pipeline import GapCause, GapKind, Rendering, render
from tests.unit.media.pipeline.recordings import (
    CaptureFile,
    Rtp,
    sender_report,
    sound,
    stream,
    talk,
    wav_channels,
)

SIZES = (1, 7, 80, 160, 160, 160, 240, 480)
SILENCE = 0xFF


class Sent:
    """What one party sent, and what arrived of it.

    Args:
        audio: all of it.
        packets: all of them, in order, arriving in time.
        arrived: in order of arrival, duplicates included.

    """

    def __init__(self, audio: bytes, packets: list[Rtp], arrived: list[Rtp]) -> None:
        self.audio = audio
        self.packets = packets
        self.arrived = arrived

    def __repr__(self) -> str:
        first = self.packets[0]
        numbers = [packet.sequence_number - first.sequence_number for packet in self.arrived]
        sizes = [len(packet.payload) for packet in self.packets]
        return f"Sent({first.sequence_number=}, {first.timestamp=}, {sizes=}, {numbers=})"

    @property
    def received(self) -> NDArray[np.bool_]:
        """Which samples of `audio` arrived."""
        found = np.zeros(len(self.audio), np.bool_)
        first = self.packets[0].timestamp
        for packet in self.arrived:
            start = packet.timestamp - first
            found[start : start + len(packet.payload)] = True
        return found


@st.composite
def senders(draw: st.DrawFn, number: int = 0, most: int = 120) -> Sent:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(2, most))
    fixed = draw(st.sampled_from([*SIZES, 0]))
    sizes = np.full(count, fixed) if fixed else random.choice(SIZES, count)
    audio = random.integers(0, 0x7F, int(sizes.sum()), np.uint8).tobytes()
    sequence = draw(st.sampled_from([0, 1, 1000, 65_535, 65_536 - count // 2]))
    timestamp = draw(st.sampled_from([0, 160, 2**31, 2**32 - 1, 2**32 - int(sizes.sum()) // 2]))
    ends = np.cumsum(sizes)
    packets = [
        Rtp(
            sequence_number=sequence + n,
            timestamp=timestamp + int(end - size),
            payload=audio[end - size : end],
            arrival_ms=float(end) / 8,
            ssrc=0x1000 + number,
            stream=number,
        )
        for n, (size, end) in enumerate(zip(sizes, ends, strict=True))
    ]
    # The first and the last packet arrive, in time: what is missing before and after cannot be known.
    lost = random.random(count) < draw(st.sampled_from([0.0, 0.0, 0.02, 0.3, 0.9]))
    lost[[0, -1]] = False
    # Up to some dozens of packets late: more than a hundred is no reordering any more (RFC 3550 A.1).
    late_ms = random.exponential(draw(st.sampled_from([0.0, 0.5, 8.0])), count) * sizes.mean() / 8
    late_ms[[0, -1]] = 0
    twice = random.random(count) < draw(st.sampled_from([0.0, 0.05, 0.5]))
    arrived = [
        replace(packet, arrival_ms=packet.arrival_ms + wait)
        for packet, gone, wait in zip(packets, lost, late_ms, strict=True)
        if not gone
    ]
    arrived += [
        replace(packet, arrival_ms=packet.arrival_ms + 5 + float(random.exponential(40)))
        for packet, again, gone in zip(packets, twice, lost, strict=True)
        if again and not gone
    ]
    arrived.sort(key=lambda packet: packet.arrival_ms)
    return Sent(audio, packets, arrived)


def rendered(captures: list[CaptureFile], channels: int) -> tuple[Rendering, list[NDArray[np.uint8]]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rendering = render([capture.write(folder) for capture in captures], folder / "out.wav")
        return rendering, wav_channels(folder / "out.wav", channels)


def declared(rendering: Rendering, party: int) -> NDArray[np.bool_]:
    found = np.zeros(rendering.frames, np.bool_)
    for gap in rendering.gaps:
        if gap.party == party:
            assert not found[gap.start_frame : gap.start_frame + gap.frames].any()
            found[gap.start_frame : gap.start_frame + gap.frames] = True
    return found


def check(sent: Sent, heard: NDArray[np.uint8], gaps: NDArray[np.bool_], start: int = 0) -> None:
    """The party's audio begins at frame `start`."""
    received = sent.received
    inside = slice(start, start + len(sent.audio))
    expected = np.where(received, np.frombuffer(sent.audio, np.uint8), SILENCE)
    assert heard[inside].tobytes() == expected.tobytes()
    assert (gaps[inside] == ~received).all()
    assert (heard[: inside.start] == SILENCE).all()
    assert (heard[inside.stop :] == SILENCE).all()


@given(senders())
@settings(max_examples=150, deadline=None)
def test_one_party_is_complete_or_declared(sent: Sent) -> None:
    rendering, channels = rendered([CaptureFile(packets=sent.arrived, streams=[stream(0)])], 1)
    assert rendering.frames == len(sent.audio)
    check(sent, channels[0], declared(rendering, 0))
    quality = rendering.streams[0]
    distinct = {packet.sequence_number for packet in sent.arrived}
    assert quality.lost == len(sent.packets) - len(distinct)
    assert quality.duplicates == len(sent.arrived) - len(distinct)
    assert quality.packets == len(sent.arrived)
    assert quality.restarts == quality.strays == 0
    if len({len(packet.payload) for packet in sent.packets}) == 1:
        assert {gap.kind for gap in rendering.gaps} <= {GapKind.LOST}


@given(senders(0), senders(1), st.integers(0, 3000))
@settings(max_examples=80, deadline=None)
def test_two_parties_keep_their_distance(left: Sent, right: Sent, later: int) -> None:
    moved = Sent(
        right.audio,
        right.packets,
        [replace(packet, arrival_ms=packet.arrival_ms + later / 8) for packet in right.arrived],
    )
    rendering, channels = rendered([CaptureFile(packets=left.arrived + moved.arrived)], 2)
    assert rendering.frames == max(len(left.audio), later + len(right.audio))
    gaps = [declared(rendering, party) for party in (0, 1)]
    check(left, channels[0], np.where(np.arange(rendering.frames) < len(left.audio), gaps[0], False))
    check(moved, channels[1], gaps[1], later)


@given(senders(most=300), st.data())
@settings(max_examples=100, deadline=None)
def test_a_takeover_anywhere_joins_to_the_sample(sent: Sent, data: st.DataObject) -> None:
    """The second capture begins anywhere, and may hold again what the first one held, or miss a stretch."""
    count = len(sent.arrived)
    first_end = data.draw(st.integers(1, count), label="first capture ends")
    second_start = data.draw(st.integers(max(first_end - 60, 0), count - 1), label="second capture starts")
    second = [replace(p, flags=RecordFlag.RECOVERED) for p in sent.arrived[second_start:first_end]]
    second += sent.arrived[max(second_start, first_end) :]
    arrived = sent.arrived[:first_end] + second
    held = Sent(sent.audio, sent.packets, arrived)
    rendering, channels = rendered(
        [
            CaptureFile(packets=sent.arrived[:first_end], streams=[stream(0)], end=None),
            CaptureFile(
                packets=second,
                streams=[stream(0)],
                session="2" * 32,
                writer="writer-2",
                opened_ms=sent.arrived[min(first_end, count - 1)].arrival_ms,
            ),
        ],
        1,
    )
    received = held.received
    first, last = int(received.argmax()), len(received) - int(received[::-1].argmax())
    assert rendering.frames == last - first
    expected = np.where(received, np.frombuffer(sent.audio, np.uint8), SILENCE)[first:last]
    assert channels[0].tobytes() == expected.tobytes()
    assert (declared(rendering, 0) == ~received[first:last]).all()


@given(
    st.integers(30, 100),
    st.integers(-5, 5),
    st.floats(0.25, 0.9),
    st.floats(0, 1),
    st.sampled_from([(1000, 50_000), (65_500, 2**32 - 40_000)]),
)
@settings(max_examples=20, deadline=None)
def test_a_sender_that_falls_behind_during_a_takeover_is_joined_to_the_sample(
    lost: int, apart: int, speed: float, later: float, began: tuple[int, int]
) -> None:
    """A host is lost on a machine with too much work: the sender is slow while nobody hears it, and stays late.

    Args:
        lost: packets of the first party that nobody received.
        apart: how many more of the second one.
        speed: of the sender during the gap, media clock to wall clock.
        later: how much of what it fell behind it falls behind once more, slowly, afterwards.
        began: first sequence number and timestamp of both parties.

    """
    before, after = 120, 250
    sequence, timestamp = began
    missing = [lost, lost + apart]
    behind_ms = lost * 20 * (1 / speed - 1)
    first: list[Rtp] = []
    second: list[Rtp] = []
    sounds = []
    for party, gap in enumerate(missing):
        audio = sound((before + gap + after) * 160, seed=party + 1)
        packets = talk(audio, sequence=sequence, timestamp=timestamp, ssrc=0x1000 + party, stream=party)
        first += packets[:before]
        second += [
            replace(packet, arrival_ms=packet.arrival_ms + behind_ms * (1 + later * number / after))
            for number, packet in enumerate(packets[before + gap :])
        ]
        sounds.append(audio)
    rendering, channels = rendered(
        [
            CaptureFile(packets=first, end=None),
            CaptureFile(packets=second, session="2" * 32, writer="writer-2", opened_ms=before * 20.0),
        ],
        2,
    )
    for party, (audio, gap) in enumerate(zip(sounds, missing, strict=True)):
        start, end = before * 160, (before + gap) * 160
        expected = audio[:start] + bytes([SILENCE]) * (end - start) + audio[end:]
        assert channels[party][: len(expected)].tobytes() == expected
        assert [
            (found.start_frame, found.frames, found.kind, found.cause)
            for found in rendering.gaps
            if found.party == party and found.start_frame < end
        ] == [(start, end - start, GapKind.LOST, GapCause.WRITER_FAILOVER)]
    assert [quality.restarts for quality in rendering.streams] == [0, 0]


@given(
    st.lists(st.tuples(st.integers(1, 449), st.floats(20, 9000)), min_size=1, max_size=5),
    st.sampled_from([0.1, 4.0, 12.0, 18.0, 20.0]),
    st.integers(50, 400),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_a_sender_that_is_kept_from_its_work_stands_where_its_timestamps_say(
    stalls: list[tuple[int, float]], pace_ms: float, taken_over: int, reported: bool
) -> None:
    """Its reports say that its clock goes on; without them it says so itself, if it catches up quickly until its end.

    Args:
        stalls: before which packets of both parties, and how long, ms.
        pace_ms: least time from one packet to the next.
        taken_over: packet with which another writer begins.
        reported: both parties send reports.

    """
    if not reported:
        pace_ms = min(pace_ms, 4.0)
    late_ms, arrival_ms = dict(stalls), 0.0
    first: list[Rtp] = []
    second: list[Rtp] = []
    rtcp = []
    sounds = [sound(450 * 160, seed=party + 1) for party in (0, 1)]
    talks = [
        talk(audio, sequence=65_300, timestamp=2**32 - 30_000, ssrc=0x1000 + party, stream=party)
        for party, audio in enumerate(sounds)
    ]
    for number, both in enumerate(zip(*talks, strict=True)):
        arrival_ms = max(number * 20.0, arrival_ms + (pace_ms if number else 0) + late_ms.get(number, 0))
        (first if number < taken_over else second).extend(replace(packet, arrival_ms=arrival_ms) for packet in both)
    if reported:
        rtcp = [
            (party, float(at_ms), sender_report(0x1000 + party, at_ms, 2**32 - 30_000 + at_ms * 8, b"party-%d" % party))
            for party in (0, 1)
            for at_ms in range(1000, round(arrival_ms) + 6000, 5000)
        ]
    rendering, channels = rendered(
        [
            CaptureFile(packets=first, rtcp=[one for one in rtcp if one[1] <= first[-1].arrival_ms], end=None),
            CaptureFile(
                packets=second,
                rtcp=[one for one in rtcp if one[1] > first[-1].arrival_ms],
                session="2" * 32,
                writer="writer-2",
                opened_ms=first[-1].arrival_ms,
            ),
        ],
        2,
    )
    assert [channel.tobytes() for channel in channels] == sounds
    assert not rendering.gaps


@given(senders(most=200), st.integers(0, 60_000))
@settings(max_examples=20, deadline=None)
def test_a_capture_cut_anywhere_holds_what_its_whole_blocks_hold(sent: Sent, cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = CaptureFile(packets=sent.arrived, streams=[stream(0)], block_ms=100.0).write(folder)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) - cut % len(data)])
        rendering = render([path], folder / "out.wav")
        if rendering.frames:
            heard = wav_channels(folder / "out.wav", 1)[0]
            kept = heard != SILENCE
            base = 0 if len(sent.arrived) and sent.arrived[0].timestamp == sent.packets[0].timestamp else None
            if base is not None:
                assert (heard[kept] == np.frombuffer(sent.audio, np.uint8)[: len(heard)][kept]).all()
            assert (declared(rendering, 0) == ~kept).all()


@given(st.binary(max_size=400))
@settings(max_examples=20, deadline=None)
def test_any_packet_bytes_render_to_something(octets: bytes) -> None:
    """Fuzz: payload types, sizes and numbers by chance; nothing but our errors may come out."""
    packets = [
        Rtp(
            sequence_number=octets[n] << 8 | octets[n + 1],
            timestamp=int.from_bytes(octets[n : n + 4], "big"),
            payload=octets[n + 4 : n + 4 + octets[n + 5] % 7],
            arrival_ms=n + octets[n + 2],
            payload_type=octets[n + 3] & 0x7F,
            ssrc=octets[n + 1] & 3,
        )
        for n in range(0, max(len(octets) - 8, 0), 3)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rendering = render([CaptureFile(packets=packets).write(folder)], folder / "out")
        assert rendering.frames >= 0
        for party in {gap.party for gap in rendering.gaps}:
            declared(rendering, party)
