"""The lease machine alone, input by input."""

from __future__ import annotations

import pytest

from recorder.ha.lease import Lease, LeaseSight, LeaseTiming, State

TIMING = LeaseTiming(ttl_s=2.0, renew_s=0.25, answer_s=0.5, margin_s=0.25)


def sight(node: str = "a", epoch: int = 1024, renewals: int = 1) -> LeaseSight:
    return LeaseSight(node=node, holder=f"{node}/frontend-a", epoch=epoch, renewals=renewals)


def standby(seen: LeaseSight | None, *, at: float = 100.0) -> Lease:
    lease = Lease("b", TIMING)
    lease.observe(seen, at)
    return lease


def holder(*, asked_at: float = 100.0) -> Lease:
    lease = Lease("a", TIMING)
    assert lease.acquired(2048, asked_at=asked_at, now=asked_at)
    return lease


def test_a_timing_without_two_attempts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"renew_s \+ 2 x answer_s \+ margin_s = 2\.2 s is more than .* 2 s"):
        LeaseTiming(ttl_s=2.0, renew_s=0.2, answer_s=0.9, margin_s=0.2)


def test_nothing_is_acquired_before_the_row_was_seen() -> None:
    assert not Lease("b", TIMING).may_acquire(1000.0)


@pytest.mark.parametrize("free", [None, sight(node="")])
def test_a_lease_that_nobody_has_is_acquired_at_once(free: LeaseSight | None) -> None:
    assert standby(free).may_acquire(100.0)


def test_a_lease_of_the_own_host_is_acquired_at_once() -> None:
    assert standby(sight(node="b")).may_acquire(100.0)


def test_a_lease_of_another_host_is_acquired_once_unchanged_for_its_time() -> None:
    lease = standby(sight())
    lease.observe(sight(), 101.9)
    assert not lease.may_acquire(101.99)
    lease.observe(sight(), 102.0)
    assert lease.may_acquire(102.0)


def test_a_renewal_begins_the_wait_anew() -> None:
    lease = standby(sight(renewals=1))
    lease.observe(sight(renewals=2), 101.9)
    lease.observe(sight(renewals=2), 103.8)
    assert not lease.may_acquire(103.8)


def test_a_stale_sight_is_no_reason() -> None:
    lease = standby(sight())
    assert not lease.may_acquire(110.0)


def test_a_promise_keeps_a_standby_from_acquiring() -> None:
    lease = standby(sight())
    assert lease.promise(101.0)
    lease.observe(sight(), 102.5)
    assert not lease.may_acquire(102.5)
    lease.observe(sight(), 103.0)
    assert lease.may_acquire(103.0)


def test_a_standby_that_does_not_know_what_became_of_its_question_promises_nothing() -> None:
    lease = standby(sight(node=""))
    lease.asking(100.0)
    assert not lease.promise(101.2)
    assert lease.promise(101.25)


def test_one_that_was_refused_promises_again() -> None:
    lease = standby(sight(node=""))
    lease.asking(100.0)
    lease.refused()
    assert lease.promise(100.1)


def test_a_holder_promises_nothing() -> None:
    assert not holder().promise(100.0)


def test_the_holder_stops_before_the_expiry_counted_from_before_it_asked() -> None:
    lease = holder(asked_at=100.0)
    assert lease.holds(101.74)
    assert not lease.holds(101.75)
    assert lease.state is State.FORMER


def test_a_renewal_counts_from_its_stamp() -> None:
    lease = holder(asked_at=100.0)
    lease.extended(asked_at=101.0)
    assert lease.until == 102.75
    lease.extended(asked_at=100.5)
    assert lease.until == 102.75


def test_a_grant_that_comes_too_late_is_none() -> None:
    lease = Lease("a", TIMING)
    assert not lease.acquired(2048, asked_at=100.0, now=101.75)
    assert lease.state is State.FORMER


def test_after_the_end_nothing_brings_it_back() -> None:
    lease = holder()
    assert not lease.holds(200.0)
    lease.extended(asked_at=200.0)
    lease.observe(None, 200.0)
    assert not lease.holds(200.0)
    assert not lease.may_acquire(200.0)


def test_one_that_lost_the_race_or_gave_back_stops_at_once() -> None:
    for end in (Lease.lost, Lease.released):
        lease = holder()
        end(lease)
        assert not lease.holds(100.0)
