"""Adding documents up: snapshots replace, partial updates never lose anything silently."""

from __future__ import annotations

import msgspec

from signaling.siprec import RecordingSession, apply_update, parse_metadata
from signaling.siprec.model import (
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
    RecordingMetadata,
)
from signaling.siprec.update import MAX_DOUBTS, MAX_ELEMENTS
from tests.unit.signaling.siprec.samples import SNAPSHOT, document, partial

FIRST = "2030-01-15T09:30:00Z"
LATER = "2030-01-15T09:40:00Z"
LATEST = "2030-01-15T09:50:00Z"


def started() -> RecordingSession:
    return apply_update(None, parse_metadata(SNAPSHOT.encode()))


def content(state: RecordingSession) -> RecordingSession:
    return msgspec.structs.replace(state, doubts=())


def test_a_snapshot_becomes_the_state() -> None:
    metadata = parse_metadata(SNAPSHOT.encode())
    state = apply_update(None, metadata)
    assert state.snapshot_seen
    assert state.doubts == ()
    for field in ("groups", "sessions", "participants", "streams", "participant_stream_associations", "extensions"):
        assert getattr(state, field) == getattr(metadata, field)


def test_a_snapshot_replaces_everything_also_the_doubts() -> None:
    before = apply_update(None, document('<session session_id=""/><participant participant_id="old"/>'))
    assert before.doubts
    assert apply_update(before, parse_metadata(SNAPSHOT.encode())) == started()


def test_an_empty_partial_update_changes_nothing() -> None:
    assert apply_update(started(), partial("")) == started()


def test_the_old_state_stays_as_it_was() -> None:
    before = started()
    apply_update(before, partial('<participant participant_id="cGFydHkx"><nameID aor="x"/></participant>'))
    assert before == started()


def test_a_partial_update_changes_what_it_names_and_keeps_the_rest() -> None:
    after = apply_update(
        started(),
        partial(
            '<participant participant_id="cGFydHkx"><nameID aor="sip:carol@example.com"/></participant>'
            f'<session session_id="c2Vzc2lvbg=="><stop-time>{LATER}</stop-time></session>'
        ),
    )
    assert [participant.aor for participant in after.participants] == ["sip:carol@example.com", "sip:bob@example.com"]
    assert after.sessions[0].stop_time is not None
    assert after.sessions[0].start_time == started().sessions[0].start_time
    assert after.sessions[0].sip_session_ids == started().sessions[0].sip_session_ids
    assert after.sessions[0].group_ref == "Z3JvdXA="
    assert after.streams == started().streams
    assert after.participant_stream_associations == started().participant_stream_associations


def test_a_bare_mention_of_an_element_loses_nothing_of_it() -> None:
    mention = partial(
        '<group group_id="Z3JvdXA="/><session session_id="c2Vzc2lvbg=="/><participant participant_id="cGFydHky"/>'
        '<stream stream_id="c3RyZWFtMQ=="/>'
    )
    assert apply_update(started(), mention) == started()


def test_new_elements_are_added() -> None:
    after = apply_update(
        started(),
        partial(
            '<group group_id="g2"/><session session_id="s2"/><participant participant_id="p3"/>'
            '<stream stream_id="t3" session_id="s2"><label>98</label></stream>'
        ),
    )
    assert [group.group_id for group in after.groups] == ["Z3JvdXA=", "g2"]
    assert [session.session_id for session in after.sessions] == ["c2Vzc2lvbg==", "s2"]
    assert [participant.participant_id for participant in after.participants] == ["cGFydHkx", "cGFydHky", "p3"]
    assert [stream.label for stream in after.streams] == ["96", "97", "98"]


def test_updates_are_applied_in_order() -> None:
    state = started()
    for name in ("One", "Two", "Three"):
        state = apply_update(
            state,
            partial(
                f'<participant participant_id="cGFydHkx"><nameID aor="a"><name>{name}</name></nameID></participant>'
            ),
        )
    assert state.participants[0].name == "Three"


def test_session_ids_and_reasons_are_collected() -> None:
    state = apply_update(
        started(),
        partial('<session session_id="c2Vzc2lvbg=="><sipSessionID>b</sipSessionID><reason cause="200"/></session>'),
    )
    state = apply_update(
        state,
        partial('<session session_id="c2Vzc2lvbg=="><sipSessionID>b</sipSessionID><reason cause="486"/></session>'),
    )
    assert state.sessions[0].sip_session_ids[1:] == ("b",)
    assert [reason.cause for reason in state.sessions[0].reasons] == ["200", "486"]


