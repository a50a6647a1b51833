"""The simulator's user agent client against literal messages of a recorder."""

import pytest

from recorder.simulator.call_events import (
    Answered,
    MediaChanged,
    Observed,
    Over,
    PauseAgreed,
    Phase,
    Purpose,
    Refused,
)
from recorder.simulator.scenario import Door
from recorder.simulator.session_text import StreamTarget
from signaling.sip import Request, parse_message
from tests.unit.recorder.simulator.scripted import Script, request_in, response_to, sdp

TARGETS = (StreamTarget("192.0.2.50", 40000, 40001, True), StreamTarget("192.0.2.50", 40002, 40003, True))


def methods(script: Script) -> list[str]:
    return [m.method if isinstance(m, Request) else str(m.status) for m in script.sent()]


# The first INVITE.


def test_an_msr_invite_has_all_call_data_in_its_request_uri() -> None:
    script = Script()
    script.caller.invite(script.now)
    invite = script.sent_request()
    plan = script.caller.plan
    assert invite.uri.user == f"record={plan.record_identifier}"
    assert (invite.uri.host, invite.uri.port) == ("192.0.2.40", 5060)
    assert [name for name, _ in invite.uri.params] == [
        "calluuid", "dn", "otherdn", "agentid", "ani", "connid", "datetime", "dnis", "gvp-tenant-id", "recorddn",
        "sipsappname", "media-id",
    ]  # fmt: skip
    assert invite.uri.params.get("gvp-tenant-id") == "[Environment].record"
    assert invite.uri.params.get("datetime") == "2030-01-15T09:30:00Z"
    assert invite.headers.get("To") == f"<sip:record={plan.record_identifier}@192.0.2.40>"
    assert invite.headers.get("Session-Expires") == "1800"
    assert invite.supported == ("timer", "uui")
    assert invite.require == ()
    assert str(invite.content_type) == "application/sdp"
    assert invite.body.count(b"m=audio ") == 2
    assert invite.body.count(b"a=sendonly\r\n") == 2
    assert b"a=label" not in invite.body


def test_behind_a_resource_manager_there_are_two_vias_a_record_route_and_its_headers() -> None:
    script = Script(resource_manager=True)
    script.caller.invite(script.now)
    invite = script.sent_request()
    assert [via.transport for via in invite.vias] == ["UDP", "TCP"]
    (route,) = invite.record_routes
    assert (route.uri.host, route.uri.port) == ("192.0.2.20", 7090)
    assert route.uri.params.get("confinstid") == script.caller.plan.record_identifier
    assert "lr" in route.uri.params
    assert invite.headers.get("X-Genesys-GVP-Session-ID")
    assert invite.max_forwards == 69


def test_the_resource_managers_own_route_is_not_sent_back_to_the_recorder() -> None:
    script = Script(resource_manager=True)
    script.caller.invite(script.now)
    invite = script.sent_request()
    script.receive(response_to(invite, 200, body=sdp()))
    ack = script.sent_request()
    assert ack.method == "ACK"
    assert ack.uri.text == "sip:srs@192.0.2.40:5060"
    assert ack.routes == ()
    assert ack.record_routes == ()
    assert len(ack.vias) == 2


def test_a_siprec_invite_is_marked_and_carries_both_parts() -> None:
    script = Script(door=Door.SIPREC)
    script.caller.invite(script.now)
    invite = script.sent_request()
    assert invite.require == ("siprec",)
    assert invite.contact is not None
    assert invite.contact.feature("+sip.src") == ""
    assert str(invite.content_type).startswith("multipart/mixed;boundary=")
    assert b"a=label:1\r\n" in invite.body
    assert b"a=label:2\r\n" in invite.body
    assert f'session_id="{script.caller.plan.record_identifier}"'.encode() in invite.body
    assert b"Content-Disposition: recording-session\r\n" in invite.body


# Being answered.


def test_a_2xx_is_acknowledged_and_names_the_targets() -> None:
    script = Script()
    script.caller.invite(script.now)
    invite = script.sent_request()
    script.receive(response_to(invite, 100))
    script.receive(response_to(invite, 200, body=sdp()))
    ack = script.sent_request()
    assert (ack.method, ack.cseq.number, ack.uri.text) == ("ACK", 1, "sip:srs@192.0.2.40:5060")
    assert ack.to.tag == "srs-1"
    assert ack.via.branch != invite.via.branch
    assert script.events() == [Answered(TARGETS)]
    assert script.caller.phase is Phase.ESTABLISHED


