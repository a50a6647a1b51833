"""The first look agrees with the parser about whose a message is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.edge.glance import NO_SIP, Glance, glance
from signaling.dialog.state import dialog_identifier
from signaling.errors import SipSyntaxError
from signaling.sip import Request, parse_message

CORPUS = Path(__file__).parents[3] / "corpus" / "sip"
CALL_ID = "call-1@192.0.2.20"
KNOWN = dialog_identifier(CALL_ID, "1~ab")


def message(start: str, *headers: str) -> bytes:
    lines = [start, "Via: SIP/2.0/UDP 192.0.2.30;branch=z9hG4bK1", *headers, "CSeq: 1 X", "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (message("INVITE sip:a@b SIP/2.0", "From: <sip:x@y>;tag=9", "To: <sip:a@b>", "Call-ID: c"), Glance("INVITE")),
        (
            message("BYE sip:a@b SIP/2.0", "From: <sip:x@y>;tag=9", "To: <sip:a@b>;tag=1~ab", f"Call-ID: {CALL_ID}"),
            Glance("BYE", False, "1~ab", KNOWN),
        ),
        (
            message("ACK sip:a@b SIP/2.0", 't : "A;tag=no" <sip:a@b;tag=no>\r\n ; tag = 1~ab;x=y', f"i:\r\n {CALL_ID}"),
            Glance("ACK", False, "1~ab", KNOWN),
        ),
        (
            message("SIP/2.0 200 OK", "From: <sip:us@b>;tag=1~ab", "To: <sip:a@b>;tag=9", "Call-ID: call-1@192.0.2.20"),
            Glance("", True, "1~ab", KNOWN),
        ),
        (message("SIP/2.0 200 OK", "From: <sip:us@b>", "To: <sip:a@b>;tag=9"), Glance("", True)),
        (message("OPTIONS sip:a@b SIP/2.0", "To: sip:a@b:5060"), Glance("OPTIONS")),
        (message("OPTIONS sip:a@b SIP/2.0"), Glance("OPTIONS")),
        (message("BYE sip:a@b SIP/2.0", "To: <sip:a@b>;tag=1~ab"), Glance("BYE", False, "1~ab")),
        (b"\r\n\r\n" + message("INFO sip:a@b SIP/2.0", "To: a;tag=T"), Glance("INFO", False, "T")),
        (b"GET / HTTP/1.1\r\n\r\n", Glance("GET")),
        (bytes(20), NO_SIP),
        (b"nonsense", NO_SIP),
    ],
)  # fmt: skip
def test_what_it_tells(data: bytes, seen: Glance) -> None:
    assert glance(data) == seen


def test_only_a_request_without_a_tag_opens_something() -> None:
    assert Glance("INVITE").opens
    assert not Glance("BYE", False, "1~ab").opens
    assert not Glance("", True).opens
    assert not NO_SIP.opens


def test_a_tag_in_the_body_is_none_of_ours() -> None:
    data = message("INVITE sip:a@b SIP/2.0", "From: <sip:x@y>;tag=9", "Call-ID: c") + b"\nTo: <sip:a@b>;tag=1~ab\r\n"
    assert glance(data) == Glance("INVITE")


@pytest.mark.parametrize("path", sorted(CORPUS.rglob("*.dat")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_agrees_with_the_parser(path: Path) -> None:
    data = path.read_bytes()
    try:
        parsed = parse_message(data)
        expected = parsed.to.tag if isinstance(parsed, Request) else parsed.from_.tag
    except SipSyntaxError:
        return
    seen = glance(data)
    assert seen.response is not isinstance(parsed, Request)
    # In doubt it may see no tag, which makes a message a stranger's; it must not see one that is not there.
    assert seen.local_tag in {expected or "", ""}
    if isinstance(parsed, Request) and parsed.to.tag and seen.local_tag:
        assert seen.dialog_id == dialog_identifier(parsed.call_id, parsed.to.tag)


@given(st.binary(max_size=400))
def test_nothing_that_arrives_makes_it_fail(data: bytes) -> None:
    glance(data)
    glance(b"INVITE sip:a@b SIP/2.0\r\nTo:" + data)
