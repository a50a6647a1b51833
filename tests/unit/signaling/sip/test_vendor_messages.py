"""Messages with the peculiarities of real peers (tests/corpus/sip/vendor)."""

from __future__ import annotations

from pathlib import Path

import pytest

from signaling.sip import Request, Response, build_response, parse_message

CORPUS = Path(__file__).parents[3] / "corpus" / "sip" / "vendor"
NAMES = sorted(path.stem for path in CORPUS.glob("*.dat"))


def message(name: str) -> Request | Response:
    return parse_message((CORPUS / f"{name}.dat").read_bytes())


def request(name: str) -> Request:
    found = message(name)
    assert isinstance(found, Request)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_message_is_accepted_and_survives_a_round_trip(name: str) -> None:
    assert parse_message(message(name).encode()) == message(name)


def test_genesys_invite() -> None:
    invite = request("genesys_invite")
    assert invite.uri.user == "record=01EXAMPLE0CALLUUID0000000000000A_2030-01-15_09-30-00"
    assert invite.uri.param("gvp-tenant-id") == "[Environment].record"
    assert invite.uri.param("recordDN") == "5550100"
    assert [via.transport for via in invite.vias] == ["UDP", "TCP"]
    assert invite.supported == ("timer", "uui")
    assert len(invite.body) == 365


def test_genesys_record_route_is_returned_byte_for_byte() -> None:
    invite = request("genesys_invite")
    answer = build_response(invite, 200, to_tag="srs", record_route=True)
    assert answer.headers.get_all("Record-Route") == invite.headers.get_all("Record-Route")
    assert str(invite.record_routes[0].uri) in answer.encode().decode()


def test_a_to_without_brackets_gets_its_tag_as_a_header_parameter() -> None:
    """RFC 3261 §20: without brackets, what follows the semicolon belongs to the header field."""
    answer = build_response(request("genesys_options"), 503, to_tag="srs-a-e7-0003")
    assert answer.headers.get("To") == "sip:192.0.2.40:5060;tag=srs-a-e7-0003"
    assert (answer.to.tag, answer.to.uri.port) == ("srs-a-e7-0003", 5060)


def test_a_comma_list_of_vias_is_returned_as_one_line() -> None:
    options = request("comma_list_of_via")
    assert [via.branch for via in options.vias] == ["z9hG4bKa", "z9hG4bKb", "z9hG4bKc"]
    assert build_response(options, 200).headers.get_all("Via") == options.headers.get_all("Via")
    assert build_response(options.seen_from("192.0.2.30", 15064), 200).vias == options.vias


def test_doubled_brackets_in_contact() -> None:
    contact = message("opensips_reinvite_ok").contact
    assert contact is not None
    assert (contact.uri.host, contact.feature("+sip.src")) == ("192.0.2.60", "")


def test_no_space_after_the_colon_and_the_feature_tag_inside_the_brackets() -> None:
    invite = request("sbc_no_space_after_colon")
    assert invite.contact is not None
    assert (invite.contact.feature("+sip.src"), invite.contact.uri.param("transport")) == ("", "tcp")
    assert (invite.require, invite.cseq.number, invite.from_.display_name) == (("siprec",), 2, "SRC")
    assert invite.content_type is not None
    assert invite.content_type.essence == "application/sdp"


def test_a_damaged_content_type_loses_nothing() -> None:
    update = request("damaged_content_type")
    assert update.content_type is not None
    assert (update.content_type.subtype, update.body) == ("+xml", b"<recording>")


def test_a_bye_that_names_invite_in_cseq_can_be_handled() -> None:
    bye = request("script_bye")
    assert (bye.method, bye.cseq.method, bye.to.tag) == ("BYE", "INVITE", None)
