"""Two candidates never both believe that they hold the lease, whatever is lost, late, frozen, or thawed.

A world of one catalog and three hosts: messages are delivered late, in any order, or never; clocks of the hosts go at
different rates; hosts freeze and thaw; the catalog freezes and carries out later what it had received.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from recorder.ha.lease import Lease, LeaseSight, LeaseTiming

TIMING = LeaseTiming(ttl_s=2.0, renew_s=0.25, answer_s=0.5, margin_s=0.25)
_RATE = TIMING.margin_s / (2 * TIMING.ttl_s) * 0.99


@dataclass
class Host:
    name: str
    rate: float
    lease: Lease
    seen_at_server: float = 0.0
    promises: dict[int, set[str]] = field(default_factory=dict)
    alive: bool = True


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.time = 1000.0
        self.row: LeaseSight | None = None
        self.waiting: list[Callable[[], None]] = []
        self.rounds = itertools.count()
        self.hosts: list[Host] = []

    @initialize(rates=st.lists(st.floats(-_RATE, _RATE), min_size=3, max_size=3))
    def start(self, rates: list[float]) -> None:
        self.hosts = [Host(name, 1 + rate, Lease(name, TIMING)) for name, rate in zip("abc", rates, strict=True)]
        for _ in range(2):
            # One has it, the others know: a random walk rarely gets there by itself.
            self.a_standby_does_all_it_can(0)
        for who in (1, 2):
            self.a_host_looks_and_hears_at_once(who)

    @rule(who=st.integers(0, 2))
    def a_standby_does_all_it_can(self, who: int) -> None:
        self.a_host_looks_and_hears_at_once(who)
        self.a_host_asks_for_it(who, at_once=True)

    def clock(self, host: Host) -> float:
        return self.time * host.rate

    def send(self, effect: Callable[[], None]) -> None:
        self.waiting.append(effect)

    @rule(step=st.sampled_from([0.01, 0.24, 0.5, 1.0, 1.74, 2.0]))
    def time_passes(self, step: float) -> None:
        """Nobody does anything meanwhile: as good as all frozen."""
        self.time += step

    @rule(which=st.integers(0, 30))
    def something_arrives(self, which: int) -> None:
        if self.waiting:
            self.waiting.pop(which % len(self.waiting))()

    @rule(which=st.integers(0, 30))
    def something_is_lost(self, which: int) -> None:
        if self.waiting:
            self.waiting.pop(which % len(self.waiting))

    @rule(who=st.integers(0, 2))
    def a_host_looks_and_hears_at_once(self, who: int) -> None:
        host = self.hosts[who]
        host.seen_at_server = self.time
        host.lease.observe(self.row, self.clock(host))

    @rule(who=st.integers(0, 2))
    def a_host_looks(self, who: int) -> None:
        host = self.hosts[who]

        def execute() -> None:
            row, at = self.row, self.time

            def answer() -> None:
                host.seen_at_server = at
                host.lease.observe(row, self.clock(host))

            self.send(answer)

        self.send(execute)

    @rule(who=st.integers(0, 2), at_once=st.booleans())
    def a_host_asks_for_it(self, who: int, *, at_once: bool) -> None:
        host = self.hosts[who]
        now = self.clock(host)
        if not host.lease.may_acquire(now):
            return
        seen, not_after = host.lease.sight, host.seen_at_server + TIMING.execute_within_s
        host.lease.asking(now)

        def execute() -> None:
            if self.time > not_after or self.row != seen:
                self.send(host.lease.refused)
                return
            epoch = (self.row.epoch if self.row else 0) + 1024
            renewals = (self.row.renewals if self.row else 0) + 1
            self.row = LeaseSight(node=host.name, holder=host.name, epoch=epoch, renewals=renewals)

            def granted() -> None:
                host.lease.acquired(epoch, asked_at=now, now=self.clock(host))

            self.send(granted)
            if at_once:
                self.waiting.pop()()

        if at_once:
            execute()
        else:
            self.send(execute)

    @rule(who=st.integers(0, 2), at_once=st.booleans())
    def the_holder_renews(self, who: int, *, at_once: bool) -> None:
        host = self.hosts[who]
        now = self.clock(host)
        if not host.lease.holds(now):
            return
        epoch = host.lease.epoch

        def execute() -> None:
            if self.row is None or self.row.epoch != epoch or self.row.node != host.name:
                self.send(host.lease.lost)
                return
            self.row = LeaseSight(node=host.name, holder=host.name, epoch=epoch, renewals=self.row.renewals + 1)
            self.send(lambda: host.lease.extended(asked_at=now))
            if at_once:
                self.waiting.pop()()

        if at_once:
            execute()
        else:
            self.send(execute)

    @rule(who=st.integers(0, 2), at_once=st.booleans())
    def the_holder_asks_its_standbys(self, who: int, *, at_once: bool) -> None:
        host = self.hosts[who]
        now = self.clock(host)
        if not host.lease.holds(now):
            return
        number = next(self.rounds)
        needed = {other.name for other in self.hosts if other is not host}
        host.promises[number] = set()

        def asked(other: Host) -> None:
            if not other.lease.promise(self.clock(other)):
                return

            def answered() -> None:
                host.promises[number].add(other.name)
                if host.promises[number] == needed:
                    host.lease.extended(asked_at=now)

            answered() if at_once else self.send(answered)

        for other in self.hosts:
            if other is not host:
                if at_once:
                    asked(other)
                else:
                    self.send(lambda other=other: asked(other))  # type: ignore[misc]

    @rule(who=st.integers(0, 2))
    def the_holder_gives_it_back(self, who: int) -> None:
        host = self.hosts[who]
        if not host.lease.holds(self.clock(host)):
            return
        epoch = host.lease.epoch
        host.lease.released()

        def execute() -> None:
            if self.row and self.row.epoch == epoch:
                self.row = LeaseSight(node="", holder="", epoch=epoch, renewals=self.row.renewals + 1)

        self.send(execute)

    @rule(who=st.integers(0, 2))
    def a_former_holder_begins_as_a_newcomer(self, who: int) -> None:
        """Its supervisor has seen the end of the process; what it sent may still arrive."""
        host = self.hosts[who]
        self.hosts[who] = Host(host.name, host.rate, Lease(host.name, TIMING))

    @invariant()
    def at_most_one_believes_that_it_is_the_holder(self) -> None:
        holders = [host.name for host in self.hosts if host.lease.holds(self.clock(host))]
        assert len(holders) <= 1, holders


TestLease = World.TestCase
TestLease.settings = settings(max_examples=150, stateful_step_count=30)
