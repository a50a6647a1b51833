"""RFC 4475, all 49 torture messages, at the level of the parser (checklist C25, C27).

What an element above the parser must answer (404, 405, 415, 416, 420, 501 ...) is tested with the user agent. Where the
RFC leaves the choice between refusing and being liberal, the recorder is liberal, because a call refused is a call not
recorded; the test then asserts what the RFC asks of those who are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from signaling.errors import SipSyntaxError
from signaling.sip import Request, Response, StreamFramer, parse_message, reject_malformed
from signaling.sip.uri import unescape

CORPUS = Path(__file__).parent.parent / "corpus" / "sip" / "rfc4475"


def octets(name: str) -> bytes:
    return (CORPUS / f"{name}.dat").read_bytes()


def request(name: str) -> Request:
    message = parse_message(octets(name))
    assert isinstance(message, Request)
    return message


def response(name: str) -> Response:
    message = parse_message(octets(name))
    assert isinstance(message, Response)
    return message


def refused(name: str) -> SipSyntaxError:
    with pytest.raises(SipSyntaxError) as caught:
        parse_message(octets(name))
    return caught.value


VALID = (
    "wsinv", "intmeth", "esc01", "escnull", "esc02", "lwsdisp", "longreq", "dblreq", "semiuri", "transports", "mpart01",
    "unreason", "noreason",
)  # fmt: skip
REFUSED = {
    "badinv01": (400, "Via"),
    "clerr": (400, "Content-Length"),
    "ncl": (400, "Content-Length"),
    "scalar02": (400, "CSeq"),
    "scalarlg": (400, "CSeq"),
    "quotbal": (400, "To"),
    "lwsruri": (400, ""),
    "badvers": (505, ""),
    "mismatch01": (400, "CSeq"),
    "mismatch02": (400, "CSeq"),
    "bigcode": (400, ""),
}
FORGIVEN = ("ltgtruri", "lwsstart", "trws", "escruri", "baddate", "regbadct", "badaspec", "baddn")
TRANSACTION = ("badbranch",)
APPLICATION = (
    "insuf", "unkscm", "novelsc", "unksm2", "bext01", "invut", "regaut01", "multi01", "mcl01", "bcast", "zeromf",
    "cparam01", "cparam02", "regescrt", "sdp01",
)  # fmt: skip
OLD = ("inv2543",)


def test_all_49_messages_are_here_and_each_is_judged() -> None:
    judged = [*VALID, *REFUSED, *FORGIVEN, *TRANSACTION, *APPLICATION, *OLD]
    assert sorted(judged) == sorted(path.stem for path in CORPUS.glob("*.dat"))
    assert len(judged) == 49


@pytest.mark.parametrize("name", VALID)
def test_3_1_1_valid_messages_are_accepted_and_survive_a_round_trip(name: str) -> None:
    message = parse_message(octets(name))
    assert parse_message(message.encode()) == message


@pytest.mark.parametrize("name", VALID)
def test_3_1_1_every_known_header_of_a_valid_message_can_be_read(name: str) -> None:
    message = parse_message(octets(name))
    assert len(message.vias) >= 1
    assert message.max_forwards is None or message.max_forwards <= 255
    assert all(address.uri.scheme == "sip" for address in (*message.contacts, *message.routes))
    assert message.content_type is None or message.content_type.subtype


def test_3_1_1_1_a_short_tortuous_invite() -> None:
    message = request("wsinv")
    assert message.uri.user == "vivekg"
    assert message.uri.params.get("unknownparam") == ""
    assert (message.to.tag, message.from_.tag) == ("1918181833n", "98asjd8")
    assert message.from_.display_name == 'J Rosenberg \\"'
    assert (message.max_forwards, message.cseq.number, message.cseq.method) == (68, 9, "INVITE")
    assert [via.transport for via in message.vias] == ["UDP", "TCP", "UDP"]
    assert [via.branch for via in message.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert message.headers.get("Subject") == ""
    route = message.routes[0].uri
    assert (route.is_loose_router, route.param("unknownwith"), route.param("unknown-no-value")) == (True, "value", "")
    contact = message.contacts[0]
    assert contact.display_name == 'Quoted string ""'
    assert [(name, contact.params.get(name)) for name in ("newparam", "secondparam", "q")] == [
        ("newparam", "newvalue"),
        ("secondparam", ""),
        ("q", "0.33"),
    ]
    assert len(message.body) == 150


def test_3_1_1_2_wide_range_of_valid_characters() -> None:
    message = request("intmeth")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.via.branch == "z9hG4bK-.!%66*_+`'~"
    assert message.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.from_.params.get("fromParam''~+*_!.-%") == "работающий"
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_3_1_1_3_escapes_are_undone_once_and_only_in_uris() -> None:
    message = request("esc01")
    assert message.uri.user is not None
    assert (unescape(message.uri.user), message.uri.host) == ("sips:user@example.com", "example.net")
    assert message.contacts[0].uri.param("n%61me") == "value%41"
    assert message.from_.uri.user is not None
    assert unescape(message.from_.uri.user) == "I have spaces"


def test_3_1_1_4_escaped_nulls_do_not_shorten_a_user() -> None:
    message = request("escnull")
    users = [address.uri.user or "" for address in message.contacts]
    assert [unescape(user) for user in users] == ["\0", "\0\0"]
    assert not message.contacts[0].uri.matches(message.contacts[1].uri)


def test_3_1_1_5_percent_outside_a_uri_is_no_escape() -> None:
    message = request("esc02")
    assert message.method == "RE%47IST%45R"
    assert message.to.display_name == "%Z%45"
    assert len(message.contacts) == 2


def test_3_1_1_6_no_white_space_between_display_name_and_bracket() -> None:
    assert request("lwsdisp").from_.display_name == "caller"


def test_3_1_1_7_long_values() -> None:
    message = request("longreq")
    assert len(message.vias) == 34
    assert message.from_.tag == "12" + "982" * 50 + "424"
    assert message.to.uri.params.get("longparam" + "name" * 25) == "shortvalue"


def test_3_1_1_8_extra_octets_in_a_datagram_are_ignored() -> None:
    message = request("dblreq")
    assert (message.method, message.body) == ("REGISTER", b"")


def test_3_1_1_9_semicolons_in_the_user_part() -> None:
    uri = request("semiuri").uri
    assert (uri.user, len(uri.params)) == ("user;par=u%40example.net", 0)


def test_3_1_1_10_varied_and_unknown_transports() -> None:
    assert [via.transport for via in request("transports").vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_3_1_1_11_a_binary_body_keeps_its_nulls() -> None:
    message = request("mpart01")
    assert len(message.body) == 553
    assert message.body.count(b"\0") == octets("mpart01").count(b"\0") > 0
    assert message.content_type is not None
    assert message.content_type.params.get("boundary") == "7a9cbec02ceef655"


def test_3_1_1_12_and_13_reason_phrases_may_be_anything_or_nothing() -> None:
    assert response("unreason").reason.startswith("= 2**3 * 5**2 но сто")
    assert (response("noreason").status, response("noreason").reason) == (100, "")


@pytest.mark.parametrize(("name", "status", "header"), [(name, *fault) for name, fault in REFUSED.items()])
def test_3_1_2_invalid_messages_are_refused_for_the_right_reason(name: str, status: int, header: str) -> None:
    error = refused(name)
    assert (error.status, error.header) == (status, header)


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in ("scalarlg", "bigcode")])
def test_3_1_2_an_invalid_request_is_answered_without_state(name: str) -> None:
    error = refused(name)
    answer = reject_malformed(error, to_tag="srs")
    assert answer is not None
    assert error.salvage is not None
    assert answer.status == REFUSED[name][0]
    copied = [(name, value) for name, value in answer.headers if name in ("Via", "From", "Call-ID", "CSeq")]
    assert sorted(copied) == sorted(item for item in error.salvage.headers if item[0] != "To")


@pytest.mark.parametrize("name", ["scalarlg", "bigcode"])
def test_3_1_2_an_invalid_response_is_discarded(name: str) -> None:
    assert reject_malformed(refused(name), to_tag="srs") is None


@pytest.mark.parametrize("name", ["ncl", "mcl01"])
def test_3_1_2_3_over_a_stream_a_bad_content_length_is_not_recoverable(name: str) -> None:
    framer = StreamFramer()
    assert framer.feed(octets(name)) == []
    assert framer.error is not None
    assert framer.error.header == "Content-Length"


@pytest.mark.parametrize("name", FORGIVEN)
def test_3_1_2_messages_that_may_be_forgiven_are(name: str) -> None:
    assert request(name).encode()


def test_3_1_2_7_brackets_around_the_request_uri_are_ignored_and_not_sent_on() -> None:
    message = request("ltgtruri")
    assert message.uri.text == "sip:user@example.com"
    assert message.encode().startswith(b"INVITE sip:user@example.com SIP/2.0\r\n")


@pytest.mark.parametrize("name", ["lwsstart", "trws"])
def test_3_1_2_9_and_10_extra_spaces_in_the_start_line_are_ignored_and_not_sent_on(name: str) -> None:
    start_line = request(name).encode().partition(b"\r\n")[0]
    assert start_line.count(b" ") == 2


def test_3_1_2_11_escaped_headers_in_the_request_uri_become_no_header() -> None:
    message = request("escruri")
    assert (message.uri.headers, message.routes) == ("Route=%3Csip:example.com%3E", ())


def test_3_1_2_12_a_date_in_another_zone_is_an_error_only_to_who_asks_for_it() -> None:
    message = request("baddate")
    with pytest.raises(SipSyntaxError) as caught:
        _ = message.date
    assert caught.value.header == "Date"


def test_3_1_2_13_a_contact_that_needs_brackets_is_an_error_only_to_who_asks_for_it() -> None:
    message = request("regbadct")
    with pytest.raises(SipSyntaxError) as caught:
        _ = message.contacts
    assert (caught.value.status, caught.value.header) == (400, "Contact")


def test_3_1_2_14_spaces_around_an_addr_spec_are_ignored() -> None:
    assert request("badaspec").to.uri.text == "sip:t.watson@example.org"


def test_3_1_2_15_missing_quotes_are_inferred_and_not_sent_on() -> None:
    address = request("baddn").from_
    assert (address.display_name, str(address)[:17]) == ("Bell, Alexander", '"Bell, Alexander"')


def test_3_2_1_a_branch_that_is_only_the_cookie_does_not_break_the_parser() -> None:
    assert request("badbranch").via.branch == "z9hG4bK"


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("unkscm", lambda m: m.uri.scheme == "nobodyknowsthisscheme" and not m.uri.is_sip),
        ("novelsc", lambda m: m.uri.scheme == "soap.beep" and m.uri.text == "soap.beep://192.0.2.103:3002"),
        (
            "unksm2",
            lambda m: [m.to.uri.scheme, m.from_.uri.scheme, m.contacts[0].uri.scheme] == ["isbn", "http", "name"],
        ),
        ("bext01", lambda m: m.require == ("nothingsupportsthis", "nothingsupportsthiseither")),
        ("invut", lambda m: m.content_type.essence == "application/unknownformat"),
        ("regaut01", lambda m: m.headers.get("Authorization") == "NoOneKnowsThisScheme opaque-data=here"),
        ("zeromf", lambda m: m.max_forwards == 0),
        (
            "cparam01",
            lambda m: "unknownparam" in m.contacts[0].params and "unknownparam" not in m.contacts[0].uri.params,
        ),
        (
            "cparam02",
            lambda m: "unknownparam" not in m.contacts[0].params and "unknownparam" in m.contacts[0].uri.params,
        ),
        ("regescrt", lambda m: m.contacts[0].uri.headers == "Route=%3Csip:sip.example.com%3E"),
        ("sdp01", lambda m: [str(kind) for kind in m.accept] == ["text/nobodyknowsthis"]),
    ],
)
def test_3_3_application_messages_are_well_formed(name: str, check: Callable[[Request], bool]) -> None:
    assert check(request(name))


def test_3_3_1_missing_required_headers_are_answered_with_what_is_there() -> None:
    answer = reject_malformed(refused("insuf"), to_tag="srs")
    assert answer is not None
    assert answer.status == 400
    assert [name for name, _ in answer.headers] == ["Via", "CSeq", "Content-Length"]


@pytest.mark.parametrize(("name", "header"), [("multi01", "From"), ("mcl01", "Content-Length")])
def test_3_3_8_and_9_repeated_single_values_are_refused(name: str, header: str) -> None:
    error = refused(name)
    assert (error.status, error.header) == (400, header)
    assert reject_malformed(error, to_tag="srs") is not None


def test_3_3_10_a_response_for_somebody_else_shows_it_in_its_vias() -> None:
    assert [via.host for via in response("bcast").vias] == ["192.0.2.198", "255.255.255.255"]


def test_3_4_1_an_invite_of_rfc_2543() -> None:
    message = request("inv2543")
    assert (message.via.branch, message.from_.tag, message.to.params.get("user")) == (None, None, "phone")
    assert len(message.body) == 105
    assert message.record_routes[0].uri.param("maddr") == "ss1.example.com"
