"""The user agent towards its transport: flows that close, messages that cannot be sent, traces, keep-alives."""

from __future__ import annotations

import pytest

from signaling.errors import LostError, SipSyntaxError
from signaling.sip import Request, StreamFramer, parse_message
from signaling.transaction import NonInviteServerTransaction, server_key
from signaling.useragent import (
    AckReceived,
    ByeReceived,
    Destination,
    DialogDoubted,
    DialogEnded,
    Flow,
    Identity,
    InfoReceived,
    InviteReceived,
    MessageDiscarded,
    OptionsReceived,
    Outgoing,
    ReinviteReceived,
    RequestTimedOut,
    ResponseReceived,
    Timers,
    Traced,
    UserAgent,
)
from signaling.useragent.exchange import ServerExchange
from signaling.useragent.responses import Echo

from .peer import ANSWER, OFFER, SDP, SRS, TCP, UDP, Line, Src, request

EPHEMERAL = "<sip:src@192.0.2.30:40123;transport=tcp>"


def over_tcp(contact: str = EPHEMERAL) -> tuple[Line, Src]:
    line = Line(flow=TCP)
    src = Src(line, via="SIP/2.0/TCP 192.0.2.30:5060", contact=contact)
    src.establish()
    return line, src


def test_the_contract_is_there() -> None:
    for name in (
        "receive", "flow_closed", "handle_timer", "deadline", "outgoing", "events", "prepare", "send", "respond", "bye",
        "reinvite", "update", "options", "info", "snapshot", "restore", "dialogs",
    ):  # fmt: skip
        assert hasattr(UserAgent, name)


def test_a_minimal_agent_needs_an_identity_and_tokens() -> None:
    agent = UserAgent(Identity("192.0.2.40"), token=lambda: "x1")
    assert (agent.deadline, agent.outgoing(), agent.events(), agent.dialogs()) == (None, [], [], [])


def test_an_invite_is_told_with_its_very_bytes() -> None:
    """A successor takes the same bytes in: to its count of repetitions both are one request."""
    agent = UserAgent(Identity("192.0.2.40"), token=lambda: "x1")
    data = request("INVITE", branch="z9hG4bK1", cseq="1 INVITE", body=OFFER).replace(b"Call-ID: ", b"i :  ")
    agent.receive(data, UDP, 0.0)
    (first,) = agent.events()
    assert isinstance(first, InviteReceived)
    assert first.data == data
    agent.respond(first.request_id, 200, body=ANSWER, content_type=SDP, now=0.0)
    tag = agent.state(first.dialog_id).local_tag
    again = request("INVITE", branch="z9hG4bK2", cseq="2 INVITE", body=OFFER, to=f"<sip:srs@192.0.2.40>;tag={tag}")
    agent.receive(again, UDP, 0.0)
    second = agent.events()[-1]
    assert isinstance(second, ReinviteReceived)
    assert second.data == again


def test_random_numbers_are_made_of_tokens_if_nobody_gives_others() -> None:
    tokens = iter(f"token{number}" for number in range(100))
    agent = UserAgent(Identity("192.0.2.40"), token=lambda: next(tokens))
    waits = set()
    for number in range(1, 21):
        agent.receive(
            request("INVITE", branch=f"z9hG4bK{number}a", cseq="1 INVITE", call_id=f"c{number}", body=OFFER), UDP, 0.0
        )
        (event,) = agent.events()
        assert isinstance(event, InviteReceived)
        agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=0.0)
        tag = agent.state(event.dialog_id).local_tag
        for cseq in (2, 3):
            agent.receive(
                request(
                    "INVITE", branch=f"z9hG4bK{number}b{cseq}", cseq=f"{cseq} INVITE", call_id=f"c{number}", body=OFFER,
                    to=f"<sip:srs@192.0.2.40>;tag={tag}",
                ),
                UDP,
                0.0,
            )  # fmt: skip
        refusal = agent.outgoing()[-1].data
        waits.add(int(refusal.partition(b"Retry-After: ")[2].partition(b"\r\n")[0]))
        agent.events()
    assert waits <= set(range(11))
    assert len(waits) > 3


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\x00", b"\x00\x00\x00\x00", b" \r\n"])
def test_keep_alives_are_no_news(data: bytes) -> None:
    line = Line()
    line.receive(data)
    assert line.events() == []
    assert line.heard() == []


def test_a_closed_connection_ends_no_dialog() -> None:
    line, src = over_tcp()
    line.agent.flow_closed(TCP, line.now)
    assert line.events() == []
    assert line.agent.dialogs() == [src.dialog_id]


def test_after_the_connection_closed_requests_open_a_new_one() -> None:
    line, src = over_tcp()
    line.agent.flow_closed(TCP, line.now)
    line.agent.options(src.dialog_id, line.now)
    (outgoing,) = line.heard()
    assert outgoing.flow == Destination("tcp", "192.0.2.30", 40123, SRS)


