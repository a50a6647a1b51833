"""The gate in front of the user agent: order of the checks, answers of its own, what it leaves alone."""

from __future__ import annotations

import pytest

from recorder.edge import gate as gate_module
from recorder.edge.authentication import Authenticator
from recorder.edge.gate import AccessRules, Fate, Gate, GuardedAgent, Reason
from recorder.edge.networks import EVERYWHERE, network
from recorder.edge.users import lines_of, parse_users
from signaling.dialog.state import dialog_identifier
from signaling.sip import Response, parse_message
from signaling.sip.digest import Challenge, answer
from signaling.useragent import Flow, Identity, InviteReceived, OptionsReceived, Outgoing

LOCAL = ("192.0.2.40", 5060)
SOURCE = "192.0.2.30"
ANYWHERE = tuple(network(text) for text in EVERYWHERE)


def flow(source: str = SOURCE, transport: str = "udp") -> Flow:
    return Flow(transport, LOCAL, (source, 40000), 0 if transport == "udp" else 1)  # type: ignore[arg-type]


def rules(**changes: object) -> AccessRules:
    given: dict[str, object] = {
        "allow": ANYWHERE, "allow_tls": ANYWHERE, "requests_per_s": 10.0, "burst": 5, "total_requests_per_s": 1000.0,
    }  # fmt: skip
    return AccessRules(**{**given, **changes})  # type: ignore[arg-type]


def message(method: str = "INVITE", *, tag: str = "", number: int = 1, extra: str = "", via: str = ";rport") -> bytes:
    return (
        f"{method} sip:srs@192.0.2.40 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.30:5062;branch=z9hG4bK{number}{via}\r\n"
        f"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>{f';tag={tag}' if tag else ''}\r\nCall-ID: x@y\r\n"
        f"CSeq: {number} {method}\r\nContact: <sip:a@192.0.2.30>\r\nMax-Forwards: 70\r\n{extra}"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def response(fate: Fate | Outgoing) -> Response:
    assert isinstance(fate, Outgoing)
    parsed = parse_message(fate.data)
    assert isinstance(parsed, Response)
    return parsed


# Networks


def test_a_source_outside_the_list_is_dropped_without_an_answer() -> None:
    gate = Gate(rules(allow=(network("192.0.2.0/24"),)))
    assert gate.judge(message(), flow("198.51.100.1"), 0.0) is Fate.DROP
    assert gate.judge(message(), flow(), 0.0) is Fate.PASS
    assert gate.report() == [("198.51.100.1", Reason.NETWORK, 1)]


def test_tls_has_a_list_of_its_own() -> None:
    gate = Gate(rules(allow=(network("192.0.2.0/24"),), allow_tls=(network("198.51.100.0/24"),)))
    assert gate.judge(message(), flow("198.51.100.1", "tls"), 0.0) is Fate.PASS
    assert gate.judge(message(), flow(transport="tls"), 0.0) is Fate.DROP
    assert gate.judge(message(), flow(transport="tcp"), 0.0) is Fate.PASS


# Rates


def test_beyond_its_rate_a_source_gets_503_and_then_nothing() -> None:
    gate = Gate(rules())
    fates = [gate.judge(message("OPTIONS", number=number), flow(), 0.0) for number in range(15)]
    assert fates[:5] == [Fate.PASS] * 5
    refused = response(fates[5])
    assert (refused.status, refused.headers.get("Retry-After")) == (503, "1")
    assert all(isinstance(fate, Outgoing) for fate in fates[5:10])
    assert fates[10:] == [Fate.DROP] * 5
    assert gate.refused == 10


def test_others_are_served_meanwhile() -> None:
    gate = Gate(rules())
    for number in range(100):
        gate.judge(message(number=number), flow(), 0.0)
    assert gate.judge(message(), flow("192.0.2.31"), 0.0) is Fate.PASS


def test_the_total_rate_bounds_a_flood_from_many_sources() -> None:
    gate = Gate(rules(total_requests_per_s=10.0, burst=5))
    passed = sum(gate.judge(message(), flow(f"10.0.{n // 250}.{n % 250}"), 0.0) is Fate.PASS for n in range(1000))
    assert passed == 10


def test_what_is_no_sip_counts_and_is_never_answered() -> None:
    gate = Gate(rules())
    fates = [gate.judge(b"nonsense", flow(), 0.0) for _ in range(20)]
    assert set(fates) == {Fate.PASS, Fate.DROP}
    assert fates.count(Fate.PASS) == 5


def test_an_ack_beyond_the_rate_is_never_answered() -> None:
    gate = Gate(rules())
    fates = [gate.judge(message("ACK", tag="x"), flow(), 0.0) for _ in range(10)]
    assert fates == [Fate.PASS] * 5 + [Fate.DROP] * 5


def test_keep_alives_are_nobodys_requests() -> None:
    gate = Gate(rules())
    assert {gate.judge(b"\r\n\r\n", flow(), 0.0) for _ in range(100)} == {Fate.PASS}


def test_a_known_dialog_is_exempt() -> None:
    gate = Gate(rules())
    gate.is_live = {dialog_identifier("x@y", "ours")}.__contains__
    for number in range(100):
        gate.judge(message("OPTIONS", number=number), flow(), 0.0)
    assert gate.judge(message("BYE", tag="ours"), flow(), 0.0) is Fate.PASS
    assert gate.judge(message("INVITE", tag="ours"), flow(), 0.0) is Fate.PASS
    assert gate.judge(message("BYE", tag="other"), flow(), 0.0) is Fate.DROP


def test_an_answer_to_our_own_request_passes() -> None:
    gate = Gate(rules())
    gate.is_live = {dialog_identifier("x@y", "1")}.__contains__
    for number in range(100):
        gate.judge(message("OPTIONS", number=number), flow(), 0.0)
    answered = message("BYE", tag="theirs").replace(b"BYE sip:srs@192.0.2.40 SIP/2.0", b"SIP/2.0 200 OK")
    assert gate.judge(answered, flow(), 0.0) is Fate.PASS


def test_a_bye_may_be_repeated_after_the_end_of_its_dialog() -> None:
    gate = Gate(rules())
    gate.is_live = {dialog_identifier("x@y", "ours")}.__contains__
    assert gate.judge(message("BYE", tag="ours"), flow(), 0.0) is Fate.PASS
    gate.is_live = lambda _: False
    for now, fate in ((31.0, Fate.PASS), (33.0, Fate.DROP)):
        for number in range(100):
            gate.judge(message("OPTIONS", number=number), flow(), now)
        assert gate.judge(message("BYE", tag="ours"), flow(), now) is fate


def test_what_is_remembered_of_ended_dialogs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "MAX_REMEMBERED", 3)
    gate = Gate(rules())
    gate.is_live = lambda _: True
    for number in range(10):
        gate.judge(message("BYE", tag=str(number)), flow(), 0.0)
    gate.is_live = lambda _: False
    for number in range(100):
        gate.judge(message("OPTIONS", number=number), flow(), 0.0)
    fates = [gate.judge(message("BYE", tag=str(number)), flow(), 0.0) for number in range(10)]
    assert fates == [Fate.DROP] * 7 + [Fate.PASS] * 3


