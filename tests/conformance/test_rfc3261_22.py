"""RFC 3261 §22, RFC 7616 and RFC 8760: the recorder answers challenges to its own requests (C28)."""

from __future__ import annotations

import pytest

from signaling.sip import Request
from signaling.sip.digest import Algorithm, Challenge, Credentials, hash_password, verify
from signaling.useragent import (
    CheckpointAdvised,
    DialogEnded,
    Login,
    ResponseReceived,
    SessionRefreshed,
)
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, Line, Src

NEW_OFFER = ANSWER.replace(b"o=srs 7 1", b"o=srs 7 2")
REALM, USER, PASSWORD = "sbc.example", "recorder", "open sesame"


def known(_: str, realm: str, algorithm: Algorithm) -> Login | None:
    """The recorder's credentials: one user in one realm, for SHA-256 and MD5."""
    if realm not in (REALM, "proxy.example") or algorithm is Algorithm.SHA_512_256:
        return None
    return Login(USER, hash_password(USER, realm, PASSWORD, algorithm))


def challenge(nonce: str, *, realm: str = REALM, algorithm: Algorithm = Algorithm.SHA_256, stale: bool = False) -> str:
    return str(Challenge(realm, nonce, algorithm, stale=stale))


def established(**parts: str) -> tuple[Line, Src]:
    line = Line(logins=known)
    src = Src(line, **parts)
    src.establish()
    return line, src


def proof(request: Request, name: str = "Authorization") -> Credentials:
    """The only credentials of a request, proved right for its method and Request-URI."""
    (value,) = request.headers.get_all(name)
    credentials = Credentials.parse(value)
    assert credentials is not None
    assert credentials.uri == request.uri.text
    hashed = hash_password(USER, credentials.realm, PASSWORD, credentials.algorithm)
    assert verify(credentials, hashed_password=hashed, method=request.method)
    return credentials


def challenged_reinvite(status: int = 401, header: str = "WWW-Authenticate") -> tuple[Line, Src, Request, Request, str]:
    """A re-INVITE of ours was challenged: the request before and after."""
    line, src = established()
    request_id = line.agent.reinvite(src.dialog_id, NEW_OFFER, line.now)
    (first,) = line.requests()
    line.receive(src.answer(first, status, headers=[f"{header}: {challenge('n1')}"]))
    ack, again = line.requests()
    assert (ack.method, again.method) == ("ACK", "INVITE")
    return line, src, first, again, request_id


@pytest.mark.parametrize(
    ("status", "asks", "answers"),
    [(401, "WWW-Authenticate", "Authorization"), (407, "Proxy-Authenticate", "Proxy-Authorization")],
)
def test_c28_22_2_a_challenged_request_is_sent_again_with_the_next_cseq_and_credentials(
    status: int, asks: str, answers: str
) -> None:
    """§22.2: "the UAC MUST increment the CSeq header field value"; From-tag, To-tag and Call-ID stay."""
    line, src, first, again, request_id = challenged_reinvite(status, asks)
    assert again.cseq.number == first.cseq.number + 1
    assert again.via.branch != first.via.branch
    assert (again.call_id, again.from_.tag, again.to.tag) == (first.call_id, first.from_.tag, first.to.tag)
    assert again.body == first.body == NEW_OFFER
    credentials = proof(again, answers)
    assert (credentials.nonce, credentials.nc, credentials.algorithm) == ("n1", "00000001", Algorithm.SHA_256)
    # The transaction user hears of nothing but the end, under the name that it knows; a successor must know the number.
    told = line.events()
    assert [type(event) for event in told] == [CheckpointAdvised]
    line.receive(src.answer(again, 200, body=OFFER, contact="<sip:src@192.0.2.30:5060>"))
    (ack,) = line.requests()
    assert ack.method == "ACK"
    assert line.event(ResponseReceived).request_id == request_id


