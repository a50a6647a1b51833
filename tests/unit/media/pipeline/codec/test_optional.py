"""Codecs of optional packages, with and without them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from media.container import Codec
from media.pipeline.codec import FrameFormat, Payloads, default_registry, ffmpeg, g722
from tests.unit.media.pipeline.codec.material import likeness, payloads


def format_of(name: str) -> FrameFormat:
    found = default_registry().find(Codec(name=name, clock_rate=8000))
    assert isinstance(found, FrameFormat)
    return found


def heard(format_: FrameFormat, packets: list[bytes]) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.concatenate([part for part in format_.decoder().decode(packets) if part is not None])


def lengths(*sizes: int) -> Payloads:
    return Payloads(np.zeros(0, np.uint8), np.array(sizes), np.array(sizes))


def test_g722_by_its_package_is_what_ffmpeg_encoded() -> None:
    format_ = format_of("G722")
    assert isinstance(format_.decoder(), g722.WidebandDecoder)
    decoded = heard(format_, payloads("g722.rtp"))
    assert len(decoded) == 16_000
    assert likeness(decoded, 16_000)[0] > 0.99


def test_g722_by_ffmpeg_is_the_same_within_rounding() -> None:
    decoded = heard(g722.Wideband(lambda: ffmpeg.FfmpegDecoder("g722", 16_000)), payloads("g722.rtp"))
    assert len(decoded) == 16_000
    assert likeness(decoded, 16_000)[0] > 0.99


def test_r11_g722_lasts_a_unit_for_each_octet_although_it_has_two_samples() -> None:
    format_ = format_of("G722")
    assert format_.sample_rate == 16_000
    assert format_.durations(lengths(160, 80, 3)).tolist() == [160, 80, 3]
    decoded = format_.decoder().decode([payloads("g722.rtp")[0][:80]])
    assert decoded[0] is not None
    assert len(decoded[0]) == 160


def test_g729_is_what_bcg729_encoded() -> None:
    decoded = heard(format_of("G729"), payloads("g729.rtp"))
    assert len(decoded) == 8000
    assert likeness(decoded, 8000)[0] > 0.6


def test_g729_comfort_noise_frames_are_left_out() -> None:
    packets = [packet for packet in payloads("g729-annex-b.rtp") if packet]
    decoded = format_of("G729").decoder().decode(packets)
    assert [0 if part is None else len(part) for part in decoded] == [80 if len(p) == 10 else 0 for p in packets]
    assert format_of("G729").durations(lengths(10, 20, 12, 2)).tolist() == [80, 160, 80, 0]


def test_what_ffmpeg_refuses_is_none() -> None:
    class Refusing(ffmpeg.FfmpegDecoder):
        def __init__(self) -> None:
            super().__init__("g729", 8000)

    assert Refusing().decode([b"\x01\x02\x03"]) == [None]


def found_without(*packages: str) -> list[str]:
    """Names of codecs that a fresh interpreter decodes when it cannot import these packages."""
    blocked = "".join(f"sys.modules[{package!r}] = None; " for package in packages)
    names = ["PCMU", "OPUS", "GSM", "G722", "G729", "AMR", "AMR-WB", "ILBC", "SPEEX"]
    program = (
        f"import sys; {blocked}"
        "from media.container import Codec; from media.pipeline.codec import default_registry; "
        f"registry = default_registry(); print(*[name for name in {names!r} if any("
        "registry.find(Codec(name=name, clock_rate=rate)) for rate in (8000, 16000, 48000))])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return told.stdout.split()


@pytest.mark.parametrize(
    ("absent", "found"),
    [
        ((), ["PCMU", "OPUS", "GSM", "G722", "G729", "AMR", "AMR-WB", "ILBC", "SPEEX"]),
        (("G722",), ["PCMU", "OPUS", "GSM", "G722", "G729", "AMR", "AMR-WB", "ILBC", "SPEEX"]),
        (("av",), ["PCMU", "OPUS", "GSM", "G722"]),
        (("av", "G722"), ["PCMU", "OPUS", "GSM"]),
    ],
)
def test_a_codec_whose_package_is_absent_is_undecodable_and_no_error(absent: tuple[str, ...], found: list[str]) -> None:
    assert found_without(*absent) == found
