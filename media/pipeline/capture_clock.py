"""Wall clock of one capture without its steps: what the recorder's clock would have shown had nobody set it.

Packets carry the wall clock at which the kernel received them. When that clock is set while a capture runs (a CLOCK
event tells it), arrival times before and after do not compare; here both are counted by the clock of the opening.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.container import Capture, Clock, Event, UnknownEvent


@dataclass(slots=True)
class _Progress:
    """How far one stream's packets have come."""

    steps: int = 0
    """Clock steps passed."""
    latest_ns: int = 0
    """Uncorrected arrival of the latest packet; 0 before the first."""


class CaptureClock:
    """Takes clock steps out of the times of one capture. Feed the packets in file order, from the first one.

    Args:
        capture: only its events are read.

    """

    def __init__(self, capture: Capture) -> None:
        self._steps = [event for event in capture.events if isinstance(event, Clock)]
        self._opened_ns = capture.session.wall_ns
        self._progress: dict[int, _Progress] = {}

    def arrivals(self, streams: NDArray[np.integer], arrival_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return corrected arrival times, shape (n,), of the next packets in file order."""
        if not self._steps:
            return arrival_ns
        corrected = arrival_ns.copy()
        for stream in np.unique(streams).tolist():
            own = np.flatnonzero(streams == stream)
            corrected[own] -= self._offsets(self._progress.setdefault(stream, _Progress()), arrival_ns[own])
        return corrected

    def _offsets(self, progress: _Progress, arrival_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum of the steps before each packet of one stream."""
        offsets = np.full(len(arrival_ns), sum(step.step_ns for step in self._steps[: progress.steps]), np.int64)
        changes = np.diff(arrival_ns, prepend=progress.latest_ns or self._opened_ns)
        start = 0
        for step in self._steps[progress.steps :]:
            # A step is noticed at the visit after it, so half of it is the surest threshold. Back in time, the same
            # hour comes twice: the fall between two packets tells, or that the old clock cannot have come so far.
            after = arrival_ns >= step.at_ns - step.step_ns // 2
            if step.step_ns < 0:
                after = (changes <= step.step_ns // 2) | (arrival_ns > step.at_ns - step.step_ns)
            after[:start] = False
            if not after.any():
                break
            start = int(after.argmax())
            offsets[start:] += step.step_ns
            progress.steps += 1
            start += 1
        progress.latest_ns = int(arrival_ns[-1])
        return offsets


def corrected_events(capture: Capture) -> list[tuple[int, Event | UnknownEvent]]:
    """Return the events of a capture, each with its corrected time (ns), in file order."""
    offset = 0
    found: list[tuple[int, Event | UnknownEvent]] = []
    for event in capture.events:
        if isinstance(event, Clock):
            offset += event.step_ns
        found.append((event.at_ns - offset, event))
    return found


def corrected_end(capture: Capture) -> int:
    """Return the corrected time until which the capture received, ns: its END, else its last whole block."""
    offset = sum(event.step_ns for event in capture.events if isinstance(event, Clock))
    return (capture.last_written_ns if capture.end is None else capture.end.at_ns) - offset
