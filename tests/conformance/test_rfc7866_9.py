"""RFC 7866 §9, metadata (checklist S7, S9, S14 to S18; parser policy 2, 8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from signaling.siprec import (
    MetadataError,
    RecordingSession,
    apply_update,
    find_contents,
    parse_body,
    parse_metadata,
    snapshot_request,
)
from signaling.siprec.media_types import METADATA, METADATA_XML, mirror
from signaling.siprec.model import Doubt
from signaling.siprec.snapshot_request import DISPOSITION
from tests.unit.signaling.siprec.samples import SNAPSHOT, document, partial
from tests.unit.signaling.siprec.test_bodies import SDP, multipart, part

CORPUS = Path(__file__).parent.parent / "corpus" / "rs-metadata"


def started() -> RecordingSession:
    return apply_update(None, parse_metadata(SNAPSHOT.encode()))


@pytest.mark.parametrize(
    "content_type", ["application/rs-metadata", "application/rs-metadata+xml", "APPLICATION/RS-METADATA"]
)
def test_s7_9_1_an_offer_and_metadata_come_together_as_multipart_mixed(content_type: str) -> None:
    """Figure 12; both content types occur."""
    raw = multipart(
        part(b"application/sdp", SDP),
        part(content_type.encode(), SNAPSHOT.encode(), b"Content-Disposition: recording-session"),
    )
    found = find_contents(parse_body("multipart/mixed;boundary=foobar", raw))
    assert found.description is not None
    assert found.metadata is not None
    assert found.metadata.body == SNAPSHOT.encode()


def test_s7_9_1_metadata_alone_needs_no_multipart_container() -> None:
    found = find_contents(parse_body("application/rs-metadata", SNAPSHOT.encode(), "recording-session"))
    assert found.metadata is not None
    assert found.description is None


def test_s7_9_1_nor_does_an_offer_alone() -> None:
    found = find_contents(parse_body("application/sdp", SDP))
    assert (found.description is None, found.metadata) == (False, None)


def test_s14_9_2_the_srs_keeps_track_of_the_sequence_of_updates() -> None:
    state = started()
    for name in ("First", "Second"):
        update = (
            f'<participant participant_id="cGFydHkx"><nameID aor="sip:a"><name>{name}</name></nameID></participant>'
        )
        state = apply_update(state, partial(update))
    assert state.participants[0].name == "Second"
    assert len(state.participants) == 2


def test_s14_9_1_a_partial_update_without_a_snapshot_asks_for_one() -> None:
    state = apply_update(None, partial('<session session_id="s"/>'))
    assert not state.snapshot_seen
    assert [doubted.doubt for doubted in state.doubts] == [Doubt.PARTIAL_WITHOUT_SNAPSHOT]


def test_s16_9_2_after_a_snapshot_nothing_depends_on_earlier_metadata() -> None:
    later = apply_update(started(), document('<session session_id="new"/>'))
    assert later == apply_update(None, document('<session session_id="new"/>'))


def test_s15_9_2_the_request_for_a_snapshot() -> None:
    """Figure 13: the document; UPDATE, and no SDP beside it, are the user agent's part."""
    assert DISPOSITION == "recording-session"
    assert snapshot_request("SRS internal error").startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    assert b"<requestsnapshot" in snapshot_request("SRS internal error")


@pytest.mark.parametrize(
    ("received", "sent"), [(None, METADATA_XML), (METADATA, METADATA), (METADATA_XML, METADATA_XML)]
)
def test_s15_the_type_that_the_peer_used_is_used_towards_it(received: str | None, sent: str) -> None:
    assert mirror(received) == sent


def test_s17_9_2_the_same_identifier_from_two_clients_must_not_be_considered_an_error() -> None:
    """Two clients record one call: each has its own state, and neither doubts the common identifier."""
    first = apply_update(None, document('<session session_id="common"/>'))
    second = apply_update(None, document('<session session_id="common"/><participant participant_id="p"/>'))
    assert (first.doubts, second.doubts) == ((), ())


def test_s17_9_2_a_reference_to_an_element_that_another_client_defines_is_kept() -> None:
    state = apply_update(None, document('<participantsessionassoc participant_id="p" session_id="elsewhere"/>'))
    assert state.participant_cs_associations[0].session_id == "elsewhere"


def test_s18_one_identifier_for_two_different_elements_is_an_error_in_that_part_only() -> None:
    state = apply_update(
        None, document('<session session_id="x"/><participant participant_id="x"/><stream stream_id="t"/>')
    )
    assert [session.session_id for session in state.sessions] == ["x"]
    assert state.participants == ()
    assert [stream.stream_id for stream in state.streams] == ["t"]


def test_s35_9_2_an_error_in_the_metadata_never_costs_the_recording() -> None:
    """The SRS could end the session; it records and flags instead: the state before stays in force."""
    state = started()
    with pytest.raises(MetadataError):
        parse_metadata(b"\x00 not a document")
    broken = apply_update(state, parse_metadata((CORPUS / "broken.xml").read_bytes()))
    assert broken.sessions
    assert Doubt.NOT_WELL_FORMED in {doubted.doubt for doubted in broken.doubts}
    assert state == started()


def test_metadata_of_a_refused_offer_is_not_kept() -> None:
    """`apply_update` returns a new state and leaves the old one alone, so that nothing has to be undone."""
    before = started()
    refused = apply_update(
        before, partial('<participant participant_id="cGFydHkx"><nameID aor="sip:x"/></participant>')
    )
    assert refused != before
    assert before == started()
