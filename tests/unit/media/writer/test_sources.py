"""R3 (RFC 3550 §8.2): who may send to a stream."""

from __future__ import annotations

import socket

from media.writer.kernel import Address
from media.writer.sources import Acceptance, Cause, SourceLock, Stranger, SwitchPolicy

MS = 1_000_000
POLICY = SwitchPolicy(same_host_ns=200 * MS, same_ssrc_ns=1000 * MS, other_host_ns=5000 * MS)


def address(host: str, port: int = 4000) -> Address:
    return Address(host, port, family=socket.AF_INET)


ANNOUNCED, OTHER = address("192.0.2.1"), address("198.51.100.9")


def stranger(who: Address, first_ms: int = 0, last_ms: int | None = None, **changes: bool) -> Stranger:
    values = {"known_payload_type": True, "same_ssrc": False, **changes}
    last = first_ms if last_ms is None else last_ms
    return Stranger(address=who, first_ns=first_ms * MS, last_ns=last * MS, **values)


def locked(announced: Address | None, accepted: Address) -> SourceLock:
    lock = SourceLock(announced)
    acceptance = lock.judge(stranger(accepted), 0, POLICY)
    assert acceptance is not None
    lock.accept(accepted, acceptance)
    return lock


def test_the_announced_source_is_accepted_from_its_first_packet() -> None:
    assert SourceLock(ANNOUNCED).judge(stranger(ANNOUNCED, 7), 0, POLICY) == Acceptance(
        Cause.ANNOUNCED, 7 * MS, provisional=False
    )


def test_the_announced_host_may_send_from_another_port_than_it_receives_on() -> None:
    found = SourceLock(ANNOUNCED).judge(stranger(address("192.0.2.1", 9)), 0, POLICY)
    assert found == Acceptance(Cause.ANNOUNCED, 0, provisional=False)


def test_the_announced_host_is_trusted_with_payload_types_that_were_not_negotiated() -> None:
    assert SourceLock(ANNOUNCED).judge(stranger(ANNOUNCED, known_payload_type=False), 0, POLICY) is not None


def test_without_an_announced_address_the_first_valid_source_is_learned() -> None:
    assert SourceLock(None).judge(stranger(OTHER), 0, POLICY) == Acceptance(Cause.LEARNED, 0, provisional=False)


def test_an_unknown_payload_type_teaches_nothing() -> None:
    assert SourceLock(None).judge(stranger(OTHER, known_payload_type=False), 0, POLICY) is None


def test_another_source_than_announced_is_kept_provisionally_and_makes_room_at_once() -> None:
    lock = SourceLock(ANNOUNCED)
    first = lock.judge(stranger(OTHER), 0, POLICY)
    assert first == Acceptance(Cause.LEARNED, 0, provisional=True)
    lock.accept(OTHER, first)
    later = lock.judge(stranger(ANNOUNCED, 50), 49 * MS, POLICY)
    assert later == Acceptance(Cause.ANNOUNCED, 50 * MS, provisional=False)
    lock.accept(ANNOUNCED, later)
    assert lock.judge(stranger(OTHER, 51), 50 * MS, POLICY) is None


def test_a_stranger_is_kept_out_while_the_accepted_source_speaks() -> None:
    lock = locked(ANNOUNCED, ANNOUNCED)
    assert lock.judge(stranger(OTHER, 1000, 1400), 990 * MS, POLICY) is None
    assert lock.judge(stranger(OTHER, 1000, 1400, same_ssrc=True), 990 * MS, POLICY) is None
    assert lock.accepted is ANNOUNCED


def test_another_port_of_the_same_host_follows_after_a_short_silence() -> None:
    lock = locked(ANNOUNCED, ANNOUNCED)
    moved = address("192.0.2.1", 4444)
    assert lock.judge(stranger(moved, 100, 150), 0, POLICY) is None
    assert lock.judge(stranger(moved, 100, 400), 0, POLICY) == Acceptance(Cause.SWITCHED, 200 * MS, provisional=False)


def test_the_same_ssrc_from_another_host_follows_after_a_second_and_makes_room_again() -> None:
    lock = locked(ANNOUNCED, ANNOUNCED)
    assert lock.judge(stranger(OTHER, 100, 900, same_ssrc=True), 0, POLICY) is None
    switch = lock.judge(stranger(OTHER, 1200, same_ssrc=True), 0, POLICY)
    assert switch == Acceptance(Cause.SWITCHED, 1200 * MS, provisional=True)
    lock.accept(OTHER, switch)
    back = lock.judge(stranger(ANNOUNCED, 1300), 1299 * MS, POLICY)
    assert back is not None
    assert back.cause is Cause.ANNOUNCED


def test_any_valid_source_may_take_over_after_a_long_silence() -> None:
    lock = locked(None, ANNOUNCED)
    assert lock.judge(stranger(OTHER, 4999), 0, POLICY) is None
    assert lock.judge(stranger(OTHER, 5000), 0, POLICY) == Acceptance(Cause.SWITCHED, 5000 * MS, provisional=False)
    assert lock.judge(stranger(OTHER, 5000, known_payload_type=False), 0, POLICY) is None


def test_an_announced_move_is_followed_at_once_and_the_old_source_stays_until_then() -> None:
    lock = locked(ANNOUNCED, ANNOUNCED)
    lock.announce(OTHER)
    assert lock.accepted is ANNOUNCED
    moved = lock.judge(stranger(OTHER, 30), 29 * MS, POLICY)
    assert moved == Acceptance(Cause.MOVED, 30 * MS, provisional=False)
    lock.accept(OTHER, moved)
    # The old one is a stranger now: no flip-flop.
    assert lock.judge(stranger(ANNOUNCED, 31), 30 * MS, POLICY) is None


def test_announcing_the_same_address_again_opens_nothing() -> None:
    lock = locked(ANNOUNCED, ANNOUNCED)
    lock.announce(address("192.0.2.1"))
    assert lock.judge(stranger(address("192.0.2.1", 5), 10), 9 * MS, POLICY) is None


def test_a_source_that_moved_before_it_said_so_is_no_longer_provisional() -> None:
    lock = locked(ANNOUNCED, ANNOUNCED)
    switch = lock.judge(stranger(OTHER, 6000), 0, POLICY)
    assert switch is not None
    lock.accept(OTHER, switch)
    states = [lock.provisional]
    lock.announce(OTHER)
    states.append(lock.provisional)
    assert states == [True, False]
    assert lock.judge(stranger(ANNOUNCED, 6001), 6000 * MS, POLICY) is None


def test_an_sdp_that_names_no_address_any_more_keeps_the_source() -> None:
    lock = locked(ANNOUNCED, ANNOUNCED)
    lock.announce(None)
    assert lock.accepted is ANNOUNCED
    assert lock.judge(stranger(OTHER, 10), 9 * MS, POLICY) is None
