"""URIs: parts, escapes, comparison and building."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.sip.syntax import Params
from signaling.sip.uri import Uri, unescape

MSR = (
    "sip:record=01EXAMPLE0CALLUUID0000000000000A_2030-01-15_09-30-00@192.0.2.40:5060;calluuid=01EXAMPLE"
    ";dn=5550100;agentid=;gvp-tenant-id=[Environment].record;recordDN=5550100;datanodes=2|1"
)


def test_the_call_data_of_a_media_server() -> None:
    uri = Uri.parse(MSR)
    assert uri.user == "record=01EXAMPLE0CALLUUID0000000000000A_2030-01-15_09-30-00"
    assert (uri.host, uri.port) == ("192.0.2.40", 5060)
    assert uri.param("gvp-tenant-id") == "[Environment].record"
    assert uri.param("RECORDDN") == "5550100"
    assert uri.param("agentid") == ""
    assert uri.param("datanodes") == "2|1"
    assert str(uri) == MSR


def test_a_route_of_the_resource_manager_is_kept_whole() -> None:
    text = "sip:0x00000001@192.0.2.30:15060;lr;gvp.rm.datanodes=1;confinstid=01EX_2030-01-15_09-30-00;idtag=0000000C"
    uri = Uri.parse(text)
    assert (str(uri), uri.is_loose_router, uri.param("confinstid")) == (text, True, "01EX_2030-01-15_09-30-00")


@pytest.mark.parametrize(
    ("text", "user", "password", "host", "port"),
    [
        ("sip:host", None, None, "host", None),
        ("SIP:host:0", None, None, "host", 0),
        ("sips:a@host:5061", "a", None, "host", 5061),
        ("sip:a:secret@host", "a", "secret", "host", None),
        ("sip:a:@host", "a", "", "host", None),
        ("sip:a;b?c@host", "a;b?c", None, "host", None),
        ("sip:a@under_score.example", "a", None, "under_score.example", None),
        ("sip:a@[2001:db8::1]:5070", "a", None, "2001:db8::1", 5070),
        ("sip:host?Subject=x", None, None, "host", None),
        ("sip:host;x=a@b", "host;x=a", None, "b", None),
    ],
)
def test_parts(text: str, user: str | None, password: str | None, host: str, port: int | None) -> None:
    uri = Uri.parse(text)
    assert (uri.user, uri.password, uri.host, uri.port) == (user, password, host, port)
    assert uri.scheme in ("sip", "sips")


def test_what_a_site_puts_into_call_data_costs_no_recording() -> None:
    uri = Uri.parse('sip:record=1@h;agent="O\'Neil<x>";note=\u00e9|[x]')
    assert (uri.param("agent"), uri.param("note")) == ("O'Neil<x>", "\u00e9|[x]")


def test_headers_are_kept_as_written() -> None:
    uri = Uri.parse("sip:host;lr?Route=%3Csip:x%3E&a=b")
    assert (uri.headers, len(uri.params)) == ("Route=%3Csip:x%3E&a=b", 1)


def test_empty_parameters_are_skipped() -> None:
    assert list(Uri.parse("sip:host;;a;;").params) == [("a", None)]


@pytest.mark.parametrize("text", ["tel:+15550100", "isbn:2983792873", "soap.beep://192.0.2.103:3002"])
def test_other_schemes_are_opaque(text: str) -> None:
    uri = Uri.parse(text)
    assert (str(uri), uri.is_sip, uri.host) == (text, False, "")


@pytest.mark.parametrize(
    "text",
    [
        "", "host", ":host",
        "1 2:x", "sip:", "sip:@host", "sip::5060", "sip:a@", "sip:a@b@c", "sip:ho st", "sip:host\t",
        "sip:<host>", 'sip:"host"', "sip:host:", "sip:host:x", "sip:host:65536", "sip:host:123456", "sip:host:-1",
        "sip:2001:db8::1", "sip:[2001:db8::1", "sip:[nonsense]", "sip:[::1]x", "sip:[::1]5060", "sip:host:\u0661",
        "sip:a@h/o", "sip:\x00", "sip:\u00a0",
    ],
)  # fmt: skip
def test_malformed(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        Uri.parse(text, "Contact", 7)
    assert (caught.value.status, caught.value.header) == (400, "Contact")
    assert caught.value.offset >= 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", "a"), ("%61%4a", "aJ"), ("%C3%A9", "é"), ("100%", "100%"), ("%zz", "%zz"), ("%2541", "%41"), ("%00", "\0")],
)
def test_escapes_are_undone_once(text: str, expected: str) -> None:
    assert unescape(text) == expected


def test_octets_that_are_not_utf_8_survive() -> None:
    assert unescape("%FF").encode("utf-8", "surrogateescape") == b"\xff"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        # RFC 3261 §19.1.4
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+1", "tel:+1"),
        ("sip:a%3b@h", "sip:a%3B@h"),
    ],
)
def test_equivalent(one: str, two: str) -> None:
    assert Uri.parse(one).matches(Uri.parse(two))
    assert Uri.parse(two).matches(Uri.parse(one))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com;transport=udp", "sip:bob@biloxi.com;transport=tcp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:a@h;maddr=x", "sip:a@h"),
        ("sip:a@h;user=phone", "sip:a@h"),
        ("sip:a@h", "sips:a@h"),
        ("sip:a:x@h", "sip:a@h"),
        ("sip:a@h", "sip:h"),
        ("sip:a%3B@h", "sip:a;@h"),
        ("tel:+1", "sip:+1@h"),
    ],
)
def test_not_equivalent(one: str, two: str) -> None:
    assert not Uri.parse(one).matches(Uri.parse(two))
    assert not Uri.parse(two).matches(Uri.parse(one))


def test_equality_is_that_of_the_text() -> None:
    assert Uri.parse("sip:a@h") == Uri.parse("sip:a@h")
    assert Uri.parse("sip:a@h") != Uri.parse("sip:a@H")


def test_building() -> None:
    uri = Uri.build("192.0.2.40", 5060, user="srs", params=Params([("transport", "tcp"), ("ob", None)]))
    assert str(uri) == "sip:srs@192.0.2.40:5060;transport=tcp;ob"
    assert str(Uri.build("h", scheme="sips")) == "sips:h"


@given(st.text(min_size=1))
def test_any_user_can_be_built_and_read_back(user: str) -> None:
    uri = Uri.build("host", user=user)
    assert uri.user is not None
    assert unescape(uri.user) == user


@pytest.mark.parametrize(("host", "user"), [("ho st", None), ("", None), ("host", "")])
def test_what_would_not_parse_is_not_built(host: str, user: str | None) -> None:
    with pytest.raises(LocalProtocolError):
        Uri.build(host, user=user)


def test_parameters_are_replaced() -> None:
    uri = Uri.parse("sip:a:b@h:1;x=1?s=t").with_params(Params([("lr", None), ("y", "a b")]))
    assert str(uri) == "sip:a:b@h:1;lr;y=a%20b"
    assert str(Uri.parse("sip:h;lr").with_params(Params())) == "sip:h"
