"""The complement of audio, cut by what explains it."""

from __future__ import annotations

import numpy as np
import pytest

from media.pipeline.gaps import PartyTimeline, find_gaps, hole_causes, longest_lost
from media.pipeline.intervals import Intervals
from media.pipeline.report import Gap, GapCause, GapKind
from media.pipeline.stream_table import PacketKind
from media.pipeline.survey import HOLE


def timeline(audio: Intervals, heard: tuple[int, int] | None = (0, 10_000), **causes: Intervals) -> PartyTimeline:
    named = {GapCause[name.upper()]: found for name, found in causes.items()}
    return PartyTimeline(3, audio, named, heard)


def found(given: PartyTimeline, frames: int = 10_000) -> list[tuple[int, int, str]]:
    return [(gap.start_frame, gap.frames, str(gap.cause)) for gap in find_gaps(given, frames, 8000)]


def test_full_audio_has_no_gap() -> None:
    assert found(timeline(Intervals.of((0, 10_000)))) == []


def test_a_hole_without_explanation_lies_between_sources() -> None:
    assert found(timeline(Intervals.of((0, 100), (200, 10_000)))) == [(100, 100, "source-change")]


def test_explanations_cut_a_hole() -> None:
    given = timeline(
        Intervals.of((0, 100), (900, 10_000)), network=Intervals.of((100, 300)), not_sent=Intervals.of((300, 900))
    )
    assert found(given) == [(100, 200, "network"), (300, 600, "not-sent")]


def test_the_stronger_explanation_counts() -> None:
    given = timeline(
        Intervals.of((0, 100), (900, 10_000)), network=Intervals.of((100, 900)), paused=Intervals.of((50, 500))
    )
    assert found(given) == [(100, 400, "paused"), (500, 400, "network")]


def test_pieces_of_one_cause_are_one_gap() -> None:
    given = timeline(
        Intervals.of((0, 100), (900, 10_000)),
        network=Intervals.of((100, 300), (300, 900)),
        writer_failover=Intervals.of((200, 700)),
    )
    assert found(given) == [(100, 800, "network")]


def test_audio_takes_an_explanation_away() -> None:
    assert found(timeline(Intervals.of((0, 10_000)), network=Intervals.of((100, 300)))) == []


@pytest.mark.parametrize(("edge", "declared"), [(1600, []), (1601, [(0, 1601, "not-started")])])
def test_the_leading_edge(edge: int, declared: list[tuple[int, int, str]]) -> None:
    assert found(timeline(Intervals.of((edge, 10_000)), (edge, 10_000))) == declared


def test_both_edges_and_a_loss_at_the_edge() -> None:
    given = timeline(Intervals.of((3000, 8000)), (3000, 8000), paused=Intervals.of((0, 1000)))
    assert found(given) == [(0, 1000, "paused"), (1000, 2000, "not-started"), (8000, 2000, "ended-early")]


def test_a_party_that_never_came() -> None:
    assert found(timeline(Intervals.empty(), None)) == [(0, 10_000, "no-media")]


def holes(*rows: tuple[int, int, int, int]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """start, end, missing packets, kind before; 160 units a packet; arrival in ns equals timestamp."""
    table = np.zeros(len(rows), HOLE)
    for position, (start, end, missing, kind) in enumerate(rows):
        table[position] = (start, end, missing, missing * 160, start, end, 0, 0, kind)
    return table


def causes(
    given: np.ndarray[tuple[int], np.dtype[np.void]], drops: Intervals, seams: list[bool]
) -> dict[str, list[tuple[int, int]]]:
    named = hole_causes(given, drops, np.array(seams))
    pairs = {str(cause): Intervals.union(starts, ends).pairs() for cause, (starts, ends) in named.items()}
    return {cause: intervals for cause, intervals in pairs.items() if intervals}


def test_as_much_of_a_hole_is_lost_as_the_missing_packets_can_have_covered() -> None:
    given = holes((0, 320, 2, PacketKind.AUDIO), (1000, 2000, 1, PacketKind.AUDIO), (3000, 3100, 1, PacketKind.AUDIO))
    assert causes(given, Intervals.empty(), [False] * 3) == {
        "network": [(0, 320), (1000, 1160), (3000, 3100)],
        "not-sent": [(1160, 2000)],
    }


def test_after_comfort_noise_the_rest_is_its_silence() -> None:
    given = holes((0, 8000, 0, PacketKind.COMFORT_NOISE), (9000, 9900, 1, PacketKind.COMFORT_NOISE))
    assert causes(given, Intervals.empty(), [False] * 2) == {
        "comfort-noise": [(0, 8000), (9160, 9900)],
        "network": [(9000, 9160)],
    }


def test_drops_and_seams_explain_what_lies_over_them() -> None:
    given = holes((0, 160, 1, 0), (500, 660, 1, 0), (900, 1060, 1, 0))
    assert causes(given, Intervals.of((600, 601), (950, 960)), [False, False, True]) == {
        "network": [(0, 160)],
        "kernel-drop": [(500, 660)],
        "writer-failover": [(900, 1060)],
    }


def test_only_loss_counts_as_the_longest_gap() -> None:
    def gap(frames: int, kind: GapKind) -> Gap:
        return Gap(party=0, start_frame=0, frames=frames, kind=kind, cause=GapCause.NETWORK)

    assert longest_lost([gap(10, GapKind.LOST), gap(30, GapKind.LOST), gap(99, GapKind.SILENT)]) == 30
    assert longest_lost([]) == 0
