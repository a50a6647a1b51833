"""Reading metadata: the RFC's form, the drafts', vendor data, and what is wrong with it."""

from __future__ import annotations

import pytest

from signaling.siprec import MetadataError, parse_metadata
from signaling.siprec.metadata import MAX_DEPTH
from signaling.siprec.model import (
    CommunicationSession,
    CsGroup,
    CsRsAssociation,
    Doubt,
    Doubted,
    Extension,
    MediaStream,
    Moment,
    NameId,
    Participant,
    ParticipantCsAssociation,
    ParticipantStreamAssociation,
    Reason,
    RecordingMetadata,
)
from tests.unit.signaling.siprec.samples import SNAPSHOT, document

HALF_PAST_NINE = Moment("2030-01-15T09:30:00Z", 1894699800000)


def test_a_snapshot_in_the_form_of_the_rfc() -> None:
    assert parse_metadata(SNAPSHOT.encode()) == RecordingMetadata(
        namespace="urn:ietf:params:xml:ns:recording:1",
        groups=(CsGroup(group_id="Z3JvdXA=", associate_time=HALF_PAST_NINE),),
        sessions=(
            CommunicationSession(
                session_id="c2Vzc2lvbg==",
                group_ref="Z3JvdXA=",
                sip_session_ids=("0123456789abcdef0123456789abcdef;remote=fedcba9876543210fedcba9876543210",),
                start_time=HALF_PAST_NINE,
            ),
        ),
        participants=(
            Participant(participant_id="cGFydHkx", name_ids=(NameId("sip:alice@example.com", "Alice", "en"),)),
            Participant(
                participant_id="cGFydHky", name_ids=(NameId("sip:bob@example.com", "Bob"), NameId("tel:+15550100"))
            ),
        ),
        streams=(
            MediaStream(stream_id="c3RyZWFtMQ==", session_id="c2Vzc2lvbg==", label="96"),
            MediaStream(stream_id="c3RyZWFtMg==", session_id="c2Vzc2lvbg==", label="97"),
        ),
        cs_rs_associations=(CsRsAssociation(session_id="c2Vzc2lvbg==", associate_time=HALF_PAST_NINE),),
        participant_cs_associations=(
            ParticipantCsAssociation(
                participant_id="cGFydHkx",
                session_id="c2Vzc2lvbg==",
                associate_time=HALF_PAST_NINE,
                params=(("isfocus", "true"),),
            ),
            ParticipantCsAssociation(
                participant_id="cGFydHky", session_id="c2Vzc2lvbg==", associate_time=HALF_PAST_NINE
            ),
        ),
        participant_stream_associations=(
            ParticipantStreamAssociation(participant_id="cGFydHkx", send=("c3RyZWFtMQ==",), recv=("c3RyZWFtMg==",)),
            ParticipantStreamAssociation(participant_id="cGFydHky", send=("c3RyZWFtMg==",), recv=("c3RyZWFtMQ==",)),
        ),
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('xmlns="urn:ietf:params:xml:ns:recording:1"', 'xmlns="urn:ietf:params:xml:ns:recording"'),
        ('xmlns="urn:ietf:params:xml:ns:recording:1"', 'xmlns="urn:ietf:params:xml:ns:siprec"'),
        ('xmlns="urn:ietf:params:xml:ns:recording:1"', ""),
        ("\n", "\r\n"),
        ("nameID", "nameid"),
        ("participantstreamassoc", "participantStreamAssoc"),
        ("datamode", "dataMode"),
        ("<datamode>complete</datamode>", ""),
        ("<datamode>complete</datamode>", "<dataMode> Complete </dataMode>"),
        ('session_id="c2Vzc2lvbg=="', 'session_id=" c2Vzc2lvbg==\n"'),
        ("participant_id=", "Participant_ID="),
        ("<send>c3RyZWFtMQ==</send>", "<send>\n c3RyZWFtMQ== </send>"),
    ],
)
def test_variants_that_mean_the_same(before: str, after: str) -> None:
    assert before in SNAPSHOT
    read = parse_metadata(SNAPSHOT.replace(before, after).encode())
    expected = parse_metadata(SNAPSHOT.encode())
    for field in ("complete", "sessions", "participants", "streams", "participant_stream_associations", "doubts"):
        assert getattr(read, field) == getattr(expected, field), field