def test_c28_13_2_2_4_the_ack_has_the_same_credentials_as_the_invite() -> None:
    """§13.2.2.4: "The ACK MUST contain the same credentials as the INVITE"."""
    line, src, _, again, _ = challenged_reinvite()
    line.receive(src.answer(again, 200, body=OFFER))
    (ack,) = line.requests()
    assert ack.headers.get_all("Authorization") == again.headers.get_all("Authorization")


def test_c28_a_repeated_challenge_of_the_old_transaction_is_only_acknowledged() -> None:
    line, src, first, _, _ = challenged_reinvite()
    line.receive(src.answer(first, 401, headers=[f"WWW-Authenticate: {challenge('n2')}"]))
    assert [request.method for request in line.requests()] == ["ACK"]
    assert line.agent.state(src.dialog_id).local_sequence == first.cseq.number + 1


@pytest.mark.parametrize("algorithm", [Algorithm.MD5, Algorithm.SHA_256])
def test_c28_rfc8760_2_4_the_topmost_challenge_that_can_be_answered_counts(algorithm: Algorithm) -> None:
    """§2.4: "the client [...] SHOULD use the topmost header field that it supports"; ours has no hash for the first."""
    line, src = established()
    line.agent.update(src.dialog_id, b"", None, line.now)
    (first,) = line.requests()
    offers = [
        f"WWW-Authenticate: {challenge('n0', algorithm=Algorithm.SHA_512_256)}",
        "WWW-Authenticate: Negotiate abc",
        f"WWW-Authenticate: {challenge('n1', algorithm=algorithm)}",
        f"WWW-Authenticate: {challenge('n2', algorithm=Algorithm.MD5)}",
    ]
    line.receive(src.answer(first, 401, headers=offers))
    (again,) = line.requests()
    credentials = proof(again)
    assert (credentials.nonce, credentials.algorithm) == ("n1", algorithm)


def test_c28_22_3_each_proxy_on_the_way_gets_its_own_credentials() -> None:
    line, src = established()
    line.agent.update(src.dialog_id, b"", None, line.now)
    (first,) = line.requests()
    line.receive(src.answer(first, 407, headers=[f"Proxy-Authenticate: {challenge('p1', realm='proxy.example')}"]))
    (second,) = line.requests()
    line.receive(src.answer(second, 401, headers=[f"WWW-Authenticate: {challenge('n1')}"]))
    (third,) = line.requests()
    assert proof(third, "Proxy-Authorization").nc == "00000002"
    assert proof(third).nc == "00000001"
    assert third.cseq.number == first.cseq.number + 2


def test_c28_rfc7616_3_4_later_requests_of_the_dialog_bring_the_credentials_with_a_higher_count() -> None:
    line, src, _, again, _ = challenged_reinvite()
    line.receive(src.answer(again, 200, body=OFFER))
    line.heard()
    line.agent.update(src.dialog_id, b"", None, line.now)
    (update,) = line.requests()
    credentials = proof(update)
    assert (credentials.nonce, credentials.nc) == ("n1", "00000002")


def test_c28_rfc7616_3_3_a_stale_nonce_is_replaced() -> None:
    """§3.3: stale is "TRUE" when "the client may wish to simply retry the request with a new encrypted response"."""
    line, src, _, again, _ = challenged_reinvite()
    line.receive(src.answer(again, 401, headers=[f"WWW-Authenticate: {challenge('n2', stale=True)}"]))
    *_, third = line.requests()
    credentials = proof(third)
    assert (credentials.nonce, credentials.nc) == ("n2", "00000001")


def test_c28_22_2_a_rejected_password_is_not_tried_again() -> None:
    """§22.2: a UAC that already tried the credentials must not repeat them with the same realm."""
    line, src, _, again, request_id = challenged_reinvite()
    line.events()
    line.receive(src.answer(again, 401, headers=[f"WWW-Authenticate: {challenge('n2')}"]))
    assert [request.method for request in line.requests()] == ["ACK"]
    answered = line.event(ResponseReceived)
    assert (answered.request_id, answered.response.status) == (request_id, 401)


