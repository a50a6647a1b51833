"""Speex: payloads of libspeex, and frames taken apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.container import Codec
from media.pipeline.codec import FrameFormat, default_registry
from media.pipeline.codec.speex import frames_of
from tests.unit.media.pipeline.codec.material import likeness, payloads
from tests.unit.media.pipeline.codec.test_amr import together


def format_of(rate: int) -> FrameFormat:
    found = default_registry().find(Codec(name="speex", clock_rate=rate))
    assert isinstance(found, FrameFormat)
    return found


@pytest.mark.parametrize(
    ("file", "rate", "frames", "least"),
    [("speex.rtp", 8000, 1, 0.65), ("speex-3.rtp", 8000, 3, 0.65), ("speex-wb.rtp", 16_000, 1, 0.7)],
)
def test_speech_of_libspeex_is_heard(file: str, rate: int, frames: int, least: float) -> None:
    format_, packets = format_of(rate), payloads(file)
    assert format_.durations(together(packets[:-1])).tolist() == [frames * rate // 50] * (len(packets) - 1)
    decoded = [part for part in format_.decoder().decode(packets) if part is not None]
    assert len(decoded) == len(packets)
    assert likeness(np.concatenate(decoded)[:rate], rate)[0] > least


def test_a_frame_taken_out_of_a_packet_is_the_frame_of_a_packet_of_its_own() -> None:
    alone, three = payloads("speex.rtp"), payloads("speex-3.rtp")
    assert [frame for packet in three for frame in frames_of(packet)][: len(alone)] == [
        frame for packet in alone for frame in frames_of(packet)
    ]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x7f",  # terminator
        b"\x2f",  # mode 5 and no bits of it
        b"\xb0" + bytes(40),  # a layer without a frame below it
        b"\x48" + bytes(40),  # mode 9, which does not exist
    ],
)
def test_what_holds_no_whole_frame_is_no_payload(payload: bytes) -> None:
    assert frames_of(payload) == []
    assert format_of(8000).durations(together([payload])).tolist() == [0]
    assert format_of(8000).decoder().decode([payload]) == [None]


@given(st.binary(max_size=200))
def test_any_octets_are_read_without_an_error(payload: bytes) -> None:
    assert len(frames_of(payload)) <= 10


def test_rates_that_speex_does_not_have_are_undecodable() -> None:
    assert default_registry().find(Codec(name="speex", clock_rate=44_100)) is None