def test_the_form_of_the_drafts() -> None:
    read = parse_metadata(
        b"""<recording_metadata xmlns="urn:ietf:params:xml:ns:siprec"><dataMode>complete</dataMode>
        <recording id="urn:uuid:r"><requestor>SRC</requestor></recording>
        <group id="urn:uuid:g"><initiator>sip:a@example.com</initiator></group>
        <session id="urn:uuid:s" group="urn:uuid:g"><associate-time>2030-01-15T09:30:00Z</associate-time></session>
        <participant id="urn:uuid:p" session="urn:uuid:s"><aor>sip:a@example.com</aor>
          <send><id>urn:uuid:t</id></send><recv/><associate-time>2030-01-15T09:30:00Z</associate-time></participant>
        <stream id="urn:uuid:t" session="urn:uuid:s"><label> 1 </label><mode>Mixed</mode></stream>
        <extensiondata id="e" parent="urn:uuid:t"><codec>PCMU</codec></extensiondata>
        <extensiondata parent="urn:uuid:nobody"><x>1</x></extensiondata>
        <extensiondata><y>2</y></extensiondata></recording_metadata>"""
    )
    namespace = "urn:ietf:params:xml:ns:siprec"
    assert (read.root, read.recording_id, read.doubts) == ("recording_metadata", "urn:uuid:r", ())
    assert read.groups[0].extensions == (Extension(namespace, "initiator", "sip:a@example.com"),)
    assert read.sessions == (CommunicationSession(session_id="urn:uuid:s", group_ref="urn:uuid:g"),)
    assert read.cs_rs_associations == (CsRsAssociation(session_id="urn:uuid:s", associate_time=HALF_PAST_NINE),)
    assert read.participants == (Participant(participant_id="urn:uuid:p", name_ids=(NameId("sip:a@example.com"),)),)
    assert read.participant_cs_associations == (
        ParticipantCsAssociation(participant_id="urn:uuid:p", session_id="urn:uuid:s", associate_time=HALF_PAST_NINE),
    )
    assert read.participant_stream_associations == (
        ParticipantStreamAssociation(participant_id="urn:uuid:p", send=("urn:uuid:t",), associate_time=HALF_PAST_NINE),
    )
    assert read.streams == (
        MediaStream(
            stream_id="urn:uuid:t",
            session_id="urn:uuid:s",
            label="1",
            mode="mixed",
            extensions=(Extension(namespace, "codec", "PCMU", (), ("extensiondata",)),),
        ),
    )
    assert read.extensions == (
        Extension(namespace, "requestor", "SRC", (), ("recording",)),
        Extension(namespace, "y", "2", (), ("extensiondata",)),
        Extension(namespace, "x", "1", (), ("extensiondata",)),
    )


def test_a_participant_without_send_and_receive_elements_says_nothing_about_streams() -> None:
    assert document('<participant id="p" session="s"/>').participant_stream_associations == ()


def test_a_partial_update() -> None:
    assert not document("", mode="partial").complete
    assert not document("", mode="PARTIAL").complete


def test_an_unknown_mode_means_complete_and_is_doubted() -> None:
    read = document("", mode="delta")
    assert read.complete
    assert read.doubts == (Doubted(Doubt.BAD_DATA_MODE, "delta"),)


