"""RFC 5118, the IPv6 torture messages, at the level of the parser (checklist C27)."""

from __future__ import annotations

from pathlib import Path

import pytest

from signaling.errors import SipSyntaxError
from signaling.sip import NameAddr, Request, Uri, Via, parse_message

CORPUS = Path(__file__).parent.parent / "corpus" / "sip" / "rfc5118"


def request(name: str) -> Request:
    message = parse_message((CORPUS / f"{name}.dat").read_bytes())
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize("name", sorted({path.stem for path in CORPUS.glob("*.dat")} - {"ipv6-bad"}))
def test_every_message_but_the_bad_one_is_accepted(name: str) -> None:
    message = request(name)
    assert parse_message(message.encode()) == message


def test_4_1_a_valid_ipv6_reference() -> None:
    message = request("ipv6-good")
    assert (message.uri.host, message.uri.port) == ("2001:db8::10", None)
    assert message.via.sent_by == ("2001:db8::9:1", 5060)
    assert message.contacts[0].uri.host == "2001:db8::1"


def test_4_2_a_reference_without_its_brackets_is_refused_with_400() -> None:
    with pytest.raises(SipSyntaxError) as caught:
        request("ipv6-bad")
    assert caught.value.status == 400
    assert caught.value.salvage is not None


def test_4_3_a_port_inside_the_brackets_is_part_of_the_address() -> None:
    uri = request("port-ambiguous").uri
    assert (uri.host, uri.port) == ("2001:db8::10:5070", None)


def test_4_4_a_port_behind_the_brackets_is_a_port() -> None:
    uri = request("port-unambiguous").uri
    assert (uri.host, uri.port) == ("2001:db8::10", 5070)


@pytest.mark.parametrize("name", ["via-received-param-with-delim", "via-received-param-no-delim"])
def test_4_5_received_is_accepted_with_and_without_brackets(name: str) -> None:
    assert request(name).via.received == "2001:db8::9:255"


def test_4_5_we_send_received_without_brackets() -> None:
    via = Via.parse("SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111").seen_from("2001:db8::9:255", 5060)
    assert str(via) == "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111;received=2001:db8::9:255"


@pytest.mark.parametrize(("name", "length"), [("ipv6-in-sdp", 251), ("mult-ip-in-sdp", 189)])
def test_4_6_and_4_8_bodies_are_left_alone(name: str, length: int) -> None:
    assert len(request(name).body) == length


def test_4_7_both_families_in_one_list_of_vias() -> None:
    vias = request("mult-ip-in-header").vias
    assert [via.sent_by for via in vias] == [("2001:db8::9:1", 6050), ("192.0.2.1", 5060), ("2001:db8::9:255", 5060)]
    assert vias[2].received == "192.0.2.200"


def test_4_9_mapped_addresses() -> None:
    message = request("ipv4-mapped-ipv6")
    assert message.via.sent_by == ("::ffff:192.0.2.10", 19823)
    assert message.contacts[0].uri.host == "::ffff:192.0.2.2"


def test_4_10_three_colons_are_read_as_two() -> None:
    three, two = request("ipv6-bug-abnf-3-colons"), request("ipv6-correct-abnf-2-colons")
    assert three.uri.host == two.uri.host == "2001:db8::192.0.2.1"
    assert three.to.uri.matches(two.to.uri)


def test_we_write_ipv6_hosts_in_brackets() -> None:
    uri = Uri.build("2001:db8::40", 5060, user="srs")
    assert str(uri) == "sip:srs@[2001:db8::40]:5060"
    assert str(NameAddr(uri)) == "<sip:srs@[2001:db8::40]:5060>"
