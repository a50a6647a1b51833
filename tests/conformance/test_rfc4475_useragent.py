"""RFC 4475 and RFC 5118 above the parser: what the user agent does with each torture message (checklist C27).

The expected outcome is the RFC's own for an element that is the addressed user agent server and no registrar, no proxy.
Where the RFC lets an element choose between refusing and being liberal, the recorder is liberal, because a call refused
is a call not recorded. `test_rfc4475.py` and `test_rfc5118.py` hold the same messages against the parser.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from recorder.doors.entrance import Refused, read_invite
from signaling.sdp import parse_sdp
from signaling.sip import Request, Response
from signaling.useragent import (
    ByeReceived,
    Flow,
    InviteReceived,
    MessageDiscarded,
    OptionsReceived,
    ResponseReceived,
)
from tests.unit.signaling.useragent.peer import ANSWER, SDP, SRS, TCP, UDP, Line, Src, parsed

CORPUS: Final = Path(__file__).parent.parent / "corpus" / "sip"

ANSWERED_BY_ITSELF: Final[dict[str, int]] = {
    # 3.1.1: valid, of methods that a recorder does not serve
    "rfc4475/intmeth": 501,
    "rfc4475/esc02": 501,
    "rfc4475/escnull": 405,
    "rfc4475/dblreq": 405,
    "rfc4475/mpart01": 405,
    "rfc4475/wsinv": 481,
    # 3.1.2: invalid
    "rfc4475/clerr": 400,
    "rfc4475/ncl": 400,
    "rfc4475/scalar02": 400,
    "rfc4475/quotbal": 400,
    "rfc4475/lwsruri": 400,
    "rfc4475/badvers": 505,
    "rfc4475/mismatch01": 400,
    "rfc4475/mismatch02": 400,
    "rfc4475/regbadct": 405,
    # 3.3: for the application
    "rfc4475/insuf": 400,
    "rfc4475/unkscm": 416,
    "rfc4475/novelsc": 416,
    "rfc4475/unksm2": 405,
    "rfc4475/bext01": 420,
    "rfc4475/regaut01": 405,
    "rfc4475/multi01": 400,
    "rfc4475/mcl01": 400,
    "rfc4475/cparam01": 405,
    "rfc4475/cparam02": 405,
    "rfc4475/regescrt": 405,
    # RFC 5118
    "rfc5118/ipv6-good": 405,
    "rfc5118/ipv6-bad": 400,
    "rfc5118/port-ambiguous": 405,
    "rfc5118/port-unambiguous": 405,
    "rfc5118/via-received-param-with-delim": 481,
    "rfc5118/mult-ip-in-header": 481,
}
"""Messages that never reach the transaction user, with the status of their answer."""
PROCESSED_OPTIONS: Final = (
    "rfc4475/lwsdisp",
    "rfc4475/semiuri",
    "rfc4475/transports",
    "rfc4475/trws",
    "rfc4475/badaspec",
    "rfc4475/baddn",
    "rfc4475/badbranch",
    "rfc4475/zeromf",
    "rfc5118/via-received-param-no-delim",
    "rfc5118/ipv6-bug-abnf-3-colons",
    "rfc5118/ipv6-correct-abnf-2-colons",
)
PROCESSED_INVITES: Final = (
    "rfc4475/esc01",
    "rfc4475/longreq",
    "rfc4475/ltgtruri",
    "rfc4475/lwsstart",
    "rfc4475/escruri",
    "rfc4475/baddate",
    "rfc4475/sdp01",
    "rfc4475/inv2543",
    "rfc5118/ipv6-in-sdp",
    "rfc5118/mult-ip-in-sdp",
    "rfc5118/ipv4-mapped-ipv6",
)
DISCARDED: Final = ("rfc4475/unreason", "rfc4475/noreason", "rfc4475/bigcode", "rfc4475/scalarlg", "rfc4475/bcast")
"""Responses: none of them answers a request of ours."""
JUDGED_ALONE: Final = ("rfc4475/badinv01", "rfc4475/invut")
IPV6: Final = Flow("udp", ("2001:db8::10", 5060), ("2001:db8::9:1", 5060))


def octets(name: str) -> bytes:
    return (CORPUS / f"{name}.dat").read_bytes()


def flow_of(name: str) -> Flow:
    """Return a path by which the message can have come: UDP, or TCP where its Via says so."""
    if name.startswith("rfc5118"):
        return IPV6
    return TCP if b"Via: SIP/2.0/TCP host9" in octets(name) else UDP


def received(name: str, flow: Flow | None = None) -> Line:
    line = Line()
    line.receive(octets(name), flow or flow_of(name))
    return line


def statuses(line: Line) -> list[int]:
    """Return what was answered, read without a parser: an answer to rubbish gives the rubbish back."""
    return [int(sent.data[8:11]) for sent in line.heard()]


def request_of(name: str) -> Request:
    line = received(name)
    return line.event(InviteReceived).request


def test_every_torture_message_is_judged_once() -> None:
    judged = [*ANSWERED_BY_ITSELF, *PROCESSED_OPTIONS, *PROCESSED_INVITES, *DISCARDED, *JUDGED_ALONE]
    files = [f"{path.parent.name}/{path.stem}" for path in CORPUS.glob("rfc*/*.dat")]
    assert sorted(judged) == sorted(files)
    assert len(files) == 49 + 12


@pytest.mark.parametrize(("name", "status"), ANSWERED_BY_ITSELF.items())
def test_a_message_for_nobody_above_gets_one_answer_of_its_own_status(name: str, status: int) -> None:
    line = received(name)
    assert statuses(line) == [status]
    assert [type(event) for event in line.events()] == [MessageDiscarded]


@pytest.mark.parametrize("name", [name for name, status in ANSWERED_BY_ITSELF.items() if status == 405])
def test_405_names_the_methods_that_would_do(name: str) -> None:
    """C20; §3.3.7 (regaut01) to §3.3.14 (regescrt): a recorder is no registrar."""
    allow = received(name).response().allow
    assert {"INVITE", "OPTIONS", "BYE"} <= set(allow)
    assert "REGISTER" not in allow
    assert "MESSAGE" not in allow


def test_3_3_5_unknown_required_extensions_are_named_in_unsupported() -> None:
    """S2. "420 Bad Extension response, containing an Unsupported header field listing these features from either the
    Require or Proxy-Require header field, depending on the role": ours is that of an endpoint."""
    response = received("rfc4475/bext01").response()
    listed = {tag.strip().lower() for tag in (response.headers.get("Unsupported") or "").split(",")}
    assert listed == {"nothingsupportsthis", "nothingsupportsthiseither"}


