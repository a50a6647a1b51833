"""The timeline drawn as text."""

from storage.catalog.records import GapKind
from storage.catalog.views import GapView
from storage.cli.timeline import LEGEND, draw_party, draw_timeline


def gap(kind: GapKind, start_s: float, duration_s: float, *, party: int = 0) -> GapView:
    return GapView(party=party, start_s=start_s, duration_s=duration_s, kind=kind, cause="network", segment_id=None)


def test_no_gap_is_all_recorded() -> None:
    assert draw_party([], 60.0, 10) == "=========="


def test_each_kind_has_its_mark_in_its_place() -> None:
    gaps = [gap(GapKind.SILENT, 0.0, 2.0), gap(GapKind.LOST, 4.0, 2.0), gap(GapKind.PAUSED, 8.0, 2.0)]
    assert draw_party(gaps, 10.0, 10) == "..==xx==pp"


def test_a_loss_is_visible_however_short() -> None:
    assert draw_party([gap(GapKind.LOST, 1800.0, 0.02)], 3600.0, 10) == "=====x===="


def test_a_short_silence_does_not_hide_the_audio_around_it() -> None:
    assert draw_party([gap(GapKind.SILENT, 12.0, 1.0)], 60.0, 10) == "=========="
    assert draw_party([gap(GapKind.SILENT, 12.0, 4.0)], 60.0, 10) == "==.======="


def test_many_short_silences_count_together() -> None:
    assert draw_party([gap(GapKind.SILENT, 12.0 + second, 0.9) for second in range(6)], 60.0, 10) == "==.======="


def test_loss_is_shown_above_pause_and_silence() -> None:
    gaps = [gap(kind, 0.0, 10.0) for kind in (GapKind.SILENT, GapKind.PAUSED, GapKind.LOST)]
    assert draw_party(gaps, 10.0, 5) == "xxxxx"


def test_a_gap_at_or_beyond_the_end_stays_inside() -> None:
    assert draw_party([gap(GapKind.LOST, 9.0, 5.0), gap(GapKind.LOST, 20.0, 5.0)], 10.0, 10) == "=========x"


def test_both_parties_axis_and_legend() -> None:
    lines = draw_timeline(["left agent", "right"], [gap(GapKind.LOST, 0.0, 5.0, party=1)], 10.0, 34)
    assert lines == [
        "             0:00.0 0:05.0 0:10.0",
        "left agent  |====================|",
        "right       |xxxxxxxxxx==========|",
        "             " + LEGEND,
    ]


def test_the_axis_fits_its_line() -> None:
    axis, party, *_ = draw_timeline(["left"], [], 7325.4, 60)
    assert axis.strip().startswith("0:00.0")
    assert axis.endswith("2:02:05.4")
    assert len(axis) == len(party) - 1