def test_a_request_that_waits_on_a_closed_connection_tries_the_next_way() -> None:
    line, src = over_tcp()
    line.agent.options(src.dialog_id, line.now)
    (first,) = line.heard()
    assert first.flow == TCP
    line.agent.flow_closed(TCP, line.now)
    (second,) = line.heard()
    assert second.flow == Destination("tcp", "192.0.2.30", 40123, SRS)
    assert first.data != second.data  # another branch
    assert b"CSeq: 1 OPTIONS" in second.data
    line.agent.undeliverable(second, line.now)
    assert [type(event) for event in line.events()] == [RequestTimedOut, DialogDoubted]


def test_a_request_that_went_by_a_new_connection_ends_when_that_breaks() -> None:
    line = Line()
    src = Src(line, contact="<sip:src@192.0.2.30;transport=tcp>")
    src.establish()
    request_id = line.agent.options(src.dialog_id, line.now)
    (outgoing,) = line.heard()
    carrier = Flow("tcp", ("192.0.2.40", 33333), ("192.0.2.30", 5060), 9)
    line.agent.carried(outgoing, carrier)
    line.agent.flow_closed(carrier, line.now)
    assert line.events() == [
        RequestTimedOut(request_id, src.dialog_id, "transport"),
        DialogDoubted(src.dialog_id, request_id, "transport"),
    ]


def test_a_request_that_was_answered_does_not_mind_its_connection() -> None:
    line, src = over_tcp()
    line.agent.options(src.dialog_id, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 200))
    line.event(ResponseReceived)
    line.agent.flow_closed(TCP, line.now)
    assert line.events() == []
    line.agent.carried(Outgoing(b"", UDP, "unknown"), TCP)


def test_a_peer_that_has_begun_to_answer_is_not_asked_a_second_time() -> None:
    line, src = over_tcp()
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 100))
    line.agent.flow_closed(TCP, line.now)
    assert line.heard() == []
    line.advance(64.1)
    assert [type(event) for event in line.events()] == [RequestTimedOut, DialogDoubted]


def test_our_bye_that_cannot_be_delivered_ends_the_dialog() -> None:
    line, src = over_tcp()
    line.agent.bye(src.dialog_id, line.now)
    for _ in range(2):
        (outgoing,) = line.heard()
        line.agent.undeliverable(outgoing, line.now)
    assert [type(event) for event in line.events()] == [RequestTimedOut, DialogEnded]


def test_a_request_pending_when_its_dialog_ended_still_gets_its_end() -> None:
    line, src = over_tcp()
    request_id = line.agent.options(src.dialog_id, line.now)
    line.agent.forget(src.dialog_id)
    line.agent.flow_closed(TCP, line.now)
    assert line.events() == [RequestTimedOut(request_id, src.dialog_id, "transport")]


def test_an_answer_that_comes_after_its_dialog_ended_is_still_reported() -> None:
    line, src = over_tcp()
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    line.agent.forget(src.dialog_id)
    for _ in range(2):
        line.receive(src.answer(sent, 200, body=OFFER))
    assert [type(event) for event in line.events()] == [ResponseReceived]
    assert line.heard() == []


def test_an_ack_that_cannot_be_delivered_is_left_to_the_next_2xx() -> None:
    line, src = over_tcp()
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    answer = src.answer(sent, 200, body=OFFER)
    line.receive(answer)
    (ack,) = line.heard()
    line.event(ResponseReceived)
    line.agent.undeliverable(ack, line.now)
    assert line.events() == []
    line.receive(answer)
    assert len(line.heard()) == 1


def test_an_ack_of_a_failure_that_cannot_be_delivered_changes_nothing() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 488))
    line.event(ResponseReceived)
    (ack,) = line.heard()
    line.agent.undeliverable(ack, line.now)
    assert line.events() == []


def test_a_cancel_that_nobody_answers_is_no_news() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 100))
    line.advance(120)
    assert [type(event) for event in line.events()] == [RequestTimedOut, DialogDoubted]


def test_a_response_that_cannot_be_sent_on_its_connection_goes_to_a_new_one_once() -> None:
    """C8, RFC 3261 §18.4."""
    line = Line(flow=TCP)
    Src(line, via="SIP/2.0/TCP 192.0.2.30:7070").send("OPTIONS")
    line.agent.respond(line.event(OptionsReceived).request_id, 200, now=line.now)
    (first,) = line.heard()
    line.agent.undeliverable(first, line.now)
    assert line.heard() == []  # over TCP the transaction ends with its answer, and the peer repeats nothing


