"""Finding description and metadata among the parts, and parts that must be understood."""

from __future__ import annotations

import pytest

from signaling.siprec import Contents, find_contents, parse_body
from signaling.siprec.bodies import BodyDoubt
from signaling.siprec.contents import ContentDoubt
from tests.unit.signaling.siprec.test_bodies import MIXED, SDP, USUAL, XML, multipart, part


def contents(*parts: bytes) -> Contents:
    return find_contents(parse_body(MIXED, multipart(*parts)))


def test_the_usual_two_parts_in_either_order() -> None:
    for parts in (
        (part(b"application/sdp", SDP), part(b"application/rs-metadata+xml", XML)),
        (part(b"application/rs-metadata", XML), part(b"application/sdp", SDP)),
    ):
        found = contents(*parts)
        assert found.description is not None
        assert found.metadata is not None
        assert (found.description.body, found.metadata.body) == (SDP, XML)
        assert (found.others, found.unsupported, found.doubts) == ((), (), ())


def test_a_body_that_is_metadata_only_is_never_taken_for_sdp() -> None:
    found = find_contents(parse_body("application/rs-metadata", XML, "recording-session"))
    assert found.description is None
    assert found.metadata is not None


def test_an_empty_body_holds_nothing() -> None:
    assert find_contents(parse_body(None, b"")) == Contents()


def test_doubts_about_the_body_are_passed_on() -> None:
    assert find_contents(parse_body("multipart/mixed", USUAL)).doubts == (BodyDoubt.NO_BOUNDARY,)


@pytest.mark.parametrize("content_type", [b"application/ +xml", b"application/xml", b"text/xml", b"application/"])
def test_metadata_with_a_damaged_type_is_recognised_by_its_content(content_type: bytes) -> None:
    found = contents(part(content_type, XML))
    assert found.metadata is not None
    assert found.doubts == (ContentDoubt.DAMAGED_TYPE,)


def test_other_xml_is_not_taken_for_metadata() -> None:
    found = contents(part(b"application/xml", b"<presence/>"))
    assert found.metadata is None
    assert len(found.unsupported) == 1


@pytest.mark.parametrize(
    ("fields", "unsupported", "others"),
    [
        ((), 1, 0),
        ((b"Content-Disposition: signal",), 1, 0),
        ((b"Content-Disposition: signal;handling=required",), 1, 0),
        ((b"Content-Disposition: signal;handling=optional",), 0, 1),
    ],
)
def test_an_unknown_part_must_be_understood_unless_marked_optional(
    fields: tuple[bytes, ...], unsupported: int, others: int
) -> None:
    found = contents(part(b"application/sdp", SDP), part(b"application/gtd", b"GCI,00\r\n", *fields))
    assert (len(found.unsupported), len(found.others)) == (unsupported, others)


def test_a_part_to_be_handled_by_reference_is_not_processed() -> None:
    found = contents(part(b"application/sdp", SDP, b"Content-Disposition: by-reference"))
    assert found.description is None
    assert len(found.unsupported) == 1


def test_of_alternatives_the_last_one_understood_counts_and_the_others_need_not_be() -> None:
    inner = multipart(
        part(b"text/plain", b"words"),
        part(b"application/sdp", SDP),
        part(b"application/sdp", SDP + b"a=richer\r\n"),
        part(b"application/newer", b"x"),
        boundary=b"inner",
    )
    found = contents(part(b"multipart/alternative;boundary=inner", inner), part(b"application/rs-metadata", XML))
    assert found.description is not None
    assert found.description.body == SDP + b"a=richer\r\n"
    assert found.unsupported == ()
    assert found.doubts == ()


def test_alternatives_of_which_none_is_understood_are_unsupported() -> None:
    inner = multipart(part(b"text/plain", b"words"), part(b"text/html", b"<p>"), boundary=b"inner")
    assert len(contents(part(b"multipart/alternative;boundary=inner", inner)).unsupported) == 2


def test_of_several_descriptions_the_first_one_for_the_session_counts() -> None:
    other = SDP.replace(b"192.0.2.1", b"192.0.2.2")
    found = contents(
        part(b"application/sdp", other, b"Content-Disposition: early-session"),
        part(b"application/sdp", SDP, b"Content-Disposition: session"),
        part(b"application/sdp", other),
    )
    assert found.description is not None
    assert found.description.body == SDP
    assert found.doubts == (ContentDoubt.SEVERAL_DESCRIPTIONS,)


def test_a_description_with_an_odd_disposition_is_better_than_none() -> None:
    found = contents(part(b"application/sdp", SDP, b"Content-Disposition: signal"))
    assert found.description is not None


def test_of_several_documents_the_first_one_counts() -> None:
    found = contents(part(b"application/rs-metadata", XML), part(b"application/rs-metadata", XML + b" "))
    assert found.metadata is not None
    assert found.metadata.body == XML
    assert found.doubts == (ContentDoubt.SEVERAL_DOCUMENTS,)
