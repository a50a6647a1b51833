"""Content types and dispositions, whole and damaged."""

from __future__ import annotations

import pytest

from signaling.siprec.media_types import (
    METADATA,
    METADATA_XML,
    ContentType,
    Disposition,
    mirror,
    parse_content_type,
    parse_disposition,
)


@pytest.mark.parametrize(
    ("value", "essence", "boundary", "charset"),
    [
        ("application/sdp", "application/sdp", "", ""),
        ("application/SDP", "application/sdp", "", ""),
        (" Application / SDP ; charset = UTF-8", "application/sdp", "", "utf-8"),
        ("multipart/mixed;boundary=foobar", "multipart/mixed", "foobar", ""),
        ('multipart/mixed; charset="x"; Boundary="a b;c=\\"d\\""', "multipart/mixed", 'a b;c="d"', "x"),
        ("multipart/mixed;boundary=a;boundary=b", "multipart/mixed", "a", ""),
        ("multipart/mixed;boundary=a ;x", "multipart/mixed", "a", ""),
        ("application/ +xml", "application/+xml", "", ""),
        ("", "", "", ""),
        (None, "", "", ""),
    ],
)
def test_content_types(value: str | None, essence: str, boundary: str, charset: str) -> None:
    assert parse_content_type(value) == ContentType(essence, boundary, charset)


@pytest.mark.parametrize(
    ("value", "sdp", "metadata", "maybe", "multipart"),
    [
        ("application/sdp", True, False, False, False),
        ("application/rs-metadata", False, True, False, False),
        ("Application/RS-Metadata+XML", False, True, False, False),
        ("application/ +xml", False, False, True, False),
        ("text/xml", False, False, True, False),
        ("application/gtd", False, False, False, False),
        ("multipart/related; boundary=x", False, False, False, True),
    ],
)
def test_what_a_type_stands_for(value: str, sdp: bool, metadata: bool, maybe: bool, multipart: bool) -> None:
    parsed = parse_content_type(value)
    assert (parsed.sdp, parsed.metadata, parsed.maybe_metadata, parsed.multipart) == (sdp, metadata, maybe, multipart)


@pytest.mark.parametrize(
    ("value", "kind", "required"),
    [
        ("session;handling=required", "session", True),
        ("recording-session", "recording-session", True),
        ("signal ; Handling = Optional", "signal", False),
        ('render;handling="optional"', "render", False),
        ("render;handling=unknown", "render", True),
        ("", "", True),
        (None, "", True),
    ],
)
def test_dispositions(value: str | None, kind: str, required: bool) -> None:
    assert parse_disposition(value) == Disposition(kind, required)


@pytest.mark.parametrize(
    ("received", "sent"),
    [
        ("application/rs-metadata", METADATA),
        ("application/RS-metadata; charset=utf-8", METADATA),
        ("application/rs-metadata+xml", METADATA_XML),
        ("application/ +xml", METADATA_XML),
        (None, METADATA_XML),
    ],
)
def test_the_type_of_the_peer_is_mirrored(received: str | None, sent: str) -> None:
    assert mirror(received) == sent
