"""Arrival times when somebody set the clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.container import Clock, Late, read_capture
from media.pipeline.capture_clock import CaptureClock, corrected_end, corrected_events
from tests.unit.media.pipeline.recordings import START_NS, CaptureFile, at, stream

MS = 1_000_000


def clock(folder: Path, *steps: Clock) -> CaptureClock:
    path = CaptureFile(events=steps, streams=[stream(0)], ended_ms=9000.0, in_order=True).write(folder)
    return CaptureClock(read_capture(path))


def arrivals(*milliseconds: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([at(each) for each in milliseconds], np.int64)


def relative(times: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    return [(int(time) - START_NS) // MS for time in times]


def test_without_steps_times_are_left_alone(tmp_path: Path) -> None:
    given = arrivals(1, 2, 3)
    assert clock(tmp_path).arrivals(np.zeros(3, np.int64), given) is given


@pytest.mark.parametrize("step_ms", [5000, -5000])
def test_a_step_is_taken_out_of_every_stream(tmp_path: Path, step_ms: int) -> None:
    step = Clock(at_ns=at(1100 + step_ms), step_ns=step_ms * MS)
    given = arrivals(900, 1010, 920 + step_ms, 1120 + step_ms, 1030 + step_ms, 1140 + step_ms)
    streams = np.array([0, 1, 2, 0, 1, 0])
    found = clock(tmp_path, step).arrivals(streams, given)
    assert relative(found) == [900, 1010, 920, 1120, 1030, 1140]


def test_a_step_back_that_hides_in_a_silence_is_found_when_the_old_clock_is_out_of_reach(tmp_path: Path) -> None:
    step = Clock(at_ns=at(8000), step_ns=-5000 * MS)
    found = clock(tmp_path, step).arrivals(np.zeros(3, np.int64), arrivals(1000, 13_010, 13_030))
    assert relative(found) == [1000, 18_010, 18_030]


def test_steps_add_up_over_batches(tmp_path: Path) -> None:
    forth = Clock(at_ns=at(3000), step_ns=2000 * MS)
    back = Clock(at_ns=at(1500), step_ns=-3000 * MS)
    found = clock(tmp_path, forth, back)
    zeros = np.zeros(2, np.int64)
    assert relative(found.arrivals(zeros, arrivals(980, 3000))) == [980, 1000]
    assert relative(found.arrivals(zeros, arrivals(4480, 1500))) == [2480, 2500]
    assert relative(found.arrivals(zeros, arrivals(1520, 1540))) == [2520, 2540]


def test_events_and_end_are_corrected_too(tmp_path: Path) -> None:
    path = CaptureFile(
        events=[Clock(at_ns=at(3000), step_ns=2000 * MS), Late(at_ns=at(3500), stalled_ns=1)], ended_ms=9000.0
    ).write(tmp_path)
    capture = read_capture(path)
    assert [at_ns - START_NS for at_ns, _ in corrected_events(capture)] == [1000 * MS, 1500 * MS]
    assert corrected_end(capture) == at(7000)


def test_a_capture_without_end_lasts_to_its_last_block(tmp_path: Path) -> None:
    path = CaptureFile(events=[Late(at_ns=at(3500), stalled_ns=1)], end=None).write(tmp_path)
    assert corrected_end(read_capture(path)) == at(3500)
