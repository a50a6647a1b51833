"""Wall clock of one capture without its steps: what the recorder's clock would have shown had nobody set it.

Packets carry the wall clock at which the kernel received them. When that clock is set while a capture runs (a CLOCK
event tells it), arrival times before and after do not compare; here both are counted by the clock of the opening.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import Capture, Clock, Event, PacketBatch, UnknownEvent

_TAKEN_NS: Final = 1_000_000_000
"""So long after a step was told no packet waits any more that came before it."""


@dataclass(slots=True)
class _Progress:
    """How far one stream's packets have come."""

    steps: int = 0
    """Clock steps passed."""
    latest_ns: int = 0
    """Uncorrected arrival of the latest packet; 0 before the first."""


@dataclass(frozen=True, slots=True)
class _Step:
    event: Clock
    place: int
    """In the file."""
    after_ns: int
    """Sum of the steps up to this one."""


class CaptureClock:
    """Takes clock steps out of the times of one capture. Feed the packets in file order, from the first one.

    Args:
        capture: only its events are read.

    """

    def __init__(self, capture: Capture) -> None:
        self._steps: list[_Step] = []
        after_ns = 0
        for event, place in zip(capture.events, capture.event_places, strict=True):
            if isinstance(event, Clock):
                after_ns += event.step_ns
                self._steps.append(_Step(event, place, after_ns))
        self._opened_ns = capture.session.wall_ns
        self._progress: dict[int, _Progress] = {}

    def arrivals(self, batch: PacketBatch) -> NDArray[np.int64]:
        """Return corrected arrival times, shape (n,), of the next packets in file order."""
        arrival_ns = batch.records["arrival_ns"].astype(np.int64)
        if not self._steps:
            return arrival_ns
        counts = batch.headers["count"].astype(np.int64)
        places, written_ns = np.repeat(batch.places, counts), np.repeat(batch.headers["written"], counts)
        for step in self._steps:
            written_ns[places > step.place] -= step.event.step_ns
        corrected = arrival_ns.copy()
        for stream in np.unique(batch.records["stream"]).tolist():
            own = np.flatnonzero(batch.records["stream"] == stream)
            progress = self._progress.setdefault(stream, _Progress())
            corrected[own] -= self._offsets(progress, arrival_ns[own], places[own], written_ns[own])
        return corrected

    def _offsets(
        self,
        progress: _Progress,
        arrival_ns: NDArray[np.int64],
        places: NDArray[np.int64],
        written_ns: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Return the sum of the steps before each packet of one stream; `written_ns` of its block is corrected."""
        offsets = np.full(len(arrival_ns), self._steps[progress.steps - 1].after_ns if progress.steps else 0, np.int64)
        changes = np.diff(arrival_ns, prepend=progress.latest_ns or self._opened_ns)
        start, fallen = 0, 0
        for step in self._steps[progress.steps :]:
            at_ns, step_ns = step.event.at_ns, step.event.step_ns
            # Told before the block was written. What it holds may have come before and waited, but not for long.
            told = places > step.place
            after = told & (written_ns - (at_ns - step.after_ns) >= _TAKEN_NS)
            if step_ns > 0:
                # A step is noticed soon after it, so half of it is the surest threshold.
                after |= arrival_ns >= at_ns - step_ns // 2
            else:
                # The same time comes twice: the fall between two packets tells, or that the old clock cannot have come
                # so far. Where a stream was silent meanwhile, the old clock is ahead of the block that it is in.
                fell = changes <= step_ns // 2
                fell[:fallen] = False  # it was that of an earlier step
                after |= fell | (arrival_ns > at_ns - step_ns)
                if not fell.any() and -step_ns >= _TAKEN_NS:
                    after |= told & (arrival_ns - step.after_ns <= written_ns)
            after[:start] = False
            if not after.any():
                break
            start = int(after.argmax())
            offsets[start:] = step.after_ns
            progress.steps += 1
            fallen = start + 1
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