# Answers of the gate


def over_the_limit(data: bytes, via: Flow) -> Fate | Outgoing:
    gate = Gate(rules(burst=2))
    for _ in range(2):
        gate.judge(data, via, 0.0)
    return gate.judge(data, via, 0.0)


def test_an_answer_leads_back_by_rport_and_carries_the_transaction() -> None:
    fate = over_the_limit(message("OPTIONS"), flow())
    answered = response(fate)
    assert isinstance(fate, Outgoing)
    assert fate.flow == Flow("udp", LOCAL, (SOURCE, 40000))
    assert (answered.call_id, str(answered.cseq), answered.via.branch) == ("x@y", "1 OPTIONS", "z9hG4bK1")
    assert (answered.via.params.get("received"), answered.via.params.get("rport")) == (SOURCE, "40000")
    assert answered.to.tag


def test_without_rport_it_goes_to_the_port_of_the_via_and_never_to_its_maddr() -> None:
    fate = over_the_limit(message("OPTIONS", via=";maddr=203.0.113.9"), flow())
    assert isinstance(fate, Outgoing)
    assert fate.flow == Flow("udp", LOCAL, (SOURCE, 5062))


def test_by_tcp_it_goes_back_on_the_connection() -> None:
    fate = over_the_limit(message("OPTIONS"), flow(transport="tcp"))
    assert isinstance(fate, Outgoing)
    assert fate.flow == flow(transport="tcp")