def test_every_repetition_of_the_2xx_gets_the_same_ack() -> None:
    script = Script()
    script.caller.invite(script.now)
    invite = script.sent_request()
    answer = response_to(invite, 200, body=sdp())
    script.receive(answer)
    first = script.caller.outgoing()
    script.receive(answer)
    assert script.caller.outgoing() == first
    script.pass_time(40)  # the INVITE transaction is gone
    script.receive(answer)
    assert script.caller.outgoing() == first
    assert script.events() == [Answered(TARGETS)]


def test_the_invite_is_repeated_over_udp_until_timer_b_and_the_call_then_fails() -> None:
    script = Script()
    script.caller.invite(script.now)
    script.pass_time(32.0)
    assert methods(script) == ["INVITE"] * 7
    assert script.events() == [Refused(Purpose.OPEN, 408, "no answer"), Over("refused")]


def test_over_tcp_nothing_is_repeated() -> None:
    script = Script(transport="tcp")
    script.caller.invite(script.now)
    script.pass_time(31.0)
    assert methods(script) == ["INVITE"]


def test_an_invite_that_is_never_answered_finally_is_cancelled() -> None:
    script = Script()
    script.caller.invite(script.now)
    invite = script.sent_request()
    script.receive(response_to(invite, 100))
    script.pass_time(32.0)
    cancel = script.sent()[0]
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.via.branch, cancel.cseq.number) == ("CANCEL", invite.via.branch, 1)
    assert script.events() == [Refused(Purpose.OPEN, 408, "no final response"), Over("refused")]


def test_a_2xx_after_the_call_was_given_up_is_acknowledged_and_ended() -> None:
    script = Script()
    script.caller.invite(script.now)
    invite = script.sent_request()
    script.receive(response_to(invite, 100))
    script.pass_time(32.0)
    script.sent()
    script.receive(response_to(invite, 200, body=sdp()))
    assert methods(script) == ["ACK", "BYE"]
    assert Over("refused") in script.events()


def test_a_refusal_is_acknowledged_by_the_transaction_and_told_with_its_reason() -> None:
    script = Script()
    script.caller.invite(script.now)
    invite = script.sent_request()
    script.receive(
        response_to(invite, 503, reason="Service Unavailable", headers='Warning: 399 srs "disk full"\r\nRetry-After: 5')
    )
    ack = script.sent_request()
    assert (ack.method, ack.via.branch) == ("ACK", invite.via.branch)
    assert script.events() == [
        Refused(Purpose.OPEN, 503, 'Service Unavailable (399 srs "disk full")'),
        Over("refused"),
    ]


def test_a_2xx_without_session_description_is_ended() -> None:
    script = Script()
    script.caller.invite(script.now)
    script.receive(response_to(script.sent_request(), 200))
    assert methods(script) == ["ACK", "BYE"]
    assert Refused(Purpose.OPEN, 200, "no session description in the 2xx") in script.events()


def test_a_lost_connection_fails_the_call_that_was_being_set_up() -> None:
    script = Script(transport="tcp")
    script.caller.invite(script.now)
    script.caller.transport_failed(("192.0.2.40", 5060), script.now)
    assert script.events() == [Refused(Purpose.OPEN, 503, "connection lost"), Over("refused")]


# The end.


def test_bye_ends_the_call_and_is_repeated_until_it_is_answered() -> None:
    script = Script()
    script.established()
    script.caller.hang_up(script.now)
    script.pass_time(2.0)
    sent = script.sent()
    assert [m.method for m in sent if isinstance(m, Request)] == ["BYE"] * 3
    bye = sent[0]
    assert isinstance(bye, Request)
    assert bye.cseq.number == 2
    script.receive(response_to(bye, 200))
    assert script.events() == [Over("bye")]
    script.pass_time(60)
    assert script.sent() == []


