"""What counts as a step of the wall clock."""

from __future__ import annotations

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
