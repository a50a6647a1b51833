"""What counts as a step of the wall clock."""

from __future__ import annotations

import pytest

from media.writer.clock_watch import ClockWatch


class Clocks:
    def __init__(self) -> None:
        self.monotonic, self.wall = 100.0, 1_000_000_000_000

    def pass_time(self, seconds: float, *, stepped_ns: int = 0) -> None:
        self.monotonic += seconds
        self.wall += int(seconds * 1_000_000_000) + stepped_ns


def test_a_step_is_told_once_and_slewing_never() -> None:
    clocks = Clocks()
    watch = ClockWatch(lambda: clocks.monotonic, lambda: clocks.wall)
    clocks.pass_time(0.5, stepped_ns=500_000)
    assert watch.step_ns() == 0
    clocks.pass_time(0.5, stepped_ns=-3_600_000_000_000)
    assert watch.step_ns() == -3_600_000_000_000
    clocks.pass_time(0.5)
    assert watch.step_ns() == 0


def test_a_process_that_is_interrupted_between_two_readings_sees_no_step() -> None:
    clocks = Clocks()
    interruptions = iter([0.0, 0.3, 0.2])

    def wall_ns() -> int:
        clocks.pass_time(next(interruptions, 0.0))
        return clocks.wall

    watch = ClockWatch(lambda: clocks.monotonic, wall_ns)
    assert watch.step_ns() == 0
    clocks.pass_time(0.5, stepped_ns=2_000_000_000)
    assert watch.step_ns() == pytest.approx(2_000_000_000, abs=1000)


def test_a_process_that_is_always_interrupted_tells_of_a_step_later() -> None:
    clocks = Clocks()
    interrupted = False

    def wall_ns() -> int:
        clocks.pass_time(0.3 if interrupted else 0.0)
        return clocks.wall

    watch = ClockWatch(lambda: clocks.monotonic, wall_ns)
    clocks.pass_time(0.5, stepped_ns=-2_000_000_000)
    interrupted = True
    assert watch.step_ns() == 0
    interrupted = False
    assert watch.step_ns() == pytest.approx(-2_000_000_000, abs=1000)
