"""Arrival times when somebody set the clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from media.container import RECORD, BlockEncoder, Clock, Late, Session, read_capture
from media.pipeline.capture_clock import CaptureClock, corrected_end, corrected_events
from tests.unit.media.pipeline.recordings import START_NS, CaptureFile, Rtp, at, stream

MS = 1_000_000


@dataclass(frozen=True)
class Visit:
    """A block of packets."""

    written_ms: float
    packets: list[tuple[int, float]]
    """Stream and arrival, ms after `START_NS`, by the clock of the moment."""


def step(at_ms: float, step_ms: float) -> Clock:
    """A step that is noticed when the stepped clock shows `at_ms`."""
    return Clock(at_ns=at(at_ms), step_ns=round(step_ms * MS))


def corrected(folder: Path, *parts: Visit | Clock, batch_bytes: int = 1 << 20) -> list[int]:
    """Arrivals of all packets in file order by the clock of the opening, ms."""
    encoder = BlockEncoder()
    written = [
        encoder.open(
            Session(
                session="0" * 32, writer="w", host="h", wall_ns=at(0), monotonic_ns=7, descriptor={},
                streams=[stream(number) for number in range(3)],
            )
        )
    ]  # fmt: skip
    for part in parts:
        if isinstance(part, Clock):
            written.append(encoder.event(part))
            continue
        datagram = Rtp(sequence_number=1, timestamp=1, payload=b"", arrival_ms=0).encode()
        count = len(part.packets)
        index = np.array([(at(ms), len(datagram), number, 1, 0) for number, ms in part.packets], RECORD).tobytes()
        written += [encoder.packets(index, datagram * count, count, at(part.written_ms)), index, datagram * count]
    path = folder / "one.tcap"
    path.write_bytes(b"".join(written))
    capture = read_capture(path)
    clock = CaptureClock(capture)
    times = np.concatenate([clock.arrivals(batch) for batch in capture.packets(batch_bytes)])
    return [(int(time) - START_NS) // MS for time in times]


def test_without_steps_times_are_left_alone(tmp_path: Path) -> None:
    assert corrected(tmp_path, Visit(4, [(0, 1), (0, 2), (1, 3)])) == [1, 2, 3]


@pytest.mark.parametrize("batch_bytes", [1, 1 << 20])
@pytest.mark.parametrize("step_ms", [5000, 300, -300, -5000])
def test_a_step_is_taken_out_of_every_stream(tmp_path: Path, step_ms: int, batch_bytes: int) -> None:
    found = corrected(
        tmp_path,
        Visit(910, [(0, 900), (1, 905)]),
        step(1040 + step_ms, step_ms),
        # They waited: two came before the step, one of a stream that speaks for the first time.
        Visit(1040 + step_ms, [(0, 1010), (0, 1030 + step_ms), (2, 1011), (2, 1031 + step_ms)]),
        Visit(2150 + step_ms, [(0, 2120 + step_ms), (1, 2140 + step_ms)]),
        batch_bytes=batch_bytes,
    )
    assert found == [900, 905, 1010, 1030, 1011, 1031, 2120, 2140]


@pytest.mark.parametrize("silent_ms", [50, 300, 700, 2000, 4900, 5100, 9000])
@pytest.mark.parametrize("step_ms", [5000, 1500, -1500, -5000])
def test_a_step_that_hides_in_a_silence_is_found(tmp_path: Path, step_ms: int, silent_ms: int) -> None:
    """As while a stream is paused: its next packet may show any time."""
    again = 1000 + silent_ms + step_ms
    found = corrected(
        tmp_path,
        Visit(1010, [(0, 980), (0, 1000)]),
        step(1030 + step_ms, step_ms),
        Visit(again + 25, [(0, again), (0, again + 20)]),
    )
    assert found == [980, 1000, 1000 + silent_ms, 1020 + silent_ms]


def test_a_small_step_that_hides_in_a_silence_is_found_once_nothing_can_wait_from_before_it(tmp_path: Path) -> None:
    found = corrected(
        tmp_path,
        Visit(1010, [(0, 1000)]),
        step(830, -200),
        Visit(2900, [(0, 2880)]),
    )
    assert found == [1000, 3080]


def test_two_steps_that_hide_in_one_silence_are_both_found(tmp_path: Path) -> None:
    found = corrected(
        tmp_path,
        Visit(1010, [(0, 1000)]),
        step(4030, 3000),
        step(2000, -4000),
        Visit(4030, [(0, 4000), (0, 4020)]),
    )
    assert found == [1000, 5000, 5020]


@pytest.mark.parametrize("batch_bytes", [1, 1 << 20])
def test_steps_add_up(tmp_path: Path, batch_bytes: int) -> None:
    found = corrected(
        tmp_path,
        Visit(990, [(0, 980)]),
        step(3010, 2000),
        Visit(4490, [(0, 3000), (0, 4480)]),
        step(1510, -3000),
        Visit(1550, [(0, 1500), (0, 1520), (0, 1540)]),
        batch_bytes=batch_bytes,
    )
    assert found == [980, 1000, 2480, 2500, 2520, 2540]


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
