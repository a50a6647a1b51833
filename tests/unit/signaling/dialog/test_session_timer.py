"""The session timer: negotiation in both roles, and the machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.dialog.session_timer import (
    TRANSITIONS,
    Agreement,
    Due,
    Input,
    IntervalTooSmall,
    Phase,
    SessionInterval,
    SessionTimer,
    SessionTimerPolicy,
    agreed_as_uac,
    answer_as_uas,
    ask_as_uac,
)
from signaling.errors import LocalProtocolError
from signaling.sip import SessionExpires

POLICY = SessionTimerPolicy(maximum=3600)
OURS, THEIRS = SessionInterval(1800, refreshed_by_us=True), SessionInterval(1800, refreshed_by_us=False)


def uas(
    offered: str | None,
    *,
    minimum: int | None = None,
    supports: bool = True,
    current: SessionInterval | None = None,
    policy: SessionTimerPolicy = POLICY,
) -> Agreement | IntervalTooSmall:
    return answer_as_uas(
        offered=None if offered is None else SessionExpires.parse(offered),
        peer_minimum=minimum,
        peer_supports=supports,
        current=current,
        policy=policy,
    )


def agreed(outcome: Agreement | IntervalTooSmall) -> tuple[str, bool]:
    assert isinstance(outcome, Agreement)
    return str(outcome.expires), outcome.require_timer


@pytest.mark.parametrize(
    ("supports", "offered", "expires", "require"),
    [
        (False, "1800", "1800;refresher=uas", False),
        (True, "1800", "1800;refresher=uac", True),
        (True, "1800;refresher=uac", "1800;refresher=uac", True),
        (True, "1800;refresher=uas", "1800;refresher=uas", True),
    ],
)
def test_table_2(supports: bool, offered: str, expires: str, require: bool) -> None:
    """C23: RFC 4028 table 2, with the peer as refresher wherever we may choose."""
    assert agreed(uas(offered, supports=supports)) == (expires, require)


@pytest.mark.parametrize(
    ("offered", "minimum", "expected"),
    [("7200", None, 3600), ("7200", 5000, 5000), ("90", None, 90), ("60", None, 60), ("600", 700, 600)],
)
def test_the_interval_is_copied_or_lowered_never_raised(offered: str, minimum: int | None, expected: int) -> None:
    """C23."""
    outcome = uas(offered, minimum=minimum)
    assert isinstance(outcome, Agreement)
    assert outcome.session == SessionInterval(expected, refreshed_by_us=False)


@given(st.integers(0, 2**32 - 1), st.one_of(st.none(), st.integers(0, 100_000)), st.booleans())
def test_whatever_is_offered_the_answer_is_not_above_it(seconds: int, minimum: int | None, supports: bool) -> None:
    outcome = uas(str(seconds), minimum=minimum, supports=supports)
    assert isinstance(outcome, Agreement)
    assert outcome.session is not None
    assert outcome.session.seconds <= seconds
    assert outcome.session.seconds == seconds or outcome.session.seconds >= max(90, minimum or 0)


def test_a_short_interval_is_refused_only_if_we_would_have_to_refresh() -> None:
    assert uas("60;refresher=uas") == IntervalTooSmall(90)
    assert isinstance(uas("60;refresher=uac"), Agreement)


def test_no_timer_is_asked_for_unless_policy_says_so() -> None:
    assert uas(None) == Agreement(None, None)
    wanting = SessionTimerPolicy(requested=600)
    assert agreed(uas(None, policy=wanting)) == ("600;refresher=uac", True)
    assert agreed(uas(None, minimum=900, policy=wanting)) == ("900;refresher=uac", True)
    assert uas(None, supports=False, policy=wanting) == Agreement(None, None)


def test_a_running_timer_survives_a_request_that_forgets_it() -> None:
    assert agreed(uas(None, current=THEIRS)) == ("1800;refresher=uac", True)
    assert agreed(uas(None, current=OURS)) == ("1800;refresher=uas", True)


@pytest.mark.parametrize("policy", [{"maximum": 89}, {"requested": 89}])
def test_a_policy_below_the_floor_is_refused(policy: dict[str, int]) -> None:
    with pytest.raises(LocalProtocolError):
        SessionTimerPolicy(**policy)


def test_our_requests_leave_the_refresher_where_it_is() -> None:
    """RFC 4028 §7.4."""
    assert ask_as_uac(THEIRS, 0) == (SessionExpires(1800, "uas"), None)
    assert ask_as_uac(OURS, 0) == (SessionExpires(1800, "uac"), None)
    assert ask_as_uac(OURS, 2000) == (SessionExpires(2000, "uac"), 2000)
    assert ask_as_uac(None, 0) == (None, None)
    assert ask_as_uac(None, 300) == (None, 300)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (None, None),
        ("1800;refresher=uac", OURS),
        ("1800;refresher=uas", THEIRS),
        ("1800", THEIRS),
        ("0;refresher=uac", None),
    ],
)
def test_what_a_2xx_to_our_request_leaves_running(received: str | None, expected: SessionInterval | None) -> None:
    assert agreed_as_uac(None if received is None else SessionExpires.parse(received)) == expected


def standing(timer: SessionTimer) -> tuple[Phase, float | None]:
    return timer.phase, timer.deadline


def test_as_refresher_we_refresh_at_half_the_interval() -> None:
    timer = SessionTimer()
    timer.restart(OURS, 100.0)
    assert timer.deadline == 1000.0
    assert timer.handle_timer(999.9) is None
    assert timer.handle_timer(1000.0) is Due.REFRESH


def test_a_refresh_that_brings_nothing_expires_before_the_end() -> None:
    timer = SessionTimer()
    timer.restart(OURS, 0.0)
    timer.handle_timer(900.0)
    assert timer.deadline == 1768.0
    assert timer.handle_timer(1768.0) is Due.EXPIRED
    assert standing(timer) == (Phase.EXPIRED, None)


@pytest.mark.parametrize(("seconds", "expires_at"), [(1800, 1768.0), (90, 60.0)])
def test_a_peer_that_does_not_refresh_expires_at_the_smaller_of_32_s_and_a_third_before_the_end(
    seconds: int, expires_at: float
) -> None:
    """C23."""
    timer = SessionTimer()
    timer.restart(SessionInterval(seconds, refreshed_by_us=False), 0.0)
    assert timer.deadline == expires_at
    assert timer.handle_timer(expires_at) is Due.EXPIRED


def test_an_absurd_interval_is_run_as_the_rfcs_minimum() -> None:
    timer = SessionTimer()
    timer.restart(SessionInterval(1, refreshed_by_us=True), 0.0)
    assert timer.deadline == 45.0


def test_every_agreement_starts_over() -> None:
    timer = SessionTimer()
    timer.restart(OURS, 0.0)
    timer.handle_timer(900.0)
    timer.restart(THEIRS, 1000.0)
    assert (timer.phase, timer.deadline) == (Phase.GUARDING, 2768.0)


def test_without_an_agreement_nothing_runs() -> None:
    timer = SessionTimer()
    timer.restart(OURS, 0.0)
    timer.restart(None, 1.0)
    assert (timer.phase, timer.deadline) == (Phase.OFF, None)
    assert timer.handle_timer(9999.0) is None


def test_only_our_own_refresh_can_be_brought_forward() -> None:
    timer = SessionTimer()
    timer.restart(OURS, 0.0)
    timer.refresh_early(10.0)
    assert timer.deadline == 10.0
    timer.restart(THEIRS, 0.0)
    timer.refresh_early(10.0)
    assert timer.deadline == 1768.0


def test_the_table_has_an_entry_for_each_agreement_in_each_phase() -> None:
    for phase in Phase:
        for given_ in (Input.AGREED_OURS, Input.AGREED_THEIRS, Input.STOPPED):
            assert (phase, given_) in TRANSITIONS
    assert (Phase.OFF, Input.TIMER) not in TRANSITIONS