def test_hanging_up_before_the_answer_cancels() -> None:
    script = Script()
    script.caller.invite(script.now)
    invite = script.sent_request()
    script.receive(response_to(invite, 100))
    script.caller.hang_up(script.now)
    cancel = script.sent_request()
    assert cancel.method == "CANCEL"
    script.receive(response_to(cancel, 200))
    script.receive(response_to(invite, 487, reason="Request Terminated"))
    assert methods(script) == ["ACK"]
    assert script.events() == [Refused(Purpose.OPEN, 487, "Request Terminated"), Over("refused")]


def test_a_2xx_that_crosses_the_cancel_is_acknowledged_and_ended() -> None:
    script = Script()
    script.caller.invite(script.now)
    invite = script.sent_request()
    script.caller.hang_up(script.now)
    script.sent()
    script.receive(response_to(invite, 200, body=sdp()))
    assert methods(script) == ["ACK", "BYE"]


def test_an_unanswered_bye_ends_the_call_all_the_same() -> None:
    script = Script()
    script.established()
    script.caller.hang_up(script.now)
    script.pass_time(33)
    assert script.events() == [Refused(Purpose.HANG_UP, 408, "no answer"), Over("bye")]


def test_a_bye_whose_connection_broke_is_tried_again() -> None:
    script = Script(transport="tcp")
    script.established()
    script.caller.hang_up(script.now)
    first = script.sent_request()
    script.caller.transport_failed(("192.0.2.40", 5060), script.now)
    script.pass_time(0.5)
    again = script.sent_request()
    assert (again.method, again.cseq.number) == ("BYE", first.cseq.number + 1)
    script.receive(response_to(again, 200))
    assert script.events() == [Over("bye")]


# Session timer.


@pytest.mark.parametrize(
    ("allow", "method"), [("Allow: INVITE, ACK, BYE, UPDATE\r\n", "UPDATE"), ("Allow: INVITE, ACK\r\n", "INVITE")]
)
def test_the_refresher_refreshes_at_half_of_the_interval(allow: str, method: str) -> None:
    script = Script()
    script.established(headers=f"{allow}Require: timer\r\nSession-Expires: 200;refresher=uac")
    script.pass_time(99.9)
    assert script.sent() == []
    script.pass_time(0.2)
    refresh = script.sent_request()
    assert refresh.method == method
    assert refresh.headers.get("Session-Expires") == "1800;refresher=uac"
    if method == "INVITE":
        # RFC 4028 section 7.4: an unchanged description keeps its version.
        assert b"o=- " in refresh.body
        assert b" 1 IN IP4 192.0.2.20" in refresh.body
    script.receive(response_to(refresh, 200, headers="Session-Expires: 200;refresher=uac", body=""))
    assert Observed("refreshed", method) in script.events()
    script.pass_time(100.1)
    assert [m.method for m in script.sent() if isinstance(m, Request)][-1] == method


def test_without_being_refresher_nothing_is_refreshed() -> None:
    script = Script()
    script.established(headers="Session-Expires: 200;refresher=uas")
    script.pass_time(300)
    assert script.sent() == []


def test_a_refresh_that_finds_no_dialog_ends_the_call() -> None:
    script = Script()
    script.established(headers="Allow: UPDATE\r\nSession-Expires: 200;refresher=uac")
    script.pass_time(100.1)
    script.receive(response_to(script.sent_request(), 481))
    assert script.events()[-1] == Over("lost")


# Pause.


def test_a_pause_is_an_inactive_offer_with_a_higher_version_and_resuming_another() -> None:
    script = Script()
    script.established()
    script.caller.set_paused(True, script.now)
    pausing = script.sent_request()
    assert pausing.method == "INVITE"
    assert pausing.to.tag == "srs-1"
    assert pausing.body.count(b"a=inactive\r\n") == 2
    assert b" 2 IN IP4" in pausing.body
    script.receive(response_to(pausing, 200, body=sdp(direction="inactive", version=2)))
    assert methods(script) == ["ACK"]
    muted = tuple(StreamTarget(t.host, t.port, t.rtcp_port, False) for t in TARGETS)
    assert script.events() == [MediaChanged(muted, "INVITE"), PauseAgreed(paused=True)]
    script.caller.set_paused(False, script.now)
    resuming = script.sent_request()
    assert resuming.body.count(b"a=sendonly\r\n") == 2
    assert b" 3 IN IP4" in resuming.body
    script.receive(response_to(resuming, 200, body=sdp(version=3)))
    assert script.events() == [MediaChanged(TARGETS, "INVITE"), PauseAgreed(paused=False)]