def test_what_a_participant_sends_is_replaced_as_a_whole_and_only_for_that_participant() -> None:
    after = apply_update(started(), partial('<participantstreamassoc participant_id="cGFydHkx"/>'))
    assert after.participant_stream_associations == (
        ParticipantStreamAssociation(participant_id="cGFydHky", send=("c3RyZWFtMg==",), recv=("c3RyZWFtMQ==",)),
        ParticipantStreamAssociation(participant_id="cGFydHkx"),
    )


def test_leaving_closes_the_association_and_coming_back_opens_another() -> None:
    def association(begin: str, end: str) -> RecordingMetadata:
        inner = (f"<associate-time>{begin}</associate-time>" if begin else "") + (
            f"<disassociate-time>{end}</disassociate-time>" if end else ""
        )
        return partial(
            f'<participantsessionassoc participant_id="cGFydHkx" session_id="c2Vzc2lvbg==">{inner}'
            "</participantsessionassoc>"
        )

    def periods(state: RecordingSession) -> list[tuple[str, str]]:
        return [
            (a.associate_time.text if a.associate_time else "", a.disassociate_time.text if a.disassociate_time else "")
            for a in state.participant_cs_associations
            if a.participant_id == "cGFydHkx"
        ]

    left = apply_update(started(), association("", LATER))
    assert periods(left) == [(FIRST, LATER)]
    assert periods(apply_update(left, association(FIRST, LATER))) == [(FIRST, LATER)]
    back = apply_update(left, association(LATEST, ""))
    assert periods(back) == [(FIRST, LATER), (LATEST, "")]
    assert periods(apply_update(back, association("", LATEST))) == [(FIRST, LATER), (LATEST, LATEST)]


def test_the_session_leaves_the_recording() -> None:
    after = apply_update(
        started(),
        partial(
            f'<sessionrecordingassoc session_id="c2Vzc2lvbg=="><disassociate-time>{LATER}</disassociate-time>'
            "</sessionrecordingassoc>"
        ),
    )
    assert [(a.associate_time is not None, a.disassociate_time is not None) for a in after.cs_rs_associations] == [
        (True, True)
    ]


def test_vendor_data_is_kept_and_what_is_repeated_has_the_new_value() -> None:
    def extension(name: str, value: str) -> str:
        return f'<session session_id="c2Vzc2lvbg=="><v:{name} xmlns:v="urn:v">{value}</v:{name}></session>'

    state = apply_update(started(), partial(extension("a", "1")))
    state = apply_update(state, partial(extension("b", "2")))
    state = apply_update(state, partial(extension("a", "3")))
    assert state.sessions[0].extensions == (Extension("urn:v", "b", "2"), Extension("urn:v", "a", "3"))


def test_a_partial_update_without_a_snapshot_is_kept_and_doubted() -> None:
    state = apply_update(None, partial('<participant participant_id="p"/>'))
    assert state.participants == (Participant(participant_id="p"),)
    assert state.doubts == (Doubted(Doubt.PARTIAL_WITHOUT_SNAPSHOT),)
    assert not state.snapshot_seen
    assert apply_update(state, parse_metadata(SNAPSHOT.encode())).snapshot_seen


def test_doubts_add_up_without_repetition_and_without_end() -> None:
    state = started()
    for _ in range(3):
        state = apply_update(state, partial('<session session_id=""/>'))
    assert state.doubts == (Doubted(Doubt.EMPTY_IDENTIFIER, "CommunicationSession"),)
    many = "".join(f'<participantstreamassoc participant_id="x{n}"/>' for n in range(MAX_DOUBTS + 10))
    assert len(apply_update(state, partial(many)).doubts) == MAX_DOUBTS


def test_nameless_elements_are_not_multiplied_by_repetition() -> None:
    update = partial('<session session_id=""/><participant participant_id=""><nameID aor="a"/></participant>')
    state = apply_update(apply_update(started(), update), update)
    assert len(state.sessions) == 2
    assert len(state.participants) == 3


