"""Two parties on one clock: from arrival times, and from what their sender says of its clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from media.pipeline import Rendering, render
from tests.unit.media.pipeline.recordings import (
    START_NS,
    CaptureFile,
    Rtp,
    sender_report,
    sound,
    stream,
    talk,
    wav_channels,
)

SECOND = 8000
LEFT, RIGHT = sound(20 * SECOND, 1), sound(20 * SECOND, 2)


def delayed(packets: list[Rtp], *, base_ms: float = 0.0, jitter_ms: float = 0.0, seed: int = 1) -> list[Rtp]:
    """The packets after a network: none earlier than its least delay, the order kept."""
    late = np.random.default_rng(seed).exponential(jitter_ms, len(packets)) if jitter_ms else np.zeros(len(packets))
    late[:: max(len(packets) // 40, 1)] = 0
    times = np.maximum.accumulate(np.array([packet.arrival_ms for packet in packets]) + base_ms + late)
    return [replace(packet, arrival_ms=float(time)) for packet, time in zip(packets, times, strict=True)]


def rendered(folder: Path, packets: list[Rtp], rtcp: list[tuple[int, float, bytes]] | None = None) -> Rendering:
    return render([CaptureFile(packets=packets, rtcp=rtcp or []).write(folder)], folder / "out.wav")


def offset_of(folder: Path, audio: bytes, channel: int) -> int:
    """Where a party's audio lies in the file, which must hold it unbroken."""
    return wav_channels(folder / "out.wav")[channel].tobytes().index(audio)


def test_parties_start_where_they_arrived(tmp_path: Path) -> None:
    rendering = rendered(tmp_path, talk(LEFT) + talk(RIGHT, ssrc=2, stream=1, timestamp=7, start_ms=3033.5))
    assert (offset_of(tmp_path, LEFT, 0), offset_of(tmp_path, RIGHT, 1)) == (0, 24_268)
    assert rendering.frames == 24_268 + 20 * SECOND
    assert rendering.started_at_ns == START_NS - 20_000_000


def test_jitter_moves_nothing(tmp_path: Path) -> None:
    packets = delayed(talk(LEFT), jitter_ms=15, seed=3)
    packets += delayed(talk(RIGHT, ssrc=2, stream=1, start_ms=1000), jitter_ms=25, seed=4)
    rendering = rendered(tmp_path, packets)
    assert offset_of(tmp_path, RIGHT, 1) - offset_of(tmp_path, LEFT, 0) == SECOND
    assert rendering.streams[1].jitter_ms > rendering.streams[0].jitter_ms > 5


def test_the_first_packet_alone_being_late_moves_nothing(tmp_path: Path) -> None:
    packets = talk(LEFT)
    packets[0] = replace(packets[0], arrival_ms=15.0)
    rendered(tmp_path, packets + talk(RIGHT, ssrc=2, stream=1))
    assert offset_of(tmp_path, LEFT, 0) == 0


def test_sender_reports_align_sources_of_one_sender(tmp_path: Path) -> None:
    packets = talk(LEFT) + delayed(talk(RIGHT, ssrc=2, stream=1), base_ms=80)
    rtcp = [
        (0, 5000.0, sender_report(0x1000, 4980 + 777, 50_000 + 5000 * 8)),
        (1, 5080.0, sender_report(2, 4980 + 777, 50_000 + 5000 * 8)),
    ]
    rendered(tmp_path, packets, rtcp)
    assert offset_of(tmp_path, LEFT, 0) == offset_of(tmp_path, RIGHT, 1) == 0


def test_without_a_common_name_arrival_decides(tmp_path: Path) -> None:
    packets = talk(LEFT) + delayed(talk(RIGHT, ssrc=2, stream=1), base_ms=80)
    rtcp = [
        (0, 5000.0, sender_report(0x1000, 4980, 50_000 + 5000 * 8, b"caller")),
        (1, 5080.0, sender_report(2, 4980, 50_000 + 5000 * 8, b"agent")),
    ]
    rendered(tmp_path, packets, rtcp)
    assert offset_of(tmp_path, RIGHT, 1) == 640


def test_sender_reports_that_contradict_arrival_are_not_believed(tmp_path: Path) -> None:
    packets = talk(LEFT) + talk(RIGHT, ssrc=2, stream=1)
    rtcp = [
        (0, 5000.0, sender_report(0x1000, 4980, 50_000 + 5000 * 8)),
        (1, 5000.0, sender_report(2, 9980, 50_000 + 5000 * 8)),
    ]
    rendered(tmp_path, packets, rtcp)
    assert offset_of(tmp_path, LEFT, 0) == offset_of(tmp_path, RIGHT, 1) == 0


def test_a_sender_without_a_clock_and_rubbish_are_ignored(tmp_path: Path) -> None:
    silent = sender_report(2, 0, 50_000)
    silent = silent[:8] + bytes(8) + silent[16:]
    packets = talk(LEFT) + delayed(talk(RIGHT, ssrc=2, stream=1), base_ms=80)
    rtcp = [(0, 4000.0, b"rubbish"), (0, 5000.0, sender_report(0x1000, 4980, 90_000)), (1, 5000.0, silent)]
    rendered(tmp_path, packets, rtcp)
    assert offset_of(tmp_path, RIGHT, 1) == 640


def test_packets_of_different_length_do_not_shift_parties(tmp_path: Path) -> None:
    short = talk(LEFT, octets=80)
    long = talk(RIGHT, octets=480, ssrc=2, stream=1)
    # A packet leaves when its last sample has been taken.
    packets = [replace(packet, arrival_ms=packet.arrival_ms + len(packet.payload) / 8) for packet in short + long]
    rendered(tmp_path, packets)
    assert offset_of(tmp_path, LEFT, 0) == offset_of(tmp_path, RIGHT, 1) == 0


def test_a_single_stream_gives_a_single_channel(tmp_path: Path) -> None:
    capture = CaptureFile(packets=talk(LEFT), streams=[stream(0)]).write(tmp_path)
    assert render([capture], tmp_path / "out.wav").channels == 1
