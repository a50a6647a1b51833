"""Requests of the recorder inside the dialog, message by message."""

from recorder.simulator.call_events import MediaChanged, Observed
from signaling.sip import Request, Response, parse_message
from tests.unit.recorder.simulator.scripted import RECORDER, Script, request_in, sdp


def established() -> tuple[Script, Request]:
    script = Script()
    return script, script.established()


def statuses(script: Script) -> list[int]:
    return [message.status for message in script.sent() if isinstance(message, Response)]


def test_options_and_info_are_answered_200_with_what_we_allow() -> None:
    script, invite = established()
    script.receive(request_in(invite, "OPTIONS", 1))
    options = script.sent_response()
    assert (options.status, "UPDATE" in options.allow) == (200, True)
    script.receive(request_in(invite, "INFO", 2))
    assert script.sent_response().status == 200


def test_what_we_do_not_know_is_405() -> None:
    script, invite = established()
    script.receive(request_in(invite, "NOTIFY", 1))
    answer = script.sent_response()
    assert answer.status == 405
    assert "INVITE" in answer.allow


def test_wrong_tags_are_481() -> None:
    script, invite = established()
    script.receive(request_in(invite, "OPTIONS", 1, tag="other"))
    assert script.sent_response().status == 481


def test_a_lower_cseq_is_500() -> None:
    script, invite = established()
    script.receive(request_in(invite, "OPTIONS", 10))
    script.receive(request_in(invite, "OPTIONS", 9))
    assert statuses(script) == [200, 500]


def test_a_retransmission_gets_the_same_answer_and_happens_once() -> None:
    script, invite = established()
    update = request_in(invite, "UPDATE", 3, body=sdp(port=42000))
    script.receive(update)
    first = script.caller.outgoing()
    script.receive(update)
    assert script.caller.outgoing() == first
    assert len([e for e in script.events() if isinstance(e, MediaChanged)]) == 1


def test_the_2xx_to_a_reinvite_is_repeated_until_its_ack() -> None:
    script, invite = established()
    script.receive(request_in(invite, "INVITE", 3, body=sdp(port=42000)))
    first = script.caller.outgoing()
    script.pass_time(1.6)
    assert script.caller.outgoing() == first * 2
    script.receive(request_in(invite, "ACK", 3, branch="ack3"))
    script.pass_time(60)
    assert script.caller.outgoing() == []


def test_a_2xx_that_is_never_acknowledged_is_given_up_and_noted() -> None:
    script, invite = established()
    script.receive(request_in(invite, "INVITE", 3, body=sdp()))
    script.events()
    script.pass_time(40)
    assert Observed("requested", "ACK answered 408") in script.events()
    script.sent()
    script.pass_time(40)
    assert script.sent() == []


def test_a_second_reinvite_before_the_ack_is_refused() -> None:
    script, invite = established()
    script.receive(request_in(invite, "INVITE", 3, body=sdp(port=42000)))
    script.sent()
    script.receive(request_in(invite, "INVITE", 4, body=sdp(port=43000)))
    answer = script.sent_response()
    assert (answer.status, answer.retry_after) == (500, 2)


def test_the_answer_has_every_m_line_of_the_offer_in_order() -> None:
    script, invite = established()
    offer = (
        sdp(version=2).replace("m=audio 40002", "m=audio 0")
        + "m=video 40004 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\na=recvonly\r\n"
    )
    script.receive(request_in(invite, "INVITE", 3, body=offer))
    lines = [line for line in script.sent_response().body.split(b"\r\n") if line.startswith(b"m=")]
    assert lines == [b"m=audio 30000 RTP/AVP 0 101", b"m=audio 0 RTP/AVP 0 101", b"m=video 0 RTP/AVP 99"]


def test_the_version_rises_only_when_the_description_changes() -> None:
    script, invite = established()
    script.receive(request_in(invite, "UPDATE", 3, body=sdp(port=42000)))
    same = script.sent_response().body
    assert b" 1 IN IP4 192.0.2.20" in same
    script.receive(request_in(invite, "UPDATE", 4, body=sdp(direction="inactive")))
    assert b" 2 IN IP4 192.0.2.20" in script.sent_response().body


def test_an_invite_without_offer_gets_ours_and_its_ack_brings_the_answer() -> None:
    script, invite = established()
    script.receive(request_in(invite, "INVITE", 3))
    answer = script.sent_response()
    assert answer.body.count(b"a=sendonly\r\n") == 2
    script.events()
    script.receive(request_in(invite, "ACK", 3, body=sdp(port=44000), branch="ack3"))
    changed = [event for event in script.events() if isinstance(event, MediaChanged)]
    assert [target.port for target in changed[0].targets] == [44000, 44002]


def test_an_update_without_body_only_refreshes() -> None:
    script, invite = established()
    script.receive(request_in(invite, "UPDATE", 3))
    answer = script.sent_response()
    assert (answer.status, answer.body, answer.content_type) == (200, b"", None)


def test_an_unreadable_offer_is_488_and_changes_nothing() -> None:
    script, invite = established()
    before = script.caller.targets
    script.receive(request_in(invite, "INVITE", 3, body="this is no session description"))
    assert script.sent_response().status == 488
    assert script.caller.targets == before


def test_a_response_goes_where_the_request_came_from() -> None:
    script, invite = established()
    message = parse_message(request_in(invite, "OPTIONS", 3).encode())
    script.caller.receive(message, ("192.0.2.41", 6000), script.now)
    ((_, to),) = script.caller.outgoing()
    assert to == ("192.0.2.41", 6000)
    assert to != RECORDER


def test_a_new_contact_of_the_recorder_is_where_requests_go_from_then_on() -> None:
    script, invite = established()
    moved = request_in(invite, "UPDATE", 3).replace("<sip:srs@192.0.2.40:5060>", "<sip:srs@192.0.2.44:5070>")
    script.receive(moved)
    script.sent()
    script.caller.hang_up(script.now)
    ((data, to),) = script.caller.outgoing()
    assert data.startswith(b"BYE sip:srs@192.0.2.44:5070 SIP/2.0")
    assert to == ("192.0.2.44", 5070)
