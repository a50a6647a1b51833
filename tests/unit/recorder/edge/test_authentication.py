"""Digest authentication: challenges, algorithms, age and reuse of nonces (RFC 7616, RFC 8760)."""

from __future__ import annotations

import dataclasses

import pytest

from recorder.edge import authentication
from recorder.edge.authentication import COUNT_WINDOW, NONCE_LIFETIME_S, Accepted, Authenticator, Challenged
from recorder.edge.users import lines_of, parse_users
from signaling.sip import Request, parse_message
from signaling.sip.digest import Algorithm, Challenge, Credentials, answer

KEY = bytes(range(32))
USERS = parse_users("\n".join(lines_of("sbc", realm="tandem", password="secret")), realm="tandem")


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator(USERS, realm="tandem", key=KEY)


def invite(*authorization: str, branch: str = "z9hG4bK1", cseq: int = 1) -> Request:
    lines = "".join(f"Authorization: {value}\r\n" for value in authorization)
    text = (
        f"INVITE sip:srs@192.0.2.40 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.30;branch={branch}\r\nFrom: <sip:a@b>;tag=1\r\n"
        f"To: <sip:c@d>\r\nCall-ID: x@y\r\nCSeq: {cseq} INVITE\r\n{lines}\r\n"
    )
    parsed = parse_message(text.encode())
    assert isinstance(parsed, Request)
    return parsed


def challenged(judged: Accepted | Challenged) -> list[Challenge]:
    assert isinstance(judged, Challenged)
    parsed = [Challenge.parse(text) for text in judged.challenges]
    return [one for one in parsed if one is not None]


def credentials(challenge: Challenge, *, count: int = 1, user: str = "sbc", password: str = "secret") -> Credentials:
    return answer(
        challenge, username=user, password=password, method="INVITE", uri="sip:srs@192.0.2.40", cnonce="c", count=count
    )


def signed(challenge: Challenge, **options: object) -> str:
    return str(credentials(challenge, **options))  # type: ignore[arg-type]


def test_without_credentials_each_algorithm_is_offered_strongest_first(authenticator: Authenticator) -> None:
    offered = challenged(authenticator.judge(invite(), 1000.0))
    assert [one.algorithm for one in offered] == [Algorithm.SHA_512_256, Algorithm.SHA_256, Algorithm.MD5]
    assert {one.realm for one in offered} == {"tandem"}
    assert not any(one.stale for one in offered)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_the_right_password_is_accepted_with_every_algorithm(
    authenticator: Authenticator, algorithm: Algorithm
) -> None:
    """C28: RFC 7616 and RFC 8760."""
    challenge = next(one for one in challenged(authenticator.judge(invite(), 1000.0)) if one.algorithm is algorithm)
    assert authenticator.judge(invite(signed(challenge)), 1001.0) == Accepted("sbc")


@pytest.mark.parametrize("wrong", [{"password": "Secret"}, {"user": "nobody"}])
def test_a_wrong_password_or_user_is_challenged_afresh_and_not_stale(
    authenticator: Authenticator, wrong: dict[str, str]
) -> None:
    challenge = challenged(authenticator.judge(invite(), 1000.0))[0]
    again = challenged(authenticator.judge(invite(signed(challenge, **wrong)), 1001.0))
    assert again[0].nonce != challenge.nonce
    assert not again[0].stale


def test_credentials_for_another_method_are_wrong(authenticator: Authenticator) -> None:
    challenge = challenged(authenticator.judge(invite(), 1000.0))[0]
    given = answer(challenge, username="sbc", password="secret", method="OPTIONS", uri="sip:x", cnonce="c")
    assert isinstance(authenticator.judge(invite(str(given)), 1001.0), Challenged)


def test_an_old_nonce_with_the_right_password_is_stale(authenticator: Authenticator) -> None:
    challenge = challenged(authenticator.judge(invite(), 1000.0))[0]
    late = authenticator.judge(invite(signed(challenge)), 1000.0 + NONCE_LIFETIME_S + 1)
    assert challenged(late)[0].stale


def test_a_nonce_of_somebody_else_is_stale(authenticator: Authenticator) -> None:
    other = Authenticator(USERS, realm="tandem", key=bytes(32))
    challenge = challenged(other.judge(invite(), 1000.0))[0]
    assert challenged(authenticator.judge(invite(signed(challenge)), 1001.0))[0].stale