@pytest.mark.parametrize(
    ("text", "unix_ms", "doubts"),
    [
        ("2030-01-15T09:30:00Z", 1894699800000, []),
        ("2030-01-15t09:30:00z", 1894699800000, []),
        ("2030-01-15T11:30:00+02:00", 1894699800000, []),
        ("2030-01-15T11:30:00+0200", 1894699800000, []),
        ("2030-01-15 09:30:00.125Z", 1894699800125, []),
        ("2030-01-15T09:30:00.1259999Z", 1894699800125, []),
        ("1970-01-01T00:00:01Z", 1000, []),
        ("1970-01-01T00:00:00+01:00", -3600000, []),
        ("2030-01-15T09:30:00", None, [Doubt.NO_ZONE]),
        ("yesterday", None, [Doubt.BAD_TIME]),
        ("2030-13-15T09:30:00Z", None, [Doubt.BAD_TIME]),
    ],
)
def test_times(text: str, unix_ms: int | None, doubts: list[Doubt]) -> None:
    read = document(f'<session session_id="s"><start-time> {text}\n</start-time></session>')
    moment = read.sessions[0].start_time
    assert moment is not None
    assert (moment.text, moment.unix_ms) == (text, unix_ms)
    assert moment.zone_known == (doubts != [Doubt.NO_ZONE])
    assert read.doubts == tuple([Doubted(doubt, "start-time") for doubt in doubts])


def test_a_time_without_text_is_none_and_a_monstrous_one_is_cut() -> None:
    read = document(f'<session session_id="s"><start-time/><stop-time>{"9" * 500}</stop-time></session>')
    assert read.sessions[0].start_time is None
    assert read.sessions[0].stop_time == Moment("9" * 64)
    assert read.doubts == (Doubted(Doubt.BAD_TIME, "stop-time"),)


def test_reasons() -> None:
    read = document(
        '<session session_id="s"><reason cause="200" protocol="Q.850">Normal</reason><reason/><stop-time/></session>'
    )
    assert read.sessions[0].reasons == (Reason("Normal", "Q.850", "200"), Reason("", "SIP", ""))


def test_vendor_data_is_kept_flat_with_namespace_name_text_attributes_and_path() -> None:
    read = document(
        '<session session_id="s"><v:box xmlns:v="urn:v" kind="x"><v:one>1</v:one><v:two a="2"/></v:box>'
        "<label>not a stream's</label></session>"
    )
    assert read.sessions[0].extensions == (
        Extension("urn:v", "box", "", (("kind", "x"),)),
        Extension("urn:v", "one", "1", (), ("box",)),
        Extension("urn:v", "two", "", (("a", "2"),), ("box",)),
        Extension("urn:ietf:params:xml:ns:recording:1", "label", "not a stream's"),
    )


def test_a_foreign_element_with_a_known_name_is_vendor_data() -> None:
    read = document('<stream stream_id="t"><label>1</label><v:label xmlns:v="urn:v">2</v:label></stream>')
    assert read.streams[0].label == "1"
    assert read.streams[0].extensions == (Extension("urn:v", "label", "2"),)


def test_vendor_data_is_followed_to_a_limited_depth() -> None:
    deep = "<v>" * (MAX_DEPTH + 1) + "x" + "</v>" * (MAX_DEPTH + 1)
    read = document(f'<session session_id="s">{deep}</session>')
    assert read.doubts == (Doubted(Doubt.TRUNCATED, "v"),)
    deep = "<v>" * MAX_DEPTH + "x" + "</v>" * MAX_DEPTH
    assert document(f'<session session_id="s">{deep}</session>').sessions[0].extensions[0].text == "x"


def test_monstrous_names_are_kept_as_vendor_data() -> None:
    name = "n" * 300
    read = document(f'<session session_id="s"><{name}>1</{name}></session><stream stream_id="t" {name}="1"/>')
    assert read.sessions[0].extensions[0].name == name


@pytest.mark.parametrize("root", ["recording", "recording_metadata", "recording-metadata"])
def test_known_roots(root: str) -> None:
    assert parse_metadata(f"<{root}/>".encode()).doubts == ()


def test_the_identifier_of_the_recording_may_stand_on_the_root() -> None:
    assert parse_metadata(b"<recording id='r1'><session id='s'/></recording>").recording_id == "r1"


def test_an_unknown_root_with_known_content_is_doubted() -> None:
    read = parse_metadata(b"<metadata><session id='s'/></metadata>")
    assert read.sessions[0].session_id == "s"
    assert read.doubts == (Doubted(Doubt.UNKNOWN_ROOT, "metadata"),)