def test_c28_a_server_that_always_says_stale_is_given_up() -> None:
    line, src, _, request, _ = challenged_reinvite()
    line.events()
    for number in range(10):
        line.receive(src.answer(request, 401, headers=[f"WWW-Authenticate: {challenge(f's{number}', stale=True)}"]))
        *_, request = line.requests()
        if request.method == "ACK":
            break
    else:
        pytest.fail("it goes on for ever")
    assert line.event(ResponseReceived).response.status == 401


@pytest.mark.parametrize(
    "header",
    [
        "WWW-Authenticate: Digest realm=\"elsewhere\", nonce=\"n\", qop=\"auth\"",
        "WWW-Authenticate: Digest realm=\"sbc.example\"",
        "WWW-Authenticate: Digest realm=\"sbc.example\", nonce=\"n\", qop=\"auth-int\"",
        "Subject: nothing",
    ],
)  # fmt: skip
def test_c28_a_challenge_that_we_cannot_answer_is_a_refusal(header: str) -> None:
    line, src = established()
    line.agent.update(src.dialog_id, b"", None, line.now)
    (first,) = line.requests()
    line.receive(src.answer(first, 401, headers=[header]))
    assert line.requests() == []
    assert line.event(ResponseReceived).response.status == 401


def test_c28_a_challenged_bye_is_sent_again_and_then_ends_the_dialog() -> None:
    line, src = established()
    line.agent.bye(src.dialog_id, line.now)
    (first,) = line.requests()
    line.receive(src.answer(first, 407, headers=[f"Proxy-Authenticate: {challenge('n1')}"]))
    (again,) = line.requests()
    assert (again.method, again.cseq.number) == ("BYE", first.cseq.number + 1)
    assert line.events() == []
    line.receive(src.answer(again, 200))
    assert line.event(DialogEnded).cause == "bye-sent"


def test_c28_a_challenged_bye_without_credentials_ends_the_dialog() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.bye(src.dialog_id, line.now)
    (first,) = line.requests()
    line.receive(src.answer(first, 407, headers=[f"Proxy-Authenticate: {challenge('n1')}"]))
    assert line.requests() == []
    assert line.event(DialogEnded).cause == "bye-sent"


def test_c28_a_challenged_session_refresh_of_our_own_is_sent_again() -> None:
    line = Line(logins=known)
    src = Src(line)
    src.establish(
        headers=["Session-Expires: 90;refresher=uas", "Min-SE: 90", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"]
    )
    line.advance(46)
    refresh = line.requests()[0]
    assert refresh.method == "UPDATE"
    line.receive(src.answer(refresh, 401, headers=[f"WWW-Authenticate: {challenge('n1')}"]))
    (again,) = line.requests()
    assert again.session_expires == refresh.session_expires
    line.receive(src.answer(again, 200, headers=["Session-Expires: 90;refresher=uac"]))
    assert line.event(SessionRefreshed).refreshed_by_us


def test_c28_a_successor_acknowledges_the_2xx_to_the_repeated_reinvite() -> None:
    line, src, _, again, request_id = challenged_reinvite()
    snapshot = line.agent.snapshot(src.dialog_id)
    heir = Line(token="heir", logins=known)
    heir.agent.restore(snapshot, heir.now)
    heir.receive(src.answer(again, 200, body=OFFER))
    (ack,) = heir.requests()
    assert (ack.method, ack.cseq.number) == ("ACK", again.cseq.number)
    assert heir.event(ResponseReceived).request_id == request_id


def test_c28_nothing_of_a_challenged_request_is_left_when_all_is_over() -> None:
    line, src, _, again, _ = challenged_reinvite()
    line.receive(src.answer(again, 200, body=OFFER))
    line.advance(40)
    line.agent.bye(src.dialog_id, line.now)
    line.advance(40)
    core = line.agent._core
    for table in (core.client, core.client_by_id, core.client_by_flow, core.dialogs, core.queue):
        assert len(table) == 0