def test_frontends_that_share_the_key_take_each_others_nonces(authenticator: Authenticator) -> None:
    successor = Authenticator(USERS, realm="tandem", key=KEY)
    challenge = challenged(authenticator.judge(invite(), 1000.0))[0]
    assert successor.judge(invite(signed(challenge)), 1001.0) == Accepted("sbc")


def test_a_retransmission_is_accepted_and_a_replay_is_not(authenticator: Authenticator) -> None:
    challenge = challenged(authenticator.judge(invite(), 1000.0))[0]
    given = signed(challenge)
    assert authenticator.judge(invite(given), 1001.0) == Accepted("sbc")
    assert authenticator.judge(invite(given), 1002.0) == Accepted("sbc")
    replayed = authenticator.judge(invite(given, branch="z9hG4bK2"), 1003.0)
    assert challenged(replayed)[0].stale


def test_a_nonce_may_be_used_again_with_other_counts_in_any_order(authenticator: Authenticator) -> None:
    challenge = challenged(authenticator.judge(invite(), 1000.0))[0]
    for count in (1, 3, 2):
        given = invite(signed(challenge, count=count), branch=f"z9hG4bK{count}", cseq=count)
        assert authenticator.judge(given, 1001.0) == Accepted("sbc")


def test_a_count_far_behind_is_stale(authenticator: Authenticator) -> None:
    challenge = challenged(authenticator.judge(invite(), 1000.0))[0]
    assert authenticator.judge(invite(signed(challenge, count=100)), 1001.0) == Accepted("sbc")
    behind = invite(signed(challenge, count=100 - COUNT_WINDOW), branch="z9hG4bK2")
    assert challenged(authenticator.judge(behind, 1001.0))[0].stale


def test_without_a_count_a_nonce_is_good_for_one_request(authenticator: Authenticator) -> None:
    """RFC 2069 clients leave qop, cnonce and nc out."""
    challenge = dataclasses.replace(challenged(authenticator.judge(invite(), 1000.0))[-1], qop_auth=False)
    given = signed(challenge)
    assert "nc=" not in given
    assert authenticator.judge(invite(given), 1001.0) == Accepted("sbc")
    assert challenged(authenticator.judge(invite(given, branch="z9hG4bK2"), 1001.0))[0].stale


def test_credentials_of_another_realm_or_unreadable_ones_are_passed_over(authenticator: Authenticator) -> None:
    challenge = challenged(authenticator.judge(invite(), 1000.0))[0]
    foreign = str(dataclasses.replace(credentials(challenge), realm="elsewhere"))
    given = invite('Digest username="sbc', "Basic c2JjOnNlY3JldA==", foreign, signed(challenge))
    assert authenticator.judge(given, 1001.0) == Accepted("sbc")
    assert isinstance(authenticator.judge(invite(foreign, branch="z9hG4bK2"), 1001.0), Challenged)


def test_what_is_remembered_is_bounded_and_nothing_forgotten_is_accepted_again(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "MAX_NONCES", 10)
    first = challenged(authenticator.judge(invite(), 1000.0))[0]
    used = signed(first)
    assert authenticator.judge(invite(used), 1000.0) == Accepted("sbc")
    for number in range(20):
        challenge = challenged(authenticator.judge(invite(), 1001.0 + number))[0]
        given = invite(signed(challenge), branch=f"z9hG4bK{number}")
        assert authenticator.judge(given, 1001.0 + number) == Accepted("sbc")
    assert len(authenticator) == 10
    assert challenged(authenticator.judge(invite(used), 1021.0))[0].stale


def test_other_users_can_be_taken_while_it_runs(authenticator: Authenticator) -> None:
    challenge = challenged(authenticator.judge(invite(), 1000.0))[0]
    md5 = parse_users(lines_of("new", realm="tandem", password="word")[-1], realm="tandem")
    authenticator.use(md5)
    assert isinstance(authenticator.judge(invite(signed(challenge)), 1001.0), Challenged)
    offered = challenged(authenticator.judge(invite(), 1001.0))
    assert [one.algorithm for one in offered] == [Algorithm.MD5]
    given = invite(signed(offered[0], user="new", password="word"))
    assert authenticator.judge(given, 1002.0) == Accepted("new")
