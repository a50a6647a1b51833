"""The slack of a pause: silence that touches it, nothing beyond audio."""

from __future__ import annotations

import pytest

from media.pipeline.gaps import pause_with_slack
from media.pipeline.intervals import Intervals


@pytest.mark.parametrize(
    ("audio", "expected"),
    [
        ([], (900, 2100)),
        ([(0, 950), (2050, 3000)], (950, 2050)),
        ([(0, 930), (940, 990), (2010, 2060), (2080, 3000)], (990, 2010)),
        ([(0, 1020), (1980, 2040), (2060, 3000)], (1000, 2000)),
    ],
    ids=["no audio", "audio nearby", "a packet lost between audio and pause", "audio into the pause"],
)
def test_a_pause_is_widened_to_the_nearest_audio(audio: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    assert pause_with_slack(Intervals.of(*audio), 1000, 2000, 100) == expected
