"""One round: calls that come, pause, resume and go while faults strike; everything from one seed.

The seed decides calls, pauses and faults; when exactly a signal hits what is the machine's affair, so a replay meets
the same faults, not always the same interleaving.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Protocol

from recorder.simulator.journal import Journal
from recorder.simulator.scenario import CallPlan, Door, Pause, ScenarioOptions, plan_calls
from recorder.simulator.simulation import CallOutcome, Moment, RunOptions, Target, run_calls
from recorder.state_dir import StateDir
from tests.failover.chaos import oracle
from tests.failover.chaos.faults import FAULTS, Fault

_CALLS: Final = 16
_SECONDS: Final = 7.0
_RATE: Final = 2.5
_FIRST_S, _LAST_S = 1.0, 11.0
"""When faults strike: calls begin until 6.4 s and end until 14 s."""


class Victim(Protocol):
    """What is struck: one recorder, or a site of several hosts."""

    sip: Target
    """Where calls go."""

    @property
    def state_dir(self) -> StateDir:
        """Of a recorder that runs."""

    def captures(self) -> list[Path]:
        """Return every directory that captures may lie in."""

    async def recovered(self) -> None:
        """Wait until it is whole again."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault and its time."""

    at_s: float
    """Seconds after the start of the run."""
    fault: Fault[Any]


@dataclass(frozen=True, slots=True)
class Round:
    """What happens in one round."""

    seed: int
    calls: tuple[CallPlan, ...]
    faults: tuple[Planned, ...]

    def __str__(self) -> str:
        what = ", ".join(f"{one.fault.name} at {one.at_s:.2f} s" for one in self.faults)
        return f"seed {self.seed}: {len(self.calls)} calls; {what}"

    @property
    def cost(self) -> int:
        """Packets of each stream that all faults together may cost."""
        return sum(one.fault.cost for one in self.faults)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    faults: tuple[str, ...]
    lost: int
    """Packets lost in declared gaps."""
    packets: int
    calls: tuple[CallOutcome, ...]
    journal: Journal


def plan_round(
    seed: int,
    names: Sequence[str] = (),
    *,
    among: Mapping[str, Fault[Any]] = FAULTS,
    count: int = 2,
    calls: int = _CALLS,
    seconds: float = _SECONDS,
) -> Round:
    """Lay out a round.

    Args:
        seed: decides everything.
        names: the faults, in this order; chosen by the seed if there are none.
        among: all that there are.
        count: how many to choose.
        calls: how many calls.
        seconds: media time of each.

    """
    rng = random.Random(seed)
    chosen = [among[name] for name in names] or rng.choices(list(among.values()), k=count)
    times = sorted(rng.uniform(_FIRST_S, _LAST_S) for _ in chosen)
    if len(times) > 1 and rng.random() < 0.5:
        # The second strikes while the recorder is still busy with the first.
        times[1] = times[0] + rng.uniform(0.0, 1.0)
    planned = tuple(Planned(at, fault) for at, fault in zip(sorted(times), chosen, strict=True))
    options = ScenarioOptions(
        door=rng.choice(list(Door)), calls=calls, seconds=seconds, seed=seed, rate=_RATE * calls / _CALLS
    )
    plans = plan_calls(options, started_at=datetime.now(UTC), run=token_hex(8))
    if not any(fault.blurs for fault in chosen):
        plans = [_with_pauses(plan, rng) for plan in plans]
    return Round(seed, tuple(plans), planned)


def _with_pauses(plan: CallPlan, rng: random.Random) -> CallPlan:
    if rng.random() < 0.5:
        return plan
    pause = Pause(at_s=rng.uniform(0.5, plan.seconds - 2), for_s=rng.uniform(0.5, plan.seconds))
    return dataclasses.replace(plan, pauses=(pause,))


async def run_round(victim: Victim, round_: Round) -> Result:
    """Run it and judge."""
    await victim.recovered()
    rng = random.Random(round_.seed ^ 0x5EED)
    moments = [Moment(one.at_s, partial(one.fault.strike, victim, rng)) for one in round_.faults]
    outcome = await run_calls(round_.calls, victim.sip, options=RunOptions(leak_while_paused=True), moments=moments)
    await victim.recovered()
    judgement = await oracle.judge(outcome.journal, victim.state_dir, cost=round_.cost, captures=victim.captures())
    broken = [f"call {one.call}: {one.status} {one.detail}" for one in outcome.calls if not one.completed]
    return Result(
        faults=(*broken, *judgement.faults),
        lost=judgement.lost,
        packets=sum(verdict.sent for verdict in judgement.verdicts),
        calls=outcome.calls,
        journal=outcome.journal,
    )
