"""Where a source stands in time, from packets that come late by chance."""

from __future__ import annotations

import numpy as np
import pytest

from media.pipeline.envelope import LagEnvelope, drift_ppm, offset_ns

SECOND = 1_000_000_000
WALL = 1_772_366_400 * SECOND


def envelope(seconds: int, *, ppm: float = 0.0, jitter_ms: float = 0.0, seed: int = 1) -> LagEnvelope:
    media = np.arange(seconds * 50, dtype=np.int64) * 20_000_000
    late = np.random.default_rng(seed).exponential(jitter_ms * 1e6, len(media)) if jitter_ms else 0
    found = LagEnvelope()
    lags = WALL + (media * ppm / 1e6 + late).astype(np.int64) if ppm or jitter_ms else np.full(len(media), WALL)
    for part in range(0, len(media), 700):
        found.feed(media[part : part + 700], lags[part : part + 700])
    return found


def test_without_jitter_the_offset_is_exact() -> None:
    assert offset_ns(envelope(7).points()) == WALL


def test_jitter_of_ten_milliseconds_moves_nothing_by_a_sample() -> None:
    assert abs(offset_ns(envelope(60, jitter_ms=10).points()) - WALL) < 125_000


def test_an_outage_moves_nothing() -> None:
    found = envelope(60)
    found.feed(np.array([61 * SECOND]), np.array([WALL + 5 * SECOND]))
    assert offset_ns(found.points()) == WALL


def test_under_drift_the_offset_is_right_in_the_middle() -> None:
    assert abs(offset_ns(envelope(3600, ppm=100).points()) - (WALL + 180_000_000)) < 3_000_000


@pytest.mark.parametrize("ppm", [-80.0, 0.0, 35.0])
def test_drift_is_estimated_through_jitter(ppm: float) -> None:
    found = drift_ppm(envelope(1800, ppm=ppm, jitter_ms=8).points())
    assert found == pytest.approx(ppm, abs=1.0)


def test_a_short_source_does_not_tell_its_drift() -> None:
    assert drift_ppm(envelope(45, ppm=100).points()) is None


def test_the_number_of_bins_is_bounded() -> None:
    found = envelope(6 * 3600, ppm=50)
    assert 128 <= len(found.points()) <= 256
    assert drift_ppm(found.points()) == pytest.approx(50, abs=0.5)


def test_packets_in_any_order_give_the_same() -> None:
    media = np.arange(5000, dtype=np.int64) * 20_000_000
    lags = WALL + np.random.default_rng(3).integers(0, 10**7, 5000)
    one, other = LagEnvelope(), LagEnvelope()
    one.feed(media, lags)
    other.feed(media[::-1], lags[::-1])
    other.feed(media[:0], lags[:0])
    assert one.points() == other.points()
