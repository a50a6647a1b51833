"""Token buckets: what passes, what is refused, what gets no answer, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recorder.edge.rate import MAX_SOURCES, RateLimit, Verdict


def taken(limit: RateLimit, times: int, *, source: str = "a", now: float = 0.0) -> list[Verdict]:
    return [limit.take(source, now) for _ in range(times)]


def test_a_burst_passes_then_as_many_are_refused_then_nothing_is_said() -> None:
    verdicts = taken(RateLimit(10, 5), 15)
    assert verdicts == [Verdict.PASS] * 5 + [Verdict.REFUSE] * 5 + [Verdict.IGNORE] * 5


def test_the_rate_is_regained_while_time_passes() -> None:
    limit = RateLimit(10, 5)
    taken(limit, 5)
    assert limit.take("a", 0.05) is Verdict.REFUSE
    assert taken(limit, 4, now=0.35) == [Verdict.PASS] * 3 + [Verdict.REFUSE]


def at_pace(limit: RateLimit, per_s: int, seconds: int) -> list[Verdict]:
    return [limit.take("a", number / per_s) for number in range(per_s * seconds)]


def test_somewhat_more_than_the_rate_is_served_at_the_rate_and_told_about_the_rest() -> None:
    verdicts = at_pace(RateLimit(10, 5), 15, 20)
    assert verdicts.count(Verdict.IGNORE) == 0
    assert abs(verdicts.count(Verdict.PASS) - 200) <= 6


def test_a_flood_is_ignored_altogether() -> None:
    verdicts = at_pace(RateLimit(10, 5), 100, 20)
    assert verdicts.count(Verdict.PASS) <= 6
    assert set(verdicts[100:]) == {Verdict.IGNORE}


def test_when_a_flood_is_over_its_source_is_served_again() -> None:
    limit = RateLimit(10, 5)
    taken(limit, 1000)
    assert limit.take("a", 0.2) is Verdict.IGNORE
    assert limit.take("a", 0.5) is Verdict.PASS


def test_a_source_that_falls_below_its_rate_is_served_again_without_a_pause() -> None:
    limit = RateLimit(10, 5)
    taken(limit, 1000)
    assert limit.take("a", 10.0) is Verdict.PASS
    taken(limit, 1000, now=10.0)
    verdicts = [limit.take("a", 10.0 + number / 8) for number in range(80)]
    assert verdicts[-1] is Verdict.PASS


def test_sources_do_not_share_a_bucket() -> None:
    limit = RateLimit(10, 5)
    taken(limit, 100)
    assert limit.take("b", 0.0) is Verdict.PASS


def test_zero_is_no_limit() -> None:
    assert set(taken(RateLimit(0, 1), 100)) == {Verdict.PASS}


def test_the_number_of_buckets_is_bounded_and_the_oldest_goes() -> None:
    limit = RateLimit(1, 1)
    for number in range(MAX_SOURCES + 10):
        limit.take(f"source {number}", 0.0)
    assert len(limit) == MAX_SOURCES
    assert limit.take("source 0", 0.0) is Verdict.PASS
    assert limit.take(f"source {MAX_SOURCES + 9}", 0.0) is not Verdict.PASS


def test_retry_after_is_when_a_token_is_there_again() -> None:
    limit = RateLimit(0.5, 2)
    taken(limit, 3)
    assert limit.retry_after_s("a") == 2
    assert limit.take("a", 1.9) is Verdict.REFUSE
    assert limit.take("a", 2.0) is Verdict.PASS
    assert limit.retry_after_s("b") == 1
    assert RateLimit(0, 1).retry_after_s("a") == 1


@given(st.lists(st.floats(0, 5), max_size=200), st.floats(0.1, 100), st.integers(1, 50))
def test_never_more_than_burst_and_rate_pass(gaps: list[float], rate: float, burst: int) -> None:
    limit, now, passed = RateLimit(rate, burst), 0.0, 0
    for gap in gaps:
        now += gap
        passed += limit.take("a", now) is Verdict.PASS
    assert passed <= burst + rate * now + 1e-6
