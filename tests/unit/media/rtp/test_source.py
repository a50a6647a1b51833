"""Runs of one source: what belongs together, what is a restart, what is a stray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from media.rtp.source import STRAY, Located, SourceTracker

MS = 1_000_000
FRAME = 160


class Packet(NamedTuple):
    sequence_number: int
    timestamp: int
    arrival_ms: float


def steady(count: int, *, sequence: int = 0, timestamp: int = 0, start_ms: float = 0.0) -> list[Packet]:
    """20 ms packets that arrive when they should."""
    return [Packet((sequence + n) % 65536, (timestamp + n * FRAME) % 2**32, start_ms + n * 20) for n in range(count)]


def locate(tracker: SourceTracker, packets: Sequence[Packet], *, final: bool = True) -> Located:
    return tracker.locate(
        np.array([p.sequence_number for p in packets], np.uint16),
        np.array([p.timestamp for p in packets], np.uint32),
        np.full(len(packets), FRAME, np.int64),
        np.array([int(p.arrival_ms * MS) for p in packets], np.int64),
        final=final,
    )


def located(packets: Sequence[Packet]) -> Located:
    return locate(SourceTracker(8000), packets)


def steps(located: Located) -> list[int]:
    return [int(step) for step in np.diff(located.extended_sequence_numbers)]


def test_a_steady_stream_is_one_run_through_both_wraps() -> None:
    result = located(steady(200, sequence=65500, timestamp=2**32 - 16_000))
    assert set(result.runs.tolist()) == {0}
    assert steps(result) == [1] * 199
    assert np.diff(result.extended_timestamps).tolist() == [FRAME] * 199


def test_nothing_is_located_as_nothing() -> None:
    assert len(located([]).runs) == 0


def test_feeding_in_parts_gives_the_same() -> None:
    packets = steady(300, sequence=65500, timestamp=2**32 - 16_000)
    packets[100], packets[101] = packets[101], packets[100]
    whole = located(packets)
    tracker = SourceTracker(8000)
    parts = [locate(tracker, packets[n : n + 50], final=False) for n in range(0, 300, 50)]
    assert np.concatenate([p.extended_sequence_numbers for p in parts]).tolist() == (
        whole.extended_sequence_numbers.tolist()
    )


def test_loss_and_reordering_stay_in_the_run() -> None:
    packets = [p for n, p in enumerate(steady(50, sequence=65530)) if n not in (7, 8)]
    packets[3], packets[4] = packets[4], packets[3]
    result = located(packets)
    assert set(result.runs.tolist()) == {0}
    assert steps(result)[2:5] == [2, -1, 2]
    assert sum(steps(result)) == 49


def test_a_jump_of_timestamp_with_the_clock_is_silence_not_a_restart() -> None:
    result = located(steady(50) + steady(50, sequence=50, timestamp=50 * FRAME + 80_000, start_ms=11_000))
    assert set(result.runs.tolist()) == {0}


def test_a_restart_with_new_numbers_starts_a_run() -> None:
    result = located(steady(50) + steady(50, sequence=40_000, timestamp=3_000_000_000, start_ms=1000))
    assert result.runs.tolist() == [0] * 50 + [1] * 50
    assert steps(result)[50:] == [1] * 49


def test_a_restart_slightly_behind_is_not_taken_for_duplicates() -> None:
    result = located(steady(50) + steady(50, sequence=10, timestamp=3_000_000_000, start_ms=1000))
    assert result.runs.tolist() == [0] * 50 + [1] * 50


def test_a_sequence_that_begins_anew_while_timestamps_go_on_starts_a_run() -> None:
    result = located(steady(50) + steady(50, sequence=10, timestamp=50 * FRAME, start_ms=1000))
    assert result.runs.tolist() == [0] * 50 + [1] * 50
    assert np.diff(result.extended_timestamps).tolist() == [FRAME] * 99


def test_a_media_clock_that_stood_still_starts_a_run() -> None:
    result = located(steady(50) + steady(50, sequence=50, timestamp=50 * FRAME, start_ms=61_000))
    assert result.runs.tolist() == [0] * 50 + [1] * 50


@pytest.mark.parametrize(("lost", "behind_ms"), [(30, 700), (60, 4000), (100, 4000), (400, 9000)])
def test_a_sender_that_falls_behind_while_packets_are_lost_goes_on(lost: int, behind_ms: int) -> None:
    """Sequence numbers and timestamps agree on the gap; the sender stays as late as it became."""
    packets = steady(100) + [
        packet._replace(arrival_ms=packet.arrival_ms + behind_ms) for packet in steady(400 + lost)[100 + lost :]
    ]
    result = located(packets)
    assert set(result.runs.tolist()) == {0}
    assert steps(result)[99] == lost + 1
    assert result.extended_timestamps[100] - result.extended_timestamps[99] == (lost + 1) * FRAME


def test_a_sender_that_falls_behind_again_and_catches_up_goes_on() -> None:
    """What it is behind counts from where it was before."""
    late = [0, 4000, 8000, 12_000, 9000, 9000]
    packets = [
        p._replace(arrival_ms=p.arrival_ms + late[n // 200]) for n, p in enumerate(steady(1200)) if n % 200 < 150
    ]
    assert set(located(packets).runs.tolist()) == {0}


@pytest.mark.parametrize(("lost", "stood_ms"), [(0, 3000), (1, 3000), (10, 3000), (60, 9000)])
def test_a_clock_that_stood_still_longer_than_what_was_lost_starts_a_run(lost: int, stood_ms: int) -> None:
    packets = steady(100) + [
        packet._replace(arrival_ms=packet.arrival_ms + stood_ms) for packet in steady(400 + lost)[100 + lost :]
    ]
    assert located(packets).runs.tolist() == [0] * 100 + [1] * 300


@pytest.mark.parametrize("units", [20 * FRAME, 400 * FRAME])
def test_numbers_that_disagree_on_a_gap_start_a_run(units: int) -> None:
    later = steady(100, sequence=160, timestamp=100 * FRAME + units, start_ms=2000 + units // 8 + 2000)
    assert located(steady(100) + later).runs.tolist() == [0] * 100 + [1] * 100


def test_a_burst_after_a_network_stall_stays_in_the_run() -> None:
    packets = [p._replace(arrival_ms=max(p.arrival_ms, 6000)) if p.arrival_ms >= 1000 else p for p in steady(400)]
    assert set(located(packets).runs.tolist()) == {0}


def stalled(count: int, at_ms: float, until_ms: float, *, apart_ms: float = 0.2) -> list[Packet]:
    """A sender that stands still from one time to another, and then sends what is due as fast as it can."""
    found: list[Packet] = []
    for packet in steady(count):
        late_ms = until_ms if at_ms <= packet.arrival_ms < until_ms else packet.arrival_ms
        found.append(packet._replace(arrival_ms=max(late_ms, found[-1].arrival_ms + apart_ms if found else late_ms)))
    return found


@pytest.mark.parametrize(("count", "until_ms"), [(350, 14_600), (120, 10_000), (350, 31_000)])
def test_a_sender_that_still_catches_up_when_it_ends_goes_on(count: int, until_ms: float) -> None:
    """It stood still beyond the time of its last packet: all that was left of it came at once."""
    assert set(located(stalled(count, 1000, until_ms)).runs.tolist()) == {0}


def test_a_sender_that_catches_up_at_twice_its_pace_goes_on() -> None:
    assert set(located(stalled(350, 1000, 10_000, apart_ms=9)).runs.tolist()) == {0}


@pytest.mark.parametrize("pieces", [1, 20, 60, 400])
def test_how_a_sender_catches_up_is_seen_over_several_feedings(pieces: int) -> None:
    tracker = SourceTracker(8000)
    packets = stalled(400, 1000, 6000, apart_ms=9)
    waiting: list[Packet] = []
    runs: list[int] = []
    for start in range(0, len(packets), pieces):
        waiting += packets[start : start + pieces]
        found = locate(tracker, waiting, final=start + pieces >= len(packets))
        runs += found.runs.tolist()
        waiting = waiting[len(found.runs) :]
    assert runs == [0] * 400


@pytest.mark.parametrize("burst", [0, 5, 20])
def test_a_clock_that_stood_still_starts_a_run_although_a_few_packets_come_at_once(burst: int) -> None:
    """As from a jitter buffer; what follows comes at its own pace."""
    later = steady(200, sequence=50, timestamp=50 * FRAME, start_ms=5000)
    later = [p._replace(arrival_ms=max(p.arrival_ms, 5000 + burst * 20)) for p in later]
    assert located(steady(50) + later).runs.tolist() == [0] * 50 + [1] * 200


def test_a_packet_three_seconds_late_finds_its_place() -> None:
    packets = steady(400)
    late = packets.pop(100)
    packets.insert(250, late._replace(arrival_ms=5010))
    result = located(packets)
    assert set(result.runs.tolist()) == {0}
    assert result.extended_sequence_numbers[250] - result.extended_sequence_numbers[0] == 100


@pytest.mark.parametrize("arrived", [[0, 24, 60, 102, 0, 76, 102], [0, 60, 102, 0, 102], [0, 60, 102, 0]])
def test_a_copy_from_further_back_than_reordering_is_still_of_the_run(arrived: list[int]) -> None:
    """Short packets under heavy loss: no two in sequence tell how long one is, and the copy is 40 ms late."""
    result = SourceTracker(8000).locate(
        np.array(arrived, np.uint16),
        np.array([n * 7 for n in arrived], np.uint32),
        np.full(len(arrived), 7, np.int64),
        np.array([max(arrived[: n + 1]) * 7 * MS // 8 for n in range(len(arrived))], np.int64),
        final=True,
    )
    assert set(result.runs.tolist()) == {0}
    assert (result.extended_sequence_numbers - result.extended_sequence_numbers[0]).tolist() == arrived


def test_a_long_pause_is_bridged_over_missed_cycles() -> None:
    gap = 100_000
    later = steady(50, sequence=50 + gap, timestamp=(50 + gap) * FRAME, start_ms=(50 + gap) * 20)
    result = located(steady(50) + later)
    assert set(result.runs.tolist()) == {0}
    assert steps(result)[49] == gap + 1


def test_after_a_pause_a_new_count_starts_a_run() -> None:
    later = steady(50, sequence=20_000, timestamp=15_050 * FRAME, start_ms=15_050 * 20)
    assert located(steady(50) + later).runs.tolist() == [0] * 50 + [1] * 50


def test_a_single_packet_of_other_numbers_is_a_stray() -> None:
    packets = steady(100)
    packets.insert(50, Packet(33_000, 2_000_000_000, 999.0))
    result = located(packets)
    assert np.flatnonzero(result.runs == STRAY).tolist() == [50]
    assert sum(steps(Located(*(getattr(result, name)[result.runs >= 0] for name in Located.__slots__)))) == 99


def test_the_last_packet_waits_for_its_successor_to_decide() -> None:
    tracker = SourceTracker(8000)
    first = locate(tracker, [*steady(50), Packet(40_000, 3_000_000_000, 1000)], final=False)
    assert len(first.runs) == 50
    rest = locate(tracker, steady(2, sequence=40_000, timestamp=3_000_000_000, start_ms=1000), final=False)
    assert rest.runs.tolist() == [1, 1]
    assert tracker.runs == 2


def test_a_last_packet_that_nothing_follows_is_kept_as_a_run() -> None:
    result = located([*steady(50), Packet(40_000, 3_000_000_000, 1000)])
    assert result.runs[-1] == 1


@pytest.mark.parametrize("event_packets", [5, 60])
def test_repeated_timestamps_of_a_telephone_event_stay_in_the_run(event_packets: int) -> None:
    audio = steady(50)
    event = [Packet(50 + n, 50 * FRAME, 1000 + n * 20) for n in range(event_packets)]
    after = steady(50, sequence=50 + event_packets, timestamp=(50 + event_packets) * FRAME, start_ms=audio[-1][2] + 20)
    after = [p._replace(arrival_ms=1000 + (event_packets + n) * 20) for n, p in enumerate(after)]
    packets = audio + event + after
    durations = np.array([FRAME] * 50 + [(n + 1) * FRAME for n in range(event_packets)] + [FRAME] * 50, np.int64)
    result = SourceTracker(8000).locate(
        np.array([p.sequence_number for p in packets], np.uint16),
        np.array([p.timestamp for p in packets], np.uint32),
        durations,
        np.array([int(p.arrival_ms * MS) for p in packets], np.int64),
        final=True,
    )
    assert set(result.runs.tolist()) == {0}