def test_a_provisional_response_follows_its_peer_to_a_new_connection() -> None:
    line = Line(flow=TCP)
    src = Src(line, via="SIP/2.0/TCP 192.0.2.30:7070")
    src.send("INVITE", body=OFFER)
    (trying,) = line.heard()
    line.agent.undeliverable(trying, line.now)
    (again,) = line.heard()
    assert (again.data, again.flow) == (trying.data, Destination("tcp", "192.0.2.30", 7070, SRS))
    line.agent.undeliverable(again, line.now)
    assert line.heard() == []
    event = line.event(InviteReceived)
    assert line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)


def test_a_lost_datagram_is_left_to_the_peers_repetition() -> None:
    line = Line()
    Src(line).send("INVITE", body=OFFER)
    (trying,) = line.heard()
    line.agent.undeliverable(trying, line.now)
    assert line.heard() == []


def test_a_message_of_nobody_can_be_undeliverable_too() -> None:
    line = Line()
    line.agent.undeliverable(Outgoing(b"", UDP, ""), line.now)
    assert line.events() == []


def test_what_makes_a_stream_unreadable_is_answered() -> None:
    line = Line(flow=TCP)
    framer = StreamFramer()
    framer.feed(
        request("OPTIONS", branch="z9hG4bK1", cseq="1 OPTIONS").replace(b"Content-Length: 0", b"Content-Length: x")
    )
    assert framer.error is not None
    line.agent.refuse(framer.error, TCP)
    (outgoing,) = line.heard()
    assert outgoing.flow == TCP
    assert outgoing.data.startswith(b"SIP/2.0 400")
    line.agent.refuse(SipSyntaxError(513, "", 0, "message is too large"), TCP)
    assert line.heard() == []


def test_the_answer_to_a_broken_list_of_vias_completes_only_the_first() -> None:
    line = Line()
    via = "SIP/2.0/UDP 192.0.2.30:5060;rport;branch=z9hG4bKa, SIP/2.0/TCP 192.0.2.20"
    broken = request("OPTIONS", via=via, branch="z9hG4bKb", cseq="1 OPTIONS").replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1)
    line.receive(broken)
    (outgoing,) = line.heard()
    assert (
        b"rport=5060;branch=z9hG4bKa;received=192.0.2.30, SIP/2.0/TCP 192.0.2.20;branch=z9hG4bKb\r\n" in outgoing.data
    )


def traces(line: Line) -> list[tuple[str, bytes, str | None]]:
    line.drain()
    found = [event for event in line.told if isinstance(event, Traced)]
    line.told.clear()
    return [(trace.direction, trace.data.partition(b" sip:")[0][:12], trace.dialog_id) for trace in found]


def test_a_trace_is_a_ladder_of_the_dialog() -> None:
    line = Line(trace=True)
    src = Src(line)
    src.send("INVITE", body=OFFER)
    (event,) = [told for told in line.told if isinstance(told, InviteReceived)]
    dialog_id = event.dialog_id
    assert traces(line) == [("in", b"INVITE", dialog_id), ("out", b"SIP/2.0 100 ", dialog_id)]
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    src.learn(line.responses()[-1])
    src.ack()
    src.send("INFO")
    line.agent.options(dialog_id, line.now)
    sent = line.requests()[-1]
    line.receive(src.answer(sent, 200))
    assert traces(line) == [
        ("out", b"SIP/2.0 200 ", dialog_id),
        ("in", b"ACK", dialog_id),
        ("in", b"INFO", dialog_id),
        ("out", b"OPTIONS", dialog_id),
        ("in", b"SIP/2.0 200 ", dialog_id),
    ]


def test_messages_that_belong_to_no_dialog_are_traced_without_one() -> None:
    line = Line(trace=True)
    line.receive(b"hello")
    Src(line).send("OPTIONS", to="<sip:srs@192.0.2.40>;tag=gone")
    assert traces(line) == [("in", b"hello", None), ("in", b"OPTIONS", None), ("out", b"SIP/2.0 481 ", None)]


def test_without_tracing_there_are_no_traces() -> None:
    line = Line()
    Src(line).establish()
    assert [event for event in line.told if isinstance(event, Traced)] == []


def test_a_repeated_request_on_another_connection_is_answered_there() -> None:
    line = Line(flow=TCP)
    src = Src(line, via="SIP/2.0/TCP 192.0.2.30:5060")
    again = src.send("INVITE", body=OFFER)
    line.heard()
    line.agent.flow_closed(TCP, line.now)
    other = Flow("tcp", SRS, ("192.0.2.30", 40999), 5)
    line.receive(again, other)
    (outgoing,) = line.heard()
    assert outgoing.flow == other


@pytest.mark.parametrize("method", ["INFO", "UPDATE", "PRACK"])
def test_a_request_that_needs_a_dialog_gets_481_outside_of_one(method: str) -> None:
    line = Line()
    Src(line).send(method)
    assert line.response().status == 481
    assert [type(event) for event in line.events()] == [MessageDiscarded]


