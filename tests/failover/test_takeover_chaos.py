"""Random calls under random faults, from fixed seeds; `make chaos` runs many more.

A round that fails can be repeated: `make chaos ARGS="--rounds 1 --seed N"`.
"""

from __future__ import annotations

import pytest

from tests.failover.chaos.faults import Target
from tests.failover.chaos.rounds import plan_round, run_round
from tests.kit.running import RunningRecorder

pytestmark = pytest.mark.failover


@pytest.mark.parametrize(
    ("seed", "names"),
    [
        (1, ["frontend-killed", "frontend-killed"]),
        (2, ["writer-killed", "frontend-killed"]),
        (3, ["frontend-frozen"]),
        (4, ["writer-drained", "switchover"]),
        (5, ["postgresql-frozen", "writers-killed"]),
        (6, ["all-but-postgresql-killed"]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else str(value),
)
async def test_nothing_is_lost_but_in_declared_gaps(recorder: RunningRecorder, seed: int, names: list[str]) -> None:
    round_ = plan_round(seed, names)
    print(round_)
    result = await run_round(Target(recorder), round_)
    assert result.faults == ()
