"""Interarrival jitter against the RFC's own loop."""

import numpy as np
import pytest

from media.rtp.jitter import JitterEstimator

ARRIVED = 1_772_366_400_000_000_000
"""ns, an ordinary wall clock: nanoseconds times clock rate would overflow 64 bits."""


def by_the_rfc(arrivals_ns: list[int], timestamps: list[int], clock_rate: int) -> list[float]:
    """RFC 3550 A.8 in exact arithmetic, packet by packet."""
    jitter, estimates = 0.0, []
    for earlier, later in zip(range(len(timestamps)), range(1, len(timestamps)), strict=False):
        arrived = (arrivals_ns[later] - arrivals_ns[earlier]) * clock_rate / 1e9
        difference = abs(arrived - (timestamps[later] - timestamps[earlier]))
        jitter += (difference - jitter) / 16.0
        estimates.append(jitter)
    return estimates


def test_a_steady_stream_has_no_jitter() -> None:
    packets = np.arange(1000, dtype=np.int64)
    estimator = JitterEstimator(8000)
    estimator.feed(ARRIVED + packets * 20_000_000, packets * 160)
    assert estimator.units == 0.0


def test_one_late_packet_gives_the_values_of_the_rfc() -> None:
    estimator = JitterEstimator(8000)
    estimator.feed(np.array([ARRIVED, ARRIVED + 36_000_000, ARRIVED + 40_000_000]), np.array([0, 160, 320]))
    # D = 128 units for the late packet, then 128 back: 8, then 8 + (128 - 8) / 16.
    assert estimator.units == pytest.approx(15.5)
    assert estimator.milliseconds == pytest.approx(1.9375)
    assert estimator.mean_milliseconds == pytest.approx((8 + 15.5) / 2 / 8)


@pytest.mark.parametrize("parts", [1, 7])
def test_random_jitter_equals_the_loop_of_the_rfc(parts: int) -> None:
    random = np.random.default_rng(3550)
    timestamps = np.arange(10_000, dtype=np.int64) * 160 + 2**32 - 80_000
    arrivals = ARRIVED + np.arange(10_000) * 20_000_000 + random.integers(0, 30_000_000, 10_000)
    estimator = JitterEstimator(8000)
    for times, stamps in zip(np.array_split(arrivals, parts), np.array_split(timestamps, parts), strict=True):
        estimator.feed(times, stamps)
    expected = by_the_rfc(arrivals.tolist(), timestamps.tolist(), 8000)
    assert estimator.units == pytest.approx(expected[-1], rel=1e-9)
    assert estimator.maximum_units == pytest.approx(max(expected), rel=1e-9)


def test_a_restart_is_not_taken_for_jitter() -> None:
    estimator = JitterEstimator(8000)
    estimator.feed(np.array([ARRIVED, ARRIVED + 20_000_000]), np.array([0, 160]))
    estimator.restart()
    estimator.feed(np.array([ARRIVED + 40_000_000]), np.array([123_456_789]))
    assert estimator.maximum_milliseconds == 0.0


def test_no_packets_have_no_jitter() -> None:
    estimator = JitterEstimator(8000)
    estimator.feed(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert (estimator.milliseconds, estimator.mean_milliseconds) == (0.0, 0.0)
