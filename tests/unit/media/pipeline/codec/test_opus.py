"""Opus, RFC 7587: lengths from the first octets, audio against what was encoded."""

from __future__ import annotations

import numpy as np
import pytest

from media.container import Codec
from media.pipeline.codec import FrameFormat, Payloads, default_registry
from media.pipeline.codec.opus import Opus, OpusDecoder, opus_format
from tests.unit.media.pipeline.codec.material import likeness, payloads

PACKETS = payloads("opus.rtp")
UNEVEN = bytes([31 << 3 | 3, 2, 1])
"""Two frames of equal length that share one octet: right in its first octets, and no Opus."""


def durations(*packets: bytes) -> list[int]:
    lengths = np.array([len(packet) for packet in packets])
    octets = np.frombuffer(b"".join(packets) + b"\0", np.uint8)
    return [int(units) for units in Opus(48_000).durations(Payloads(octets, np.cumsum(lengths) - lengths, lengths))]


def audio(parts: list[np.ndarray[tuple[int], np.dtype[np.int16]] | None]) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.concatenate([part for part in parts if part is not None])


@pytest.mark.parametrize(
    ("packet", "units"),
    [
        (bytes([0 << 3]), 480),  # SILK, 10 ms
        (bytes([3 << 3]) + b"x", 2880),  # SILK, 60 ms
        (bytes([12 << 3]) + b"x", 480),  # hybrid, 10 ms
        (bytes([16 << 3]) + b"x", 120),  # CELT, 2.5 ms
        (bytes([31 << 3]) + b"x", 960),  # CELT, 20 ms
        (bytes([31 << 3 | 1]) + b"xy", 1920),  # two equal frames
        (bytes([31 << 3 | 1]) + b"x", 0),  # which an odd number of octets cannot be
        (bytes([31 << 3 | 2]) + b"\x00x", 1920),  # two frames
        (bytes([31 << 3 | 3, 3]) + b"xyz", 2880),  # three frames
        (bytes([31 << 3 | 3, 7]) + b"xyz", 0),  # longer than 120 ms
        (bytes([31 << 3 | 3]), 0),  # without the count
        (b"", 0),
    ],
)
def test_the_first_octets_tell_the_length(packet: bytes, units: int) -> None:
    assert durations(b"\x00pad", packet) == [480, units]


@pytest.mark.parametrize(
    ("fmtp", "rate"),
    [("", 48_000), ("useinbandfec=1;sprop-maxcapturerate=16000", 16_000), ("sprop-maxcapturerate = 9000", 12_000)],
)
def test_the_sender_names_the_rate(fmtp: str, rate: int) -> None:
    assert opus_format(Codec(name="OPUS", clock_rate=48_000, channels=2, fmtp=fmtp)) == Opus(rate)


def test_another_clock_is_not_opus() -> None:
    assert opus_format(Codec(name="OPUS", clock_rate=8000)) is None


@pytest.mark.parametrize("rate", [8000, 48_000])
def test_the_audio_is_what_was_encoded(rate: int) -> None:
    decoded = OpusDecoder(rate).decode(PACKETS)
    assert [len(part) for part in decoded if part is not None] == [rate // 50] * len(PACKETS)
    correlation, delay_ms = likeness(audio(decoded), rate)
    assert correlation > 0.93
    assert 3 < delay_ms < 10


def test_stretches_join() -> None:
    long = PACKETS * 5
    whole = audio(OpusDecoder(48_000).decode(long))
    decoder = OpusDecoder(48_000)
    parts = audio(decoder.decode(long[:150]) + decoder.decode([]) + decoder.decode(long[150:]))
    difference = whole.astype(int) - parts
    assert not difference[: 150 * 960].any()
    assert np.sqrt(np.mean(difference.astype(float) ** 2)) < 0.03 * np.sqrt(np.mean(whole.astype(float) ** 2))


def test_a_packet_that_libopus_refuses_is_told_and_the_others_are_heard() -> None:
    decoded = OpusDecoder(48_000).decode([*PACKETS[:20], UNEVEN, *PACKETS[20:], b""])
    assert [number for number, part in enumerate(decoded) if part is None] == [20, 51 + 1]
    assert likeness(audio(decoded), 48_000)[0] > 0.85


def test_a_lone_refused_packet_is_none() -> None:
    assert OpusDecoder(48_000).decode([UNEVEN]) == [None]


def test_large_packets_take_pages_of_their_own() -> None:
    decoded = OpusDecoder(48_000).decode(PACKETS * 9)
    assert sum(len(part) for part in decoded if part is not None) == 9 * 51 * 960


def test_it_needs_no_package() -> None:
    found = default_registry().find(Codec(name="OPUS", clock_rate=48_000, channels=2))
    assert isinstance(found, FrameFormat)
    assert isinstance(found.decoder(), OpusDecoder)
