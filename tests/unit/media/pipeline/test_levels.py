"""Level, clipping and speech of one party."""

from __future__ import annotations

import numpy as np
import pytest

from media.pipeline.codec import Law
from media.pipeline.codec.g711 import compress, expand
from media.pipeline.levels import LevelMeter


def test_full_scale_is_zero_decibels() -> None:
    meter = LevelMeter(8000, None)
    meter.feed(np.full(8000, -32768, np.int16))
    assert meter.level_dbfs(8000) == 0.0
    assert meter.clipped == 8000


def test_gaps_do_not_lower_the_level() -> None:
    meter = LevelMeter(8000, None)
    meter.feed(np.full(8000, 3276, np.int16))
    meter.feed(np.zeros(8000, np.int16))
    assert meter.level_dbfs(8000) == pytest.approx(-20.0, abs=0.01)
    assert meter.speech_share == 0.5


def test_silence_has_no_level() -> None:
    meter = LevelMeter(8000, None)
    meter.feed(np.zeros(100, np.int16))
    assert meter.level_dbfs(100) is None
    assert meter.level_dbfs(0) is None
    assert LevelMeter(8000, None).speech_share == 0.0


def test_room_noise_is_not_speech() -> None:
    meter = LevelMeter(8000, None)
    meter.feed(np.full(1600, 150, np.int16))
    assert meter.speech_share == 0.0


@pytest.mark.parametrize("rate", [8000, 11_250, 16_000])
@pytest.mark.parametrize("law", list(Law))
def test_codes_measure_as_their_samples(law: Law, rate: int) -> None:
    """At 11,250 Hz a frame has an odd number of samples."""
    samples = np.random.default_rng(1).integers(-32000, 32000, 4001).astype(np.int16)
    samples[1500:3000] //= 1000
    codes = compress(samples, law)
    by_code, by_sample = LevelMeter(rate, law), LevelMeter(rate, None)
    for start, end in ((0, 1), (1, 1300), (1300, 4001)):
        by_code.feed(codes[start:end])
        by_sample.feed(expand(codes[start:end], law))
    assert by_code.level_dbfs(4001) == by_sample.level_dbfs(4001)
    assert 0 < by_code.speech_share == by_sample.speech_share < 1
    assert by_code.clipped == by_sample.clipped


@pytest.mark.parametrize("law", list(Law))
def test_full_scale_codes_are_clipped(law: Law) -> None:
    meter = LevelMeter(8000, law)
    meter.feed(compress(np.array([32767, -32768, 32767, 20000], np.int16), law))
    assert meter.clipped == 3


def test_the_rest_of_the_last_frame_counts_for_the_level() -> None:
    meter = LevelMeter(8000, None)
    meter.feed(np.full(161, 32767, np.int16))
    meter.feed(np.zeros(0, np.int16))
    assert meter.level_dbfs(161) == 0.0