@pytest.mark.parametrize(
    "raw", [b"<html><body/></html>", b"<requestsnapshot xmlns='urn:ietf:params:xml:ns:recording:1'/>"]
)
def test_other_documents_are_refused(raw: bytes) -> None:
    with pytest.raises(MetadataError, match="not a recording metadata document"):
        parse_metadata(raw)


def test_an_unknown_namespace_is_doubted_and_taken_for_the_format() -> None:
    read = parse_metadata(SNAPSHOT.replace("urn:ietf:params:xml:ns:recording:1", "urn:example:recording:2").encode())
    assert read.doubts == (Doubted(Doubt.UNKNOWN_NAMESPACE, "urn:example:recording:2"),)
    assert len(read.participants) == 2


class TestIdentifiers:
    def test_one_identifier_for_two_kinds_of_element(self) -> None:
        read = document('<session session_id="x"/><participant participant_id="x"/><stream stream_id="y"/>')
        assert [len(read.sessions), len(read.participants), len(read.streams)] == [1, 0, 1]
        assert read.doubts == (Doubted(Doubt.IDENTIFIER_CONFLICT, "x"),)

    def test_one_identifier_for_two_participants(self) -> None:
        read = document(
            '<participant participant_id="x"><nameID aor="sip:a@example.com"/></participant>'
            '<participant participant_id="x"><nameID aor="sip:b@example.com"/></participant>'
        )
        assert [participant.aor for participant in read.participants] == ["sip:a@example.com"]
        assert read.doubts == (Doubted(Doubt.IDENTIFIER_CONFLICT, "x"),)

    @pytest.mark.parametrize("kind", ["group", "session", "stream"])
    def test_one_identifier_for_two_different_elements_of_a_kind(self, kind: str) -> None:
        read = document(f'<{kind} id="x"/><{kind} id="x"><v:e xmlns:v="urn:v">1</v:e></{kind}>')
        assert len(getattr(read, f"{kind}s")) == 1
        assert read.doubts == (Doubted(Doubt.IDENTIFIER_CONFLICT, "x"),)

    def test_the_same_element_twice_is_no_conflict(self) -> None:
        read = document('<stream stream_id="x"><label>1</label></stream>' * 2)
        assert (len(read.streams), read.doubts) == (1, ())

    def test_the_drafts_repeat_a_participant_for_each_session(self) -> None:
        read = document(
            '<participant id="x" session="s1"><aor>a</aor></participant>'
            '<participant id="x" session="s2"><aor>a</aor></participant>'
        )
        assert len(read.participants) == 1
        assert [association.session_id for association in read.participant_cs_associations] == ["s1", "s2"]
        assert read.doubts == ()

    def test_the_association_of_an_ignored_participant_is_ignored(self) -> None:
        read = document('<stream id="x"/><participant id="x" session="s"><send>t</send></participant>')
        assert len(read.participants) == 1
        assert len(read.streams) == 0
        read = document('<session id="x"/><participant id="x" session="s"><send>t</send></participant>')
        assert (read.participants, read.participant_cs_associations, read.participant_stream_associations) == (
            (),
            (),
            (),
        )
        read = document(
            '<group id="x"/><session id="x"><associate-time>2030-01-15T09:30:00Z</associate-time></session>'
        )
        assert (read.sessions, read.cs_rs_associations) == ((), ())

    def test_empty_identifiers_conflict_with_nothing(self) -> None:
        read = document('<stream stream_id=""><label>1</label></stream><stream><label>2</label></stream>')
        assert [stream.label for stream in read.streams] == ["1", "2"]
        assert read.doubts == (Doubted(Doubt.EMPTY_IDENTIFIER, "MediaStream"),) * 2

    @pytest.mark.parametrize("identifier", ["7+OTCyoxTmqmqyA/1weDAg==", "00ff", "urn:uuid:0-0", "1", "the caller", "ä"])
    def test_identifiers_are_opaque(self, identifier: str) -> None:
        assert document(f'<session session_id="{identifier}"/>').sessions[0].session_id == identifier
