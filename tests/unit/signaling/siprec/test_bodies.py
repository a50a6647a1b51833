"""Taking bodies apart: the form of the RFC, and what arrives instead."""

from __future__ import annotations

import hashlib

import pytest

from signaling.siprec import BodyError, parse_body
from signaling.siprec.bodies import MAX_BYTES, MAX_DEPTH, MAX_PART_HEADER, MAX_PARTS, Body, BodyDoubt
from signaling.siprec.media_types import ContentType, Disposition

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
XML = b"<?xml version='1.0'?>\r\n<recording/>\r\n"
MIXED = "multipart/mixed;boundary=foobar"


def multipart(*parts: bytes, boundary: bytes = b"foobar") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def part(content_type: bytes, body: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join((b"Content-Type: " + content_type, *fields)) + b"\r\n\r\n" + body


USUAL = multipart(
    part(b"application/sdp", SDP),
    part(b"application/rs-metadata", XML, b"Content-Disposition: recording-session"),
)


def bodies(raw: bytes, content_type: str = MIXED) -> list[bytes]:
    return [found.body for found in parse_body(content_type, raw).parts]


def test_the_usual_two_parts() -> None:
    body = parse_body(MIXED, USUAL)
    first, second = body.parts
    assert body.doubts == ()
    assert (first.body, first.content_type, first.disposition) == (SDP, ContentType("application/sdp"), Disposition(""))
    assert (second.body, second.disposition) == (XML, Disposition("recording-session"))
    assert second.raw_content_type == "application/rs-metadata"


def test_an_empty_body_has_no_parts() -> None:
    assert parse_body(None, b"") == Body()
    assert parse_body(MIXED, b"") == Body()


def test_a_single_body_is_one_part_with_the_fields_of_the_message() -> None:
    body = parse_body("application/sdp", SDP, "session;handling=optional")
    assert body.parts[0].body == SDP
    assert body.parts[0].disposition == Disposition("session", False)


@pytest.mark.parametrize(
    ("raw", "essence"),
    [
        (SDP, "application/sdp"),
        (b"\r\n" + XML, "application/xml"),
        (b"hello", "application/octet-stream"),
    ],
)
def test_a_body_without_a_type_is_recognised_by_its_beginning(raw: bytes, essence: str) -> None:
    body = parse_body(None, raw)
    assert body.parts[0].content_type.essence == essence
    assert body.parts[0].body == raw
    assert body.doubts == (BodyDoubt.NO_CONTENT_TYPE,)


def test_a_multipart_without_a_type_is_recognised_too() -> None:
    body = parse_body(None, USUAL)
    assert [found.body for found in body.parts] == [SDP, XML]
    assert body.doubts == (BodyDoubt.NO_CONTENT_TYPE, BodyDoubt.NO_BOUNDARY)


@pytest.mark.parametrize(
    "content_type", ["multipart/mixed", "multipart/mixed;boundary=other", "multipart/mixed;boundary="]
)
def test_a_missing_or_wrong_boundary_is_read_from_the_body(content_type: str) -> None:
    body = parse_body(content_type, b"preamble\r\n" + USUAL)
    assert [found.body for found in body.parts] == [SDP, XML]
    assert body.doubts == (BodyDoubt.NO_BOUNDARY,)


def test_preamble_and_epilogue_are_left_out() -> None:
    assert bodies(b"\r\nThis is the preamble.\r\n" + USUAL + b"This is the epilogue.\r\n--foobar\r\nmore") == [SDP, XML]


def test_blank_lines_before_the_first_boundary_are_left_out() -> None:
    assert bodies(b"\r\n\r\n" + USUAL) == [SDP, XML]


@pytest.mark.parametrize("ending", [b"--", b"-- \t", b"--\n", b"--\r\nepilogue"])
def test_the_last_boundary_needs_no_line_end(ending: bytes) -> None:
    body = parse_body(MIXED, USUAL.removesuffix(b"--\r\n") + ending)
    assert [found.body for found in body.parts] == [SDP, XML]
    assert body.doubts == ()


@pytest.mark.parametrize("cut", [b"--foobar--\r\n", b"\r\n--foobar--\r\n"])
def test_a_missing_last_boundary_is_doubted(cut: bytes) -> None:
    body = parse_body(MIXED, USUAL.removesuffix(cut))
    assert body.parts[1].body.startswith(XML)
    assert body.doubts == (BodyDoubt.NO_FINAL_BOUNDARY,)


def test_a_last_boundary_without_its_dashes_ends_the_last_part_without_a_new_one() -> None:
    body = parse_body(MIXED, USUAL.removesuffix(b"--\r\n") + b"\r\n")
    assert [found.body for found in body.parts] == [SDP, XML]


def test_bare_line_feeds_between_and_inside_parts() -> None:
    assert bodies(USUAL.replace(b"\r\n", b"\n")) == [SDP.replace(b"\r\n", b"\n"), XML.replace(b"\r\n", b"\n")]


@pytest.mark.parametrize("body", [b"\r\n", b"\n", b"\r\n\r\n", b"\n\r\n", b"\n\n"])
def test_the_first_empty_line_ends_the_header_and_further_ones_are_content(body: bytes) -> None:
    assert bodies(b"--foobar\nContent-Type: x/y\n\n" + body + b"\n--foobar--") == [body]
    assert bodies(b"--foobar\r\nContent-Type: x/y\r\n\r\n" + body + b"\r\n--foobar--") == [body]


def test_the_bytes_of_a_part_are_never_changed() -> None:
    odd = b"a\nb\r\nc\rd\0\xff\r\n\r\n"
    assert bodies(multipart(part(b"application/octet-stream", odd))) == [odd]


def test_fields_without_space_in_any_case_and_folded() -> None:
    raw = multipart(
        b"CONTENT-type:application/sdp\r\ncontent-DISPOSITION :\r\n session;\r\n\thandling=optional\r\n\r\n" + SDP
    )
    found = parse_body(MIXED, raw).parts[0]
    assert (found.content_type.essence, found.disposition) == ("application/sdp", Disposition("session", False))


@pytest.mark.parametrize(
    ("length", "doubts"),
    [(b"43", ()), (b" 043 ", ()), (b"41", (BodyDoubt.PART_LENGTH,)), (b"x", ()), ("²".encode(), ()), (b"", ())],
)
def test_a_wrong_length_of_a_part_is_doubted_and_not_obeyed(length: bytes, doubts: tuple[BodyDoubt, ...]) -> None:
    body = parse_body(MIXED, multipart(part(b"application/sdp", SDP, b"Content-Length:" + length)))
    assert len(SDP) == 43
    assert body.parts[0].body == SDP
    assert body.doubts == doubts


def test_lines_that_only_begin_like_a_boundary_are_content() -> None:
    tricky = b"--foobarx\r\n--foobar x\r\n--foo\r\n x--foobar\r\n--foobar--x"
    assert bodies(multipart(part(b"text/plain", tricky))) == [tricky]


def test_an_empty_part_body() -> None:
    assert bodies(multipart(b"Content-Type: text/plain\r\n\r\n")) == [b""]


def test_a_part_without_a_header_is_recognised_by_its_content() -> None:
    body = parse_body(MIXED, multipart(b"\r\n" + SDP, b"\n" + XML, SDP))
    assert [found.content_type.essence for found in body.parts] == [
        "application/sdp",
        "application/xml",
        "application/sdp",
    ]
    assert [found.body for found in body.parts] == [SDP, XML, SDP]


def test_a_part_that_has_neither_header_nor_known_content_is_dropped_and_doubted() -> None:
    body = parse_body(MIXED, multipart(b"garbage", part(b"application/sdp", SDP)))
    assert [found.body for found in body.parts] == [SDP]
    assert body.doubts == (BodyDoubt.BAD_PART,)


def test_nested_parts_come_in_order_as_if_they_were_not_nested() -> None:
    inner = multipart(part(b"application/sdp", SDP), part(b"text/plain", b"x"), boundary=b"inner")
    raw = multipart(part(b"multipart/mixed;boundary=inner", inner), part(b"application/rs-metadata", XML))
    assert bodies(raw) == [SDP, b"x", XML]


def test_alternatives_share_a_number() -> None:
    inner = multipart(part(b"text/plain", b"a"), part(b"application/sdp", SDP), boundary=b"inner")
    raw = multipart(
        part(b"multipart/alternative;boundary=inner", inner),
        part(b"application/rs-metadata", XML),
        part(b"multipart/alternative;boundary=inner", inner),
    )
    assert [found.alternative for found in parse_body(MIXED, raw).parts] == [1, 1, 0, 2, 2]


def test_unknown_multipart_subtypes_are_treated_as_mixed() -> None:
    assert bodies(USUAL, "multipart/x-unheard-of;boundary=foobar") == [SDP, XML]


def test_transfer_encodings_are_removed_from_the_content_only() -> None:
    raw = multipart(
        part(b"text/plain", b"aGVsbG8=", b"Content-Transfer-Encoding: BASE64"),
        part(b"text/plain", b"a=3Db", b"Content-Transfer-Encoding: quoted-printable"),
        part(b"text/plain", b"a=3Db", b"Content-Transfer-Encoding: binary"),
        part(b"text/plain", b"a", b"Content-Transfer-Encoding: base64"),
    )
    body = parse_body(MIXED, raw)
    assert [found.content for found in body.parts] == [b"hello", b"a=b", b"a=3Db", b"a"]
    assert body.parts[0].body == b"aGVsbG8="
    assert body.doubts == (BodyDoubt.BAD_TRANSFER_ENCODING,)


def test_the_digest_is_that_of_the_bytes_received() -> None:
    assert parse_body("application/sdp", SDP).parts[0].digest == hashlib.sha256(SDP).hexdigest()


@pytest.mark.parametrize("raw", [b"nothing here", b"--", b"--foobar--", b"--foobar\r\n--foobar--", b"\r\n--\r\n"])
def test_a_multipart_without_a_part_is_refused_with_415(raw: bytes) -> None:
    with pytest.raises(BodyError, match="without a part") as caught:
        parse_body(MIXED, raw)
    assert caught.value.status == 415


def test_the_size_is_limited() -> None:
    assert len(parse_body("text/plain", b"x" * MAX_BYTES).parts[0].body) == MAX_BYTES
    with pytest.raises(BodyError, match="too large"):
        parse_body("text/plain", b"x" * (MAX_BYTES + 1))


def test_the_number_of_parts_is_limited() -> None:
    one = part(b"text/plain", b"x")
    assert len(parse_body(MIXED, multipart(*[one] * MAX_PARTS)).parts) == MAX_PARTS
    with pytest.raises(BodyError, match="too many"):
        parse_body(MIXED, multipart(*[one] * (MAX_PARTS + 1)))


def test_parts_of_nested_multiparts_count_together() -> None:
    half = multipart(*[part(b"text/plain", b"x")] * (MAX_PARTS // 2 + 1), boundary=b"inner")
    with pytest.raises(BodyError, match="too many"):
        parse_body(MIXED, multipart(*[part(b"multipart/mixed;boundary=inner", half)] * 2))


def test_nesting_is_limited() -> None:
    def nested(depth: int) -> bytes:
        raw = part(b"text/plain", b"x")
        for level in range(depth):
            name = b"level" + str(level).encode()
            raw = part(b"multipart/mixed;boundary=" + name, multipart(raw, boundary=name))
        return multipart(raw)

    assert bodies(nested(MAX_DEPTH - 1)) == [b"x"]
    with pytest.raises(BodyError, match="deeply"):
        parse_body(MIXED, nested(MAX_DEPTH))


def test_the_header_of_a_part_is_limited() -> None:
    fields = b"X: " + b"y" * (MAX_PART_HEADER + 1)
    assert parse_body(MIXED, multipart(part(b"text/plain", b"x", fields), SDP)).doubts == (BodyDoubt.BAD_PART,)
