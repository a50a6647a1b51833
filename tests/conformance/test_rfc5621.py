"""RFC 5621, message body handling, sentence by sentence (checklist C19)."""

from __future__ import annotations

from pathlib import Path

import pytest

from signaling.siprec import BodyError, Contents, find_contents, parse_body
from signaling.siprec.media_types import ACCEPTED
from tests.unit.signaling.siprec.test_bodies import MIXED, SDP, XML, multipart, part

CORPUS = Path(__file__).parent.parent / "corpus" / "multipart"


def contents(raw: bytes, content_type: str = MIXED, disposition: str | None = None) -> Contents:
    return find_contents(parse_body(content_type, raw, disposition))


def corpus(name: str) -> Contents:
    header, _, body = (CORPUS / f"{name}.mime").read_bytes().partition(b"\r\n\r\n")
    return contents(body, header.decode().partition(":")[2].strip())


def test_4_2_uas_must_support_parsing_multipart_bodies_including_nested_body_parts() -> None:
    found = corpus("nested")
    assert found.description is not None
    assert found.metadata is not None
    assert found.doubts == ()


def test_4_2_uas_must_support_multipart_mixed() -> None:
    found = contents(multipart(part(b"application/sdp", SDP), part(b"application/rs-metadata", XML)))
    assert (found.description is None, found.metadata is None) == (False, False)


def test_4_2_uas_must_support_multipart_alternative() -> None:
    found = corpus("alternative")
    assert found.description is not None
    assert found.unsupported == ()


def test_4_2_unknown_multipart_subtypes_are_treated_as_multipart_mixed() -> None:
    raw = multipart(part(b"application/sdp", SDP), part(b"application/rs-metadata", XML))
    assert contents(raw, "multipart/related;boundary=foobar").metadata is not None


def test_4_3_unnecessarily_nested_body_parts_are_treated_as_if_they_were_not_nested() -> None:
    inner = multipart(part(b"application/sdp", SDP), boundary=b"inner")
    found = contents(multipart(part(b"multipart/mixed;boundary=inner", inner)))
    assert found.description is not None
    assert found.description.body == SDP


def test_3_2_other_transfer_encodings_are_understood() -> None:
    found = corpus("base64")
    assert found.description is not None
    assert found.description.content == (CORPUS.parent / "sdp" / "srtp.sdp").read_bytes()


def test_6_1_the_recipient_chooses_the_last_body_part_it_understands() -> None:
    inner = multipart(
        part(b"application/sdp", SDP), part(b"application/sdp", SDP + b"a=x\r\n"), part(b"x/y", b""), boundary=b"inner"
    )
    found = contents(multipart(part(b"multipart/alternative;boundary=inner", inner)))
    assert found.description is not None
    assert found.description.body.endswith(b"a=x\r\n")


@pytest.mark.parametrize(
    ("disposition", "unsupported"),
    [
        (b"signal;handling=required", True),
        (b"signal;handling=optional", False),
        (b"signal", True),
        (None, True),
    ],
)
def test_c19_8_1_the_default_value_for_handling_is_required(disposition: bytes | None, unsupported: bool) -> None:
    fields = () if disposition is None else (b"Content-Disposition: " + disposition,)
    found = contents(multipart(part(b"application/sdp", SDP), part(b"application/gtd", b"x", *fields)))
    assert bool(found.unsupported) == unsupported
    assert found.description is not None


def test_c19_8_1_the_handling_of_a_whole_body_counts_as_well() -> None:
    assert contents(b"x", "application/unknown").unsupported
    assert not contents(b"x", "application/unknown", "render;handling=optional").unsupported


def test_c19_8_4_a_415_lists_the_types_that_we_understand() -> None:
    assert ACCEPTED == (
        "application/sdp", "application/rs-metadata", "application/rs-metadata+xml", "multipart/mixed",
    )  # fmt: skip
    for content_type in ACCEPTED[:3]:
        assert not contents(multipart(part(content_type.encode(), XML))).unsupported


def test_c19_8_4_a_body_that_cannot_be_taken_apart_carries_415() -> None:
    with pytest.raises(BodyError) as caught:
        parse_body(MIXED, b"no boundary at all")
    assert caught.value.status == 415


def test_8_3_the_handling_of_the_parts_of_an_alternative_should_be_ignored() -> None:
    inner = multipart(
        part(b"application/x", b"", b"Content-Disposition: session;handling=required"),
        part(b"application/sdp", SDP, b"Content-Disposition: session;handling=required"),
        boundary=b"inner",
    )
    assert contents(multipart(part(b"multipart/alternative;boundary=inner", inner))).unsupported == ()


def test_9_4_a_part_by_reference_without_a_reference_must_not_be_processed() -> None:
    by_reference = part(b"application/sdp", SDP, b"Content-Disposition: by-reference;handling=optional")
    found = contents(multipart(by_reference, part(b"application/rs-metadata", XML)))
    assert found.description is None
    assert found.unsupported == ()


def test_e10_a_missing_final_boundary_loses_nothing() -> None:
    found = corpus("no-final-boundary")
    assert found.description is not None
    assert found.description.body == (CORPUS.parent / "sdp" / "srtp.sdp").read_bytes()
    assert found.metadata is not None
