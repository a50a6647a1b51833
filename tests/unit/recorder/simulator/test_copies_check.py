"""How long the healed masters of a run are waited for."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from recorder.simulator import copies_check
from recorder.simulator.copies_check import await_masters
from recorder.simulator.verification import Patience
from storage.catalog import Catalog
from storage.catalog.records import RecordingState
from storage.catalog.views import RecordingDetail

LIMIT_S = 60.0
LOOK_S = 50.0
"""Nearly as long; the recorder takes one step meanwhile, or none."""


MASTER = object.__new__(RecordingDetail)
object.__setattr__(MASTER, "summary", SimpleNamespace(state=RecordingState.COMPLETE))


def copies(number: int) -> list[Any]:
    """Two recordings of one call."""
    return [SimpleNamespace(recording_id=UUID(int=10 * number + copy)) for copy in (0, 1)]


class Curators:
    """A catalog in which the copies of a call reach their next stage with each look, if they reach any."""

    def __init__(self, stages: Sequence[int | None]) -> None:
        self.copies = self
        self.now = 0.0
        self._stages = stages
        """After how many looks each call has its master; None: never."""
        self._looks = 0

    def clock(self) -> float:
        return self.now

    async def sleep(self, _: float) -> None:
        self.now += LOOK_S
        self._looks += 1

    def _done(self, recording: UUID) -> int | None:
        stages = self._stages[recording.int // 10]
        return None if stages is None else min(self._looks, stages)

    async def groups(self, *, recording_id: UUID, **_: object) -> list[object]:
        return [self._done(recording_id)]

    async def standing(self, recording: UUID) -> object:
        done = self._done(recording)
        whole = done is not None and done == self._stages[recording.int // 10]
        return SimpleNamespace(master_id=UUID(int=recording.int // 10) if whole else None)

    async def get_recording(self, _: UUID) -> RecordingDetail:
        return MASTER


@pytest.mark.parametrize(
    ("stages", "found"),
    [((3, 5), [True, True]), ((None, 4), [False, True]), ((5, None), [True, False]), ((None, None), [False, False])],
)
async def test_masters_are_waited_for_as_long_as_the_recorder_takes_steps_towards_any(
    monkeypatch: pytest.MonkeyPatch, stages: Sequence[int | None], found: Sequence[bool]
) -> None:
    """Curators run at the lowest priority: on a full machine several calls take them longer than one."""
    curators = Curators(stages)
    monkeypatch.setattr(copies_check, "time", SimpleNamespace(monotonic=curators.clock))
    monkeypatch.setattr(copies_check, "asyncio", SimpleNamespace(sleep=curators.sleep))
    masters = await await_masters(
        cast("Catalog", curators), [copies(number) for number in range(len(stages))], Patience(limit_s=LIMIT_S)
    )
    assert [master is not None for master in masters] == found
    last = max((one or 0 for one in stages), default=0)
    assert curators.now <= LOOK_S * last + 2 * LIMIT_S
