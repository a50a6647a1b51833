"""Declared gaps against missing intervals, edge by edge."""

import numpy as np
import pytest

from recorder.simulator.gap_check import DeclaredGap, check_gaps


def faults(
    declared: list[DeclaredGap],
    *,
    missing: tuple[int, ...] = (10, 11),
    paused: tuple[tuple[int, int], ...] = (),
    doubtful: tuple[int, ...] = (),
) -> list[str]:
    """Check 50 packets from sample 80 on of which some are missing; numbers are packets."""
    present = np.array([80 + 160 * packet for packet in range(50) if packet not in missing], np.int64)
    found = check_gaps(
        present=present,
        paused=[(80 + 160 * begin, 80 + 160 * end) for begin, end in paused],
        doubtful=np.array([80 + 160 * packet for packet in doubtful], np.int64),
        declared=declared,
        tolerance=160,
    )
    return [fault.detail for fault in found]


def gap(packet: float, packets: float, kind: str = "lost") -> DeclaredGap:
    return DeclaredGap(0, (80 + 160 * packet) / 8000, packets * 0.02, kind)


def test_the_exact_gap_is_right() -> None:
    assert faults([gap(10, 2)]) == []


def test_edges_may_be_off_by_20_ms_and_not_more() -> None:
    assert faults([gap(9, 4)]) == []
    assert faults([gap(8.9, 3.1)]) != []
    assert faults([gap(10, 3.1)]) != []


def test_an_undeclared_gap_is_named() -> None:
    assert faults([]) == ["missing but not declared so: lost, 40.0 ms at 0.210 s"]


def test_a_gap_that_is_too_long_is_one_fault_with_both_sides() -> None:
    (fault,) = faults([gap(10, 8)])
    assert fault == "missing but not declared so: lost, 40.0 ms at 0.210 s; the catalog has: lost, 160.0 ms at 0.210 s"


def test_a_gap_that_is_not_there_is_named() -> None:
    assert faults([gap(10, 2), gap(30, 1)]) == ["declared but not missing: lost, 20.0 ms at 0.610 s"]


def test_neighbouring_single_losses_are_held_apart() -> None:
    assert faults([gap(10, 1), gap(12, 1)], missing=(10, 12)) == []
    assert faults([gap(12, 1)], missing=(10, 12)) == ["missing but not declared so: lost, 20.0 ms at 0.210 s"]


@pytest.mark.parametrize("claim", [gap(-0.5, 0.5, "silent"), gap(50, 20, "silent"), gap(50, 3, "lost")])
def test_the_time_before_and_after_the_stream_is_free(claim: DeclaredGap) -> None:
    assert faults([gap(10, 2), claim]) == []


def test_a_pause_must_be_declared_as_pause() -> None:
    assert faults([gap(10, 2, "paused")], paused=((10, 12),)) == []
    assert faults([gap(10, 2, "lost")], paused=((10, 12),)) == [
        "declared as lost, 40.0 ms at 0.210 s, but it is paused, 40.0 ms at 0.210 s"
    ]
    assert faults([gap(10, 2, "paused")]) != []


def test_a_loss_beside_a_pause_needs_both_kinds() -> None:
    assert faults([gap(10, 1, "lost"), gap(11, 1, "paused")], paused=((11, 12),)) == []
    assert faults([gap(10, 2, "paused")], paused=((11, 12),)) != []


def test_a_packet_in_doubt_may_be_missing_as_part_of_the_pause() -> None:
    assert faults([gap(10, 2, "paused")], paused=((11, 12),), doubtful=(10,)) == []


def test_nothing_found_is_not_a_matter_of_gaps() -> None:
    assert faults([gap(0, 50)], missing=tuple(range(50))) == []
