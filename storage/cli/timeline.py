"""Draws the timeline of a recording as text: one line for each party, one mark for each slice of time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from storage.catalog.records import GapKind
from storage.catalog.views import GapView
from storage.cli.presentation import clock

RECORDED: Final = "="
MARKS: Final[dict[GapKind, str]] = {GapKind.LOST: "x", GapKind.PAUSED: "p", GapKind.SILENT: "."}
LEGEND: Final = "   ".join([f"{RECORDED} recorded", *(f"{mark} {kind.value}" for kind, mark in MARKS.items())])

NAME_LIMIT: Final = 30
"""Characters; a longer name would leave too few marks."""

# What a slice shows when it holds several things: a loss is never hidden, however short.
_URGENCY: Final = (GapKind.LOST, GapKind.PAUSED, GapKind.SILENT)


def draw_party(gaps: Iterable[GapView], duration_s: float, width: int) -> str:
    """Return the marks of one party.

    Args:
        gaps: of this party only.
        duration_s: length of the timeline, seconds; above zero.
        width: number of marks.

    A slice shows `lost` if any of it is lost; `paused` and `silent` need to cover half of it, so that a short pause
    between words does not hide the audio around it.

    """
    covered: dict[GapKind, list[float]] = {kind: [0.0] * width for kind in GapKind}
    slice_s = duration_s / width
    for gap in gaps:
        end_s = min(gap.start_s + gap.duration_s, duration_s)
        for index in range(max(int(gap.start_s / slice_s), 0), min(int(end_s / slice_s) + 1, width)):
            overlap = min(end_s, (index + 1) * slice_s) - max(gap.start_s, index * slice_s)
            covered[gap.kind][index] += max(overlap, 0.0)
    return "".join(_mark({kind: covered[kind][index] / slice_s for kind in GapKind}) for index in range(width))


def draw_timeline(names: Sequence[str], gaps: Sequence[GapView], duration_s: float, width: int) -> list[str]:
    """Return the lines of the timeline: an axis, one line for each party, and the legend.

    Args:
        names: of the parties, in their order; at least those that gaps mention are drawn.
        gaps: of all parties.
        duration_s: length of the timeline, seconds.
        width: of a line, characters.

    """
    shown = [name[:NAME_LIMIT] for name in names]
    indent = max(len(name) for name in shown) + 2
    marks = max(width - indent - 2, 20)
    lines = [" " * (indent + 1) + _axis(duration_s, marks)]
    for party, name in enumerate(shown):
        drawn = draw_party((gap for gap in gaps if gap.party == party), duration_s, marks)
        lines.append(f"{name:<{indent}}|{drawn}|")
    lines.append(" " * (indent + 1) + LEGEND)
    return lines


def _mark(shares: dict[GapKind, float]) -> str:
    for kind in _URGENCY:
        if shares[kind] > (0.0 if kind is GapKind.LOST else 0.5):
            return MARKS[kind]
    return RECORDED


def _axis(duration_s: float, marks: int) -> str:
    begin, middle, end = clock(0.0), clock(duration_s / 2), clock(duration_s)
    left = begin.ljust(marks // 2 - len(middle) // 2) + middle
    return left + end.rjust(marks - len(left)) if len(left) + len(end) < marks else f"{begin} .. {end}"
