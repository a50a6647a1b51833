"""The small typed values: reading, writing, refusing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from signaling.errors import SipSyntaxError
from signaling.sip import CSeq, Disposition, MediaType, RAck, SessionExpires, SessionId
from signaling.sip.values import NIL_UUID, parse_min_se, parse_number, parse_rseq

UUID_A, UUID_B = "a" * 32, "0123456789abcdef" * 2


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("0068", 68), ("00000000000000000000000255", 255)])
def test_numbers(text: str, number: int) -> None:
    assert parse_number(text, "X", 255) == number


@pytest.mark.parametrize("text", ["", "256", "-1", "+1", "1.0", " 1", "1_0", "\u0661", "9" * 5000])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        parse_number(text, "X", 255)
    assert caught.value.header == "X"


@pytest.mark.parametrize("text", ["1 INVITE", "1  INVITE", "1\tINVITE", "0001 INVITE"])
def test_cseq(text: str) -> None:
    assert CSeq.parse(text) == CSeq(1, "INVITE")
    assert str(CSeq.parse(text)) == "1 INVITE"


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "1 INVITE x", "x INVITE", "4294967296 INVITE", "1 IN@VITE", "-1 BYE"]
)
def test_malformed_cseq(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        CSeq.parse(text)
    assert caught.value.header == "CSeq"


@pytest.mark.parametrize(
    ("text", "essence", "boundary"),
    [
        ("application/sdp", "application/sdp", None),
        ("application/SDP", "application/sdp", None),
        ('Multipart/Mixed; boundary="a;b"', "multipart/mixed", "a;b"),
        ("application/ +xml", "application/+xml", None),
        ("application / rs-metadata+xml ;x", "application/rs-metadata+xml", None),
        ("sdp", "sdp/", None),
        ("", "/", None),
    ],
)
def test_media_types_are_read_as_far_as_they_go(text: str, essence: str, boundary: str | None) -> None:
    kind = MediaType.parse(text)
    assert (kind.essence, kind.params.get("boundary")) == (essence, boundary)


def test_media_types_are_written() -> None:
    assert str(MediaType.parse("Text/Plain; charset=utf-8")) == "text/plain;charset=utf-8"


def test_a_media_type_with_an_open_quote_is_an_error() -> None:
    with pytest.raises(SipSyntaxError) as caught:
        MediaType.parse('multipart/mixed;boundary="x')
    assert caught.value.header == "Content-Type"


@pytest.mark.parametrize(
    ("text", "kind", "optional"),
    [
        ("session", "session", False),
        ("Render;handling=optional", "render", True),
        ("recording-session ; handling = REQUIRED", "recording-session", False),
    ],
)
def test_dispositions(text: str, kind: str, optional: bool) -> None:
    disposition = Disposition.parse(text)
    assert (disposition.kind, disposition.optional) == (kind, optional)
    assert Disposition.parse(str(disposition)) == disposition


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("1800", SessionExpires(1800), "1800"),
        ("1800;refresher=uac", SessionExpires(1800, "uac"), "1800;refresher=uac"),
        ("90 ; Refresher = UAS;x", SessionExpires(90, "uas"), "90;refresher=uas"),
        ("90;refresher=nobody", SessionExpires(90), "90"),
    ],
)
def test_session_expires(text: str, expected: SessionExpires, shown: str) -> None:
    assert SessionExpires.parse(text) == expected
    assert str(expected) == shown


def test_min_se_and_rseq() -> None:
    assert (parse_min_se("90"), parse_min_se("90 ;x=y"), parse_rseq("1")) == (90, 90, 1)


def test_rack() -> None:
    assert RAck.parse("776656 1 INVITE") == RAck(776656, CSeq(1, "INVITE"))
    assert str(RAck(776656, CSeq(1, "INVITE"))) == "776656 1 INVITE"


@pytest.mark.parametrize(
    ("text", "local", "remote"),
    [
        (UUID_A.upper(), UUID_A, None),
        (f"{UUID_A};remote={NIL_UUID}", UUID_A, NIL_UUID),
        (f"{UUID_A} ; Remote={UUID_B};x=y", UUID_A, UUID_B),
    ],
)
def test_session_id(text: str, local: str, remote: str | None) -> None:
    assert SessionId.parse(text) == SessionId(local, remote)


def test_a_session_id_is_answered_with_its_halves_exchanged() -> None:
    """RFC 7989 §6: the sender's own UUID comes first, in either direction."""
    received = SessionId.parse(f"{UUID_A};remote={NIL_UUID}")
    assert str(received.answered_by(UUID_B)) == f"{UUID_B};remote={UUID_A}"
    assert str(SessionId(UUID_A)) == UUID_A


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (SessionExpires.parse, "x"),
        (SessionExpires.parse, "90;;x"),
        (parse_min_se, ""),
        (parse_rseq, "4294967296"),
        (RAck.parse, "1 2"),
        (RAck.parse, "1 x INVITE"),
        (RAck.parse, "1 2 IN VITE"),
        (SessionId.parse, "a" * 31),
        (SessionId.parse, "g" * 32),
        (SessionId.parse, "a" * 32 + ";remote=1"),
        (Disposition.parse, "session;;x"),
    ],
)
def test_malformed_values(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        parse(text)
    assert caught.value.status == 400
