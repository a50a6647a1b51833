"""Level, clipping and speech of one party."""

from __future__ import annotations

import numpy as np
import pytest

from media.pipeline.codec import Law
from media.pipeline.codec.g711 import compress
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


@pytest.mark.parametrize("law", list(Law))
def test_codes_measure_as_their_samples(law: Law) -> None:
    samples = np.random.default_rng(1).integers(-32000, 32000, 4000).astype(np.int16)
    codes = compress(samples, law)
    by_code, by_sample = LevelMeter(8000, law), LevelMeter(8000, None)
    by_code.feed(codes)
    by_sample.feed(samples)
    assert by_code.level_dbfs(4000) == pytest.approx(by_sample.level_dbfs(4000), abs=0.05)
    assert by_code.speech_share == by_sample.speech_share


def test_the_rest_of_the_last_frame_counts_for_the_level() -> None:
    meter = LevelMeter(8000, None)
    meter.feed(np.full(161, 32767, np.int16))
    meter.feed(np.zeros(0, np.int16))
    assert meter.level_dbfs(161) == 0.0