def test_after_glare_the_pause_is_tried_again_between_two_and_four_seconds_later() -> None:
    script = Script()
    script.established()
    script.caller.set_paused(True, script.now)
    first = script.sent_request()
    script.receive(response_to(first, 491))
    script.sent()
    script.pass_time(2.0)
    assert script.sent() == []
    script.pass_time(2.1)
    again = [m for m in script.sent() if isinstance(m, Request) and m.method == "INVITE"]
    assert again[0].cseq.number == first.cseq.number + 1
    assert again[0].body == first.body


def test_a_refused_pause_is_told() -> None:
    script = Script()
    script.established()
    script.caller.set_paused(True, script.now)
    script.receive(response_to(script.sent_request(), 488, reason="Not Acceptable Here"))
    assert script.events() == [Refused(Purpose.PAUSE, 488, "Not Acceptable Here")]
    assert script.caller.phase is Phase.ESTABLISHED


# Proxies.


def test_the_route_set_of_a_proxy_is_kept_and_is_where_requests_go() -> None:
    script = Script()
    script.caller.invite(script.now)
    invite = script.sent_request()
    routes = "Record-Route: <sip:p2@192.0.2.62;lr>\r\nRecord-Route: <sip:p1@192.0.2.61:5070;lr>"
    script.receive(response_to(invite, 200, headers=routes, body=sdp()))
    ((data, to),) = script.caller.outgoing()
    ack = parse_message(data)
    assert [str(route) for route in ack.routes] == ["<sip:p1@192.0.2.61:5070;lr>", "<sip:p2@192.0.2.62;lr>"]
    assert to == ("192.0.2.61", 5070)


# Requests of the recorder; details are tested with the responder.


def test_a_reinvite_of_the_recorder_moves_the_media_at_once() -> None:
    script = Script()
    invite = script.established()
    script.receive(request_in(invite, "INVITE", 1001, body=sdp(host="192.0.2.51", port=41000, version=2)))
    answer = script.sent_response()
    assert answer.status == 200
    assert answer.body.count(b"a=sendonly\r\n") == 2
    moved = (StreamTarget("192.0.2.51", 41000, 41001, True), StreamTarget("192.0.2.51", 41002, 41003, True))
    assert script.events() == [Observed("requested", "INVITE answered 200"), MediaChanged(moved, "INVITE")]
    assert script.caller.targets == moved


def test_a_bye_of_the_recorder_ends_the_call() -> None:
    script = Script()
    invite = script.established()
    script.receive(request_in(invite, "BYE", 5))
    assert script.sent_response().status == 200
    assert script.events() == [Observed("requested", "BYE answered 200"), Over("recorder")]


def test_a_reinvite_while_ours_is_under_way_is_glare() -> None:
    script = Script()
    invite = script.established()
    script.caller.set_paused(True, script.now)
    script.sent()
    script.receive(request_in(invite, "INVITE", 7, body=sdp()))
    assert script.sent_response().status == 491


def test_while_paused_the_answer_to_the_recorder_stays_inactive() -> None:
    script = Script()
    invite = script.established()
    script.caller.set_paused(True, script.now)
    script.receive(response_to(script.sent_request(), 200, body=sdp(direction="inactive")))
    script.sent()
    script.receive(request_in(invite, "INVITE", 7, body=sdp(host="192.0.2.51")))
    assert script.sent_response().body.count(b"a=inactive\r\n") == 2


def test_a_session_interval_asked_for_by_the_recorder_is_obeyed() -> None:
    script = Script()
    invite = script.established(headers="Allow: UPDATE")
    script.receive(request_in(invite, "UPDATE", 7, headers="Session-Expires: 120;refresher=uas"))
    answer = script.sent_response()
    assert answer.headers.get("Session-Expires") == "120;refresher=uas"
    script.pass_time(60.1)
    assert script.sent_request().method == "UPDATE"