def test_info_inside_a_dialog_in_both_directions() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    src.send("INFO", body="x", content_type="text/plain")
    line.agent.respond(line.event(InfoReceived).request_id, 200, now=line.now)
    line.heard()
    request_id = line.agent.info(src.dialog_id, b"y", "text/plain", line.now)
    (sent,) = line.requests()
    assert (sent.method, sent.body, "Contact" in sent.headers) == ("INFO", b"y", False)
    line.receive(src.answer(sent, 200))
    assert line.event(ResponseReceived).request_id == request_id


def test_an_options_that_nobody_answers_is_forgotten() -> None:
    line = Line()
    Src(line).send("OPTIONS")
    event = line.event(OptionsReceived)
    line.advance(33)
    with pytest.raises(LostError):
        line.agent.respond(event.request_id, 200, now=line.now)


def test_the_session_id_is_used_in_our_requests_too() -> None:
    line = Line()
    src = Src(line)
    src.establish(headers=[f"Session-ID: {'1' * 32};remote={'0' * 32}"])
    line.agent.options(src.dialog_id, line.now)
    (sent,) = line.requests()
    assert sent.headers.get("Session-ID") == f"{src.dialog_id};remote={'1' * 32}"


def test_the_ack_goes_by_the_connection_that_the_dialog_uses() -> None:
    line, src = over_tcp()
    line.agent.reinvite(src.dialog_id, ANSWER, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 200, body=OFFER))
    (outgoing,) = line.heard()
    assert outgoing.flow == TCP
    assert b"Via: SIP/2.0/TCP 192.0.2.40:5060;branch=" in outgoing.data


def test_a_malformed_supported_means_that_nothing_is_supported() -> None:
    line = Line()
    src = Src(line, supported='timer, "')
    src.establish(headers=["Session-Expires: 1800"])
    state = line.agent.state(src.dialog_id)
    assert state.session is not None
    assert state.session.refreshed_by_us


def test_a_malformed_require_is_no_reason_for_reliable_responses() -> None:
    line = Line()
    Src(line).send("INVITE", headers=['Require: 100rel, "'], body=OFFER)
    line.agent.respond(line.event(InviteReceived).request_id, 180, now=line.now)
    assert "RSeq" not in line.responses()[-1].headers


def test_an_invite_whose_dialog_was_forgotten_can_still_be_cancelled_and_answered() -> None:
    line = Line()
    src = Src(line)
    src.send("INVITE", body=OFFER, branch="z9hG4bKx")
    event = line.event(InviteReceived)
    line.agent.forget(event.dialog_id)
    src.send("CANCEL", cseq=1, branch="z9hG4bKx")
    assert line.statuses() == [100, 200, 487]


def test_an_ack_in_a_dialog_that_waits_for_none_is_no_event() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    src.ack()
    assert [event for event in line.events() if isinstance(event, AckReceived)] == []


def test_a_response_whose_second_via_is_malformed_is_discarded() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    line.agent.options(src.dialog_id, line.now)
    (sent,) = line.requests()
    line.receive(src.answer(sent, 200).replace(b"From:", b"Via: nonsense\r\nFrom:"))
    assert line.event(MessageDiscarded).detail == "Via"


def test_an_answered_request_cannot_be_asked_for_again() -> None:
    message = parse_message(request("OPTIONS", branch="z9hG4bK1", cseq="1 OPTIONS"))
    assert isinstance(message, Request)
    echo = Echo.of(message, UDP, "tag")
    machine = NonInviteServerTransaction(reliable=False, timers=Timers(), trying=b"", now=0.0)
    exchange = ServerExchange(
        "s1", echo, key=server_key(message), merge=None, machine=machine, flow=UDP, local_tag="tag"
    )
    assert exchange.asked() is echo
    exchange.echo = None
    assert exchange.answered
    with pytest.raises(LostError):
        exchange.asked()


def test_dialogs_of_one_peer_come_and_go_one_by_one() -> None:
    """A tagless BYE fits again once only one of two calls is left (E15)."""
    line = Line()
    src = Src(line)
    first = src.establish()
    src.to = "<sip:srs@192.0.2.40>"
    second = src.establish()
    line.agent.forget(first)
    src.send("BYE", to="<sip:srs@192.0.2.40>")
    assert line.event(ByeReceived).dialog_id == second


def test_an_ack_of_an_earlier_reinvite_leaves_the_later_one_waiting() -> None:
    line = Line()
    src = Src(line)
    src.establish()
    for _ in range(2):
        src.send("INVITE", body=OFFER)
        event = line.event(ReinviteReceived)
        line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    src.ack(cseq=src.cseq - 1)
    line.event(AckReceived)
    line.heard()
    line.advance(0.6)
    assert [str(response.cseq) for response in line.responses()] == [f"{src.cseq} INVITE"]
