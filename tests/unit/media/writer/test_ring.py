"""Where the reader of a packet ring begins: behind what is free, whatever processors are still filling."""

from __future__ import annotations

import numpy as np
import pytest

from media.writer import ring
from media.writer.ring import behind_the_free


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "_IN_FLIGHT", 2)


@pytest.mark.parametrize(
    ("frames", "first"),
    [
        ("......####..", 6),
        ("##........##", 10),
        ("#.#.......##", 10),
        ("....####.#..", 4),
        ("#..#...#####", 7),
        (".###########", -1),
        ("####..######", -1),
        ("############", -1),
        ("#...........", 0),
    ],
)
def test_the_reader_begins_behind_the_free_part(frames: str, first: int) -> None:
    assert behind_the_free(np.array([frame == "#" for frame in frames])) == first
