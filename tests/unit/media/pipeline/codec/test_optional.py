"""Codecs of optional packages; skipped where these are not installed."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from media.container import Codec
from media.pipeline.codec import FrameFormat, Payloads, default_registry, ffmpeg, g722
from tests.unit.media.pipeline.codec.material import likeness, payloads

HAS_AV = importlib.util.find_spec("av") is not None
HAS_G722 = importlib.util.find_spec("G722") is not None

needs_av = pytest.mark.skipif(not HAS_AV, reason="PyAV is not installed")
needs_g722 = pytest.mark.skipif(not HAS_G722, reason="G722 is not installed")


def format_of(name: str) -> FrameFormat:
    found = default_registry().find(Codec(name=name, clock_rate=8000))
    assert isinstance(found, FrameFormat)
    return found


def heard(format_: FrameFormat, packets: list[bytes]) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.concatenate([part for part in format_.decoder().decode(packets) if part is not None])


def lengths(*sizes: int) -> Payloads:
    return Payloads(np.zeros(0, np.uint8), np.array(sizes), np.array(sizes))


@needs_g722
def test_g722_by_its_package_is_what_ffmpeg_encoded() -> None:
    format_ = format_of("G722")
    assert isinstance(format_.decoder(), g722.WidebandDecoder)
    decoded = heard(format_, payloads("g722.rtp"))
    assert len(decoded) == 16_000
    assert likeness(decoded, 16_000)[0] > 0.99


@needs_av
def test_g722_by_ffmpeg_is_the_same_within_rounding() -> None:
    decoded = heard(g722.Wideband(lambda: ffmpeg.FfmpegDecoder("g722", 16_000)), payloads("g722.rtp"))
    assert len(decoded) == 16_000
    assert likeness(decoded, 16_000)[0] > 0.99


@pytest.mark.skipif(not (HAS_AV or HAS_G722), reason="neither G722 nor PyAV is installed")
def test_r11_g722_lasts_a_unit_for_each_octet_although_it_has_two_samples() -> None:
    format_ = format_of("G722")
    assert format_.sample_rate == 16_000
    assert format_.durations(lengths(160, 80, 3)).tolist() == [160, 80, 3]
    decoded = format_.decoder().decode([payloads("g722.rtp")[0][:80]])
    assert decoded[0] is not None
    assert len(decoded[0]) == 160


@needs_av
def test_g729_is_what_bcg729_encoded() -> None:
    decoded = heard(format_of("G729"), payloads("g729.rtp"))
    assert len(decoded) == 8000
    assert likeness(decoded, 8000)[0] > 0.6


@needs_av
def test_g729_comfort_noise_frames_are_left_out() -> None:
    packets = [packet for packet in payloads("g729-annex-b.rtp") if packet]
    decoded = format_of("G729").decoder().decode(packets)
    assert [0 if part is None else len(part) for part in decoded] == [80 if len(p) == 10 else 0 for p in packets]
    assert format_of("G729").durations(lengths(10, 20, 12, 2)).tolist() == [80, 160, 80, 0]


@needs_av
def test_what_ffmpeg_refuses_is_none() -> None:
    class Refusing(ffmpeg.FfmpegDecoder):
        def __init__(self) -> None:
            super().__init__("g729", 8000)

    assert Refusing().decode([b"\x01\x02\x03"]) == [None]


@pytest.mark.skipif(HAS_AV, reason="PyAV is installed")
def test_without_pyav_g729_is_undecodable_and_no_error() -> None:
    assert not ffmpeg.can_decode("g729")
    assert default_registry().find(Codec(name="G729", clock_rate=8000)) is None


@pytest.mark.skipif(HAS_AV or HAS_G722, reason="a G.722 decoder is installed")
def test_without_a_package_g722_is_undecodable_and_no_error() -> None:
    assert default_registry().find(Codec(name="G722", clock_rate=8000)) is None