@pytest.mark.parametrize("name", PROCESSED_OPTIONS)
def test_a_valid_or_forgivable_options_request_is_processed_as_any_other(name: str) -> None:
    line = received(name)
    event = line.event(OptionsReceived)
    line.agent.respond(event.request_id, 200, now=line.now)
    response = line.response()
    assert response.status == 200
    assert [via.branch for via in response.vias] == [via.branch for via in event.request.vias]


def test_3_3_11_max_forwards_of_zero_does_not_stop_who_is_addressed() -> None:
    """ "An endpoint should process the request as if the Max-Forwards field value were still positive.\""""
    assert received("rfc4475/zeromf").event(OptionsReceived).request.max_forwards == 0


@pytest.mark.parametrize("name", PROCESSED_INVITES)
def test_a_valid_or_forgivable_invite_becomes_a_session(name: str) -> None:
    line = received(name)
    event = line.event(InviteReceived)
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    assert line.statuses() == [100, 200]
    assert line.agent.dialogs() == [event.dialog_id]


def test_3_1_1_7_all_vias_of_the_long_request_come_back() -> None:
    line = received("rfc4475/longreq")
    event = line.event(InviteReceived)
    line.heard()
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    assert len(line.response().vias) == 34


def test_3_1_1_8_the_second_request_of_a_datagram_is_not_looked_at() -> None:
    line = received("rfc4475/dblreq")
    (response,) = line.responses()
    assert response.cseq.number == 8


def test_3_1_2_1_an_unreadable_via_gets_400_over_a_connection() -> None:
    """ "An element receiving this request should respond with a 400 Bad Request error.\""""
    assert statuses(received("rfc4475/badinv01", TCP)) == [400]


def test_3_1_2_1_an_unreadable_via_gets_400_over_udp() -> None:
    """It goes where the datagram came from."""
    assert statuses(received("rfc4475/badinv01", UDP)) == [400]


def test_3_1_2_1_a_datagram_with_an_unreadable_via_is_reported() -> None:
    assert received("rfc4475/badinv01", UDP).event(MessageDiscarded).detail == "Via"


