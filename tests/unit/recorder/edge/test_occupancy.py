"""Limits of sessions, in all and of each client."""

from __future__ import annotations

from recorder.edge.occupancy import Occupancy


def test_without_limits_there_is_always_room() -> None:
    occupancy = Occupancy()
    for _ in range(1000):
        occupancy.began("a")
    assert occupancy.obstacle("a") == ""


def test_the_total_counts_sessions_of_all_clients() -> None:
    occupancy = Occupancy(total=2)
    occupancy.began("a")
    assert occupancy.obstacle("b") == ""
    occupancy.began("b")
    assert occupancy.obstacle("c") == "access.max_sessions is reached"
    occupancy.ended("a")
    assert occupancy.obstacle("c") == ""


def test_a_client_at_its_limit_does_not_stop_others() -> None:
    occupancy = Occupancy(per_source=1)
    occupancy.began("a")
    assert occupancy.obstacle("a") == "access.max_sessions_per_source is reached"
    assert occupancy.obstacle("b") == ""
    assert occupancy.obstacle("") == ""


def test_a_session_that_is_being_set_up_counts() -> None:
    occupancy = Occupancy(total=3, per_source=2)
    with occupancy.setting_up("a"), occupancy.setting_up("a"):
        assert occupancy.obstacle("a") == "access.max_sessions_per_source is reached"
        with occupancy.setting_up("b"):
            assert occupancy.obstacle("c") == "access.max_sessions is reached"
    assert occupancy.obstacle("a") == ""


def test_an_end_that_is_told_twice_leaves_no_debt() -> None:
    occupancy = Occupancy(total=1)
    occupancy.ended("a")
    occupancy.began("a")
    assert occupancy.obstacle("a") == "access.max_sessions is reached"
