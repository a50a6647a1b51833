"""iLBC: lengths and robustness. No independent encoder could be had, so no sound is held against the original."""

from __future__ import annotations

import numpy as np
import pytest

from media.container import Codec
from media.pipeline.codec import FrameFormat, default_registry
from tests.unit.media.pipeline.codec.test_amr import together


def format_of(fmtp: str) -> FrameFormat:
    found = default_registry().find(Codec(name="iLBC", clock_rate=8000, fmtp=fmtp))
    assert isinstance(found, FrameFormat)
    return found


@pytest.mark.parametrize(("fmtp", "octets", "units"), [("mode=20", 38, 160), ("mode=30", 50, 240), ("", 50, 240)])
def test_each_mode_has_its_frames(fmtp: str, octets: int, units: int) -> None:
    format_ = format_of(fmtp)
    packets = [np.random.default_rng(number).bytes(octets * (1 + number % 2)) for number in range(20)] + [b"short"]
    lengths = [units * (1 + number % 2) for number in range(20)] + [0]
    assert format_.durations(together(packets)).tolist() == lengths
    decoded = format_.decoder().decode(packets)
    assert [0 if part is None else len(part) for part in decoded] == lengths


def test_a_stretch_goes_on_where_the_one_before_ended() -> None:
    packets = [np.random.default_rng(number).bytes(50) for number in range(60)]
    whole = [part for part in format_of("mode=30").decoder().decode(packets) if part is not None]
    decoder = format_of("mode=30").decoder()
    parts = [part for half in (packets[:40], packets[40:]) for part in decoder.decode(half) if part is not None]
    assert len(whole) == len(parts) == len(packets)
    assert np.array_equal(np.concatenate(whole), np.concatenate(parts))


def test_an_unknown_mode_is_undecodable() -> None:
    assert default_registry().find(Codec(name="iLBC", clock_rate=8000, fmtp="mode=25")) is None