def test_3_2_1_a_branch_that_is_only_the_cookie_does_not_join_two_transactions() -> None:
    """C3. "[...] or it could fall back to the RFC 2543-style transaction identifier.\""""
    line = received("rfc4475/badbranch")
    line.receive(octets("rfc4475/badbranch").replace(b"badbranch.", b"another."))
    calls = [event.request.call_id.partition(".")[0] for event in line.events() if isinstance(event, OptionsReceived)]
    assert calls == ["badbranch", "another"]


def test_3_3_6_an_unknown_body_of_an_invite_gets_415_with_accept() -> None:
    """C19. "An endpoint receiving this request would reject it with a 415 Unsupported Media Type error."

    Accept is what RFC 3261 §8.2.3 asks for."""
    refused = read_invite(request_of("rfc4475/invut"))
    assert isinstance(refused, Refused)
    assert refused.status == 415
    (accept,) = (value for name, value in refused.headers if name == "Accept")
    assert "application/sdp" in accept.split(", ")


@pytest.mark.parametrize("name", DISCARDED)
def test_a_response_that_is_not_ours_is_discarded_in_silence(name: str) -> None:
    """Of bcast: "Per [RFC3261], an endpoint receiving this message should simply discard it.\""""
    line = received(name)
    assert line.heard() == []
    assert [type(event) for event in line.events()] == [MessageDiscarded]


@pytest.mark.parametrize("reason", ["= 2**3 * 5**2 но сто девяносто девять - простое", ""])
def test_3_1_1_12_and_13_a_response_of_ours_counts_whatever_its_reason_phrase(reason: str) -> None:
    line = Line()
    src = Src(line)
    src.establish()
    request_id = line.agent.options(src.dialog_id, line.now)
    (sent,) = line.requests()
    answer = src.answer(sent, 200).replace(b"SIP/2.0 200 Whatever", f"SIP/2.0 200 {reason}".encode())
    line.receive(answer)
    told = line.event(ResponseReceived)
    assert (told.request_id, told.response.status, told.response.reason) == (request_id, 200, reason)


def test_3_3_15_a_client_that_accepts_no_sdp_is_recorded_all_the_same() -> None:
    """sdp01: "could respond with a 406 Not Acceptable"; it sends SDP itself, so its Accept tells less than its body."""
    request = request_of("rfc4475/sdp01")
    accepted = read_invite(request)
    assert not isinstance(accepted, Refused)
    assert accepted.offer == parse_sdp(request.body)


def test_3_4_1_a_call_of_rfc_2543_is_set_up_acknowledged_and_ended() -> None:
    """C3: no branch, no From-tag, no Contact, no Content-Length, no Max-Forwards."""
    line = received("rfc4475/inv2543")
    event = line.event(InviteReceived)
    line.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    answer = line.responses()[-1]
    assert (answer.status, answer.from_.tag) == (200, None)
    line.receive(inside_2543("ACK", 56, answer))
    line.heard()
    line.advance(40)
    assert line.heard() == [], "the 2xx is repeated although it was acknowledged"
    line.receive(inside_2543("BYE", 57, answer))
    line.agent.respond(line.event(ByeReceived).request_id, 200, now=line.now)
    assert line.statuses() == [200]
    assert line.agent.dialogs() == []


def inside_2543(method: str, number: int, answer: Response) -> bytes:
    """Return the next request of the client of inv2543."""
    kept = ("Via", "From", "To", "Call-ID")
    lines = [f"{name}: {answer.headers.get(name)}" for name in kept]
    return "\r\n".join([f"{method} sip:srs@{SRS[0]} SIP/2.0", *lines, f"CSeq: {number} {method}", "", ""]).encode()


def test_5118_4_5_received_is_added_without_brackets() -> None:
    """RFC 5118 §4.5."""
    line = received("rfc5118/ipv6-good", Flow("udp", ("2001:db8::10", 5060), ("2001:db8::9:99", 5060)))
    (sent,) = line.heard()
    answer = parsed(sent)
    assert isinstance(answer, Response)
    assert answer.via.received == "2001:db8::9:99"
    assert b"received=2001:db8::9:99" in sent.data


def test_5118_4_10_three_colons_are_answered_as_two() -> None:
    """RFC 5118 §4.10: a grammar of the past allowed them, so they are accepted."""
    line = received("rfc5118/ipv6-bug-abnf-3-colons")
    assert line.event(OptionsReceived).request.uri.host == "2001:db8::192.0.2.1"