class TestConflicts:
    def test_an_identifier_of_another_kind_of_element_is_ignored(self) -> None:
        update = partial(
            '<group group_id="cGFydHkx"/><session session_id="c3RyZWFtMQ=="/>'
            '<participant participant_id="c2Vzc2lvbg=="/>'
            '<stream stream_id="cGFydHkx"/><stream stream_id="t3"/>'
        )
        after = apply_update(started(), update)
        assert [stream.stream_id for stream in after.streams] == ["c3RyZWFtMQ==", "c3RyZWFtMg==", "t3"]
        assert (after.groups, after.sessions, after.participants) == (
            started().groups, started().sessions, started().participants,
        )  # fmt: skip
        assert {doubted.doubt for doubted in after.doubts} == {Doubt.IDENTIFIER_CONFLICT}

    def test_after_a_snapshot_an_identifier_may_mean_something_else(self) -> None:
        after = apply_update(started(), document('<stream stream_id="cGFydHkx"/>'))
        assert after.doubts == ()
        assert after.streams == (MediaStream(stream_id="cGFydHkx"),)


class TestLabels:
    def test_a_label_that_goes_to_another_stream_leaves_the_first_one(self) -> None:
        after = apply_update(started(), partial('<stream stream_id="t3"><label>96</label></stream>'))
        assert [(stream.stream_id, stream.label) for stream in after.streams] == [
            ("c3RyZWFtMQ==", ""),
            ("c3RyZWFtMg==", "97"),
            ("t3", "96"),
        ]
        assert after.doubts == (Doubted(Doubt.LABEL_MOVED, "96"),)

    def test_a_stream_may_change_its_label(self) -> None:
        after = apply_update(started(), partial('<stream stream_id="c3RyZWFtMQ=="><label>5</label></stream>'))
        assert [stream.label for stream in after.streams] == ["5", "97"]
        assert after.doubts == ()

    def test_streams_without_identifier_are_known_by_their_label_and_get_their_identifier_later(self) -> None:
        state = apply_update(
            None,
            document('<stream stream_id=""><label>1</label></stream><stream stream_id=""><label>2</label></stream>'),
        )
        again = apply_update(state, partial('<stream stream_id="" session_id="s"><label>1</label></stream>'))
        assert [(stream.session_id, stream.label) for stream in again.streams] == [("s", "1"), ("", "2")]
        named = apply_update(again, partial('<stream stream_id="t1"><label>1</label></stream>'))
        assert [(stream.stream_id, stream.label) for stream in named.streams] == [("", "2"), ("t1", "1")]
        assert Doubt.LABEL_MOVED not in {doubted.doubt for doubted in named.doubts}


def test_references_that_lead_nowhere_are_kept_and_doubted() -> None:
    state = apply_update(
        None,
        document(
            '<participantsessionassoc participant_id="p" session_id="s"/>'
            '<participantstreamassoc participant_id="q"><send>t</send><recv>u</recv></participantstreamassoc>'
        ),
    )
    assert state.participant_cs_associations == (ParticipantCsAssociation(participant_id="p", session_id="s"),)
    assert state.doubts == (
        Doubted(Doubt.UNKNOWN_PARTICIPANT, "p"),
        Doubted(Doubt.UNKNOWN_SESSION, "s"),
        Doubted(Doubt.UNKNOWN_PARTICIPANT, "q"),
        Doubted(Doubt.UNKNOWN_STREAM, "t"),
        Doubted(Doubt.UNKNOWN_STREAM, "u"),
    )


def test_a_session_cannot_grow_without_end() -> None:
    base = msgspec.structs.replace(
        started(),
        participants=tuple([Participant(participant_id=str(n), name_ids=(NameId("a"),)) for n in range(MAX_ELEMENTS)]),
        cs_rs_associations=(CsRsAssociation(session_id="s", associate_time=Moment(FIRST)),),
    )
    after = apply_update(base, partial('<participant participant_id="new"/>'))
    assert len(after.participants) == MAX_ELEMENTS
    assert after.participants[-1].participant_id == "new"
    assert after.participants[0].participant_id == "1"
    assert Doubted(Doubt.TRUNCATED) in after.doubts


def test_the_state_survives_being_written_down() -> None:
    state = apply_update(started(), partial('<participantstreamassoc participant_id="nobody"/>'))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=RecordingSession) == state
    assert content(state) != state
