"""Which bodies count as session descriptions."""

from __future__ import annotations

import pytest

from signaling.sip import Request, parse_message
from signaling.useragent.offers import carries_description, is_sdp
from tests.unit.signaling.useragent.peer import request


def message(content_type: str | None, body: str) -> Request:
    headers = [] if content_type is None else [f"Content-Type: {content_type}"]
    data = request("UPDATE", branch="z9hG4bK1", cseq="1 UPDATE", headers=headers)
    parsed = parse_message(data.replace(b"Content-Length: 0\r\n", b"") + body.encode())
    assert isinstance(parsed, Request)
    return parsed


METADATA = "--b\r\nContent-Type: application/rs-metadata+xml\r\n\r\n<recording/>\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/sdp", "v=0\r\n", True),
        ("Application/SDP;charset=utf-8", "v=0\r\n", True),
        ("application/sdp", "", False),
        (None, "v=0\r\n", True),
        (None, "hello", False),
        ('application/"x', "v=0\r\n", False),
        ("application/rs-metadata+xml", "<recording/>", False),
        ("multipart/mixed;boundary=b", "--b\r\nContent-Type: Application/SDP\r\n\r\nv=0\r\n--b--\r\n", True),
        ("multipart/mixed;boundary=b", METADATA, False),
        ("multipart/mixed;boundary", METADATA, False),
    ],
)
def test_what_is_an_offer(content_type: str | None, body: str, expected: bool) -> None:
    """S7: metadata alone is no offer."""
    assert carries_description(message(content_type, body)) is expected


def test_a_content_type_that_does_not_parse_is_judged_by_the_body() -> None:
    assert carries_description(message('application/sdp;x="', "v=0\r\n"))


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [(None, False), ("application/sdp", True), ("APPLICATION/sdp ;x=y", True), ("a/b", False)],
)
def test_our_own_content_types(content_type: str | None, expected: bool) -> None:
    assert is_sdp(content_type) is expected