def test_a_repeated_request_gets_the_same_to_tag_and_the_ack_of_a_refusal_goes_no_further() -> None:
    gate = Gate(rules(burst=3))
    fates = [gate.judge(message(), flow(), 0.0) for _ in range(5)]
    tags = {response(fate).to.tag for fate in fates[3:]}
    assert len(tags) == 1
    assert gate.judge(message("ACK", tag=str(tags.pop())), flow(), 0.0) is Fate.DROP
    refused = gate.refused
    assert gate.judge(message("ACK", tag=str(response(fates[3]).to.tag)), flow(), 100.0) is Fate.DROP
    assert gate.refused == refused


def test_a_request_that_does_not_parse_gets_no_answer_beyond_the_rate() -> None:
    assert over_the_limit(b"OPTIONS sip:x SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n", flow()) is Fate.DROP


# Credentials


@pytest.fixture
def guarded() -> Gate:
    users = parse_users("\n".join(lines_of("sbc", realm="tandem", password="secret")), realm="tandem")
    return Gate(rules(methods=frozenset({"INVITE"})), Authenticator(users, realm="tandem", key=bytes(32)))


def test_a_new_invite_is_asked_for_credentials_and_passes_with_them(guarded: Gate) -> None:
    refused = response(guarded.judge(message(), flow(), 0.0))
    assert refused.status == 401
    challenge = Challenge.parse(refused.headers.get_all("WWW-Authenticate")[0])
    assert challenge is not None
    credentials = answer(
        challenge, username="sbc", password="secret", method="INVITE", uri="sip:srs@192.0.2.40", cnonce="c"
    )
    signed = message(number=2, extra=f"Authorization: {credentials}\r\n")
    assert guarded.judge(signed, flow(), 1.0) is Fate.PASS
    assert guarded.report() == [(SOURCE, Reason.CREDENTIALS, 1)]


@pytest.mark.parametrize("method", ["OPTIONS", "CANCEL", "ACK"])
def test_other_methods_are_not_asked(guarded: Gate, method: str) -> None:
    assert guarded.judge(message(method), flow(), 0.0) is Fate.PASS


def test_a_request_inside_a_dialog_is_not_asked(guarded: Gate) -> None:
    assert guarded.judge(message(tag="anything"), flow(), 0.0) is Fate.PASS


def test_an_invite_that_does_not_parse_is_left_to_the_user_agent(guarded: Gate) -> None:
    assert guarded.judge(b"INVITE sip:x SIP/2.0\r\n\r\n", flow(), 0.0) is Fate.PASS


# Reports


def test_the_tally_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "MAX_TALLIED", 2)
    gate = Gate(rules(allow=(network("192.0.2.0/24"),)))
    for number in range(10):
        gate.judge(message(), flow(f"198.51.100.{number}"), 0.0)
    assert dict(((source, count) for source, _, count in gate.report())) == {
        "198.51.100.0": 1, "198.51.100.1": 1, "others": 8,
    }  # fmt: skip
    assert gate.report() == []


# Together with the user agent


def test_the_user_agent_sees_what_passes_and_the_gates_answers_leave_with_its_own() -> None:
    agent = GuardedAgent(Identity("192.0.2.40"), Gate(rules(burst=2)), token=iter(map(str, range(100))).__next__)
    for number in range(4):
        agent.receive(message("OPTIONS", number=number), flow(), 0.0)
    events = agent.events()
    assert [type(event) for event in events] == [OptionsReceived] * 2
    statuses = [response(sent).status for sent in agent.outgoing()]
    assert statuses == [503, 503]
    agent.receive(message(number=9), flow("192.0.2.31"), 0.0)
    assert [type(event) for event in agent.events()] == [InviteReceived]
    assert [response(sent).status for sent in agent.outgoing()] == [100]
    assert agent.outgoing() == []


def test_a_repeated_request_that_was_let_in_uses_no_rate_up() -> None:
    agent = GuardedAgent(Identity("192.0.2.40"), Gate(rules(burst=1)), token=iter(map(str, range(100))).__next__)
    invite = message(number=1)
    for _ in range(6):
        agent.receive(invite, flow(), 0.0)
    assert [response(sent).status for sent in agent.outgoing()] == [100] * 6
    agent.receive(message(number=2), flow(), 0.0)
    assert [response(sent).status for sent in agent.outgoing()] == [503]
