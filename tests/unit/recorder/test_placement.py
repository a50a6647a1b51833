"""Placement of sessions on writers: a pure choice."""

from __future__ import annotations

from recorder.writer_pool.placement import WriterLoad, candidates

GB = 1 << 30


def load(
    name: str,
    *,
    streams: int = 0,
    free_ports: int = 100,
    free: int = GB,
    healthy: bool = True,
    local: bool = True,
    host: str = "",
    late: bool = False,
) -> WriterLoad:
    return WriterLoad(
        name=name,
        streams=streams,
        free_ports=free_ports,
        free_bytes=free,
        healthy=healthy,
        local=local,
        host=host,
        late=late,
    )


def names(*loads: WriterLoad, streams: int = 2, avoid: frozenset[str] = frozenset()) -> list[str]:
    return candidates(loads, streams=streams, min_free_bytes=1000, avoid=avoid)


def test_the_emptiest_writer_comes_first() -> None:
    assert names(load("w1", streams=10), load("w2", streams=4)) == ["w2", "w1"]


def test_equal_load_is_decided_by_free_ports_then_name() -> None:
    assert names(load("w2"), load("w1"), load("w3", free_ports=200)) == ["w3", "w1", "w2"]


def test_both_streams_of_a_session_need_room_on_one_writer() -> None:
    assert names(load("w1", free_ports=1), load("w2", free_ports=2)) == ["w2"]


def test_a_writer_that_is_silent_or_failed_gets_nothing() -> None:
    assert names(load("w1", healthy=False), load("w2")) == ["w2"]


def test_a_writer_whose_disk_is_nearly_full_gets_nothing() -> None:
    assert names(load("w1", free=999), load("w2", free=1000)) == ["w2"]


def test_an_avoided_writer_is_the_last_resort_not_forbidden() -> None:
    assert names(load("w1"), load("w2", streams=50), avoid=frozenset({"w1"})) == ["w2", "w1"]


def test_nobody_able_is_an_empty_list() -> None:
    assert names(load("w1", free_ports=0)) == []


def test_a_copy_goes_to_another_host_before_another_writer_of_the_same() -> None:
    loads = [
        load("a/w1", host="a"),
        load("a/w2", host="a"),
        load("b/w1", host="b", streams=50, local=False),
    ]
    found = candidates(loads, streams=2, min_free_bytes=1000, apart=frozenset({"a/w1"}))
    assert found == ["b/w1", "a/w2", "a/w1"]


def test_on_one_host_a_copy_goes_to_another_writer() -> None:
    loads = [load("w1"), load("w2", streams=50)]
    assert candidates(loads, streams=2, min_free_bytes=1000, apart=frozenset({"w1"})) == ["w2", "w1"]


def test_a_writer_that_owes_an_answer_comes_last_however_empty() -> None:
    assert names(load("w1", late=True), load("w2", streams=10), load("w3", local=False)) == ["w2", "w3", "w1"]
