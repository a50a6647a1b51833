"""Sample rates turned into each other: level, place and purity."""

from __future__ import annotations

import numpy as np
import pytest

from media.pipeline.resampling import reach, resample

RATES = [(8000, 16_000), (8000, 48_000), (16_000, 8000), (44_100, 48_000), (48_000, 8000), (11_025, 8000)]


def tone(rate: int, frequency: float, start: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    samples = np.zeros(count, np.int16)
    samples[:] = np.rint(12_000 * np.sin(2 * np.pi * frequency * np.arange(start, start + count) / rate))
    return samples


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_tone_keeps_level_phase_and_purity(source: int, target: int) -> None:
    side = reach(source, target)
    result = resample(tone(source, 1000, -side, source + 2 * side), source, target)
    expected = tone(target, 1000, 0, target)
    assert len(result) == target
    noise = np.sqrt(np.mean((result.astype(float) - expected) ** 2))
    assert noise < 8485 * 10 ** (-65 / 20)


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_constant_stays_the_same_constant(source: int, target: int) -> None:
    side = reach(source, target)
    assert set(resample(np.full(source + 2 * side, -1234, np.int16), source, target).tolist()) == {-1234}


@pytest.mark.parametrize(("source", "target"), [(48_000, 8000), (16_000, 8000)])
def test_what_the_lower_rate_cannot_hold_is_gone(source: int, target: int) -> None:
    side = reach(source, target)
    result = resample(tone(source, 5600, -side, source + 2 * side), source, target)
    assert np.abs(result).max() < 12


@pytest.mark.parametrize(("source", "target"), RATES)
def test_parts_join_without_a_seam(source: int, target: int) -> None:
    side = reach(source, target)
    noise = np.random.default_rng(2).integers(-20_000, 20_000, 3 * source + 2 * side).astype(np.int16)
    whole = resample(noise, source, target)
    parts = [resample(noise[n * source : (n + 1) * source + 2 * side], source, target) for n in range(3)]
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_full_scale_is_limited_not_wrapped() -> None:
    side = reach(8000, 16_000)
    square = np.where(np.arange(8000 + 2 * side) // 40 % 2, 32767, -32768).astype(np.int16)
    result = resample(square, 8000, 16_000).astype(int)
    assert np.abs(np.diff(result)).max() < 65_536
    assert (result.max(), result.min()) == (32767, -32768)
