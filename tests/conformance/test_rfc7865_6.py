"""RFC 7865 §6, the classes of recording metadata, and the examples of §8 (checklist S9, S18 to S20, S23)."""

from __future__ import annotations

from pathlib import Path

from signaling.siprec import RecordingSession, apply_update, bind_streams, parse_metadata
from signaling.siprec.model import Doubt, NameId
from tests.unit.signaling.siprec.samples import document, partial

CORPUS = Path(__file__).parent.parent / "corpus" / "rs-metadata"


def state_of(*names: str) -> RecordingSession:
    state: RecordingSession | None = None
    for name in names:
        state = apply_update(state, parse_metadata((CORPUS / f"{name}.xml").read_bytes()))
    assert state is not None
    return state


def test_6_1_2_zero_communication_sessions_and_groups_are_allowed() -> None:
    """A persistent recording session is there before any call."""
    state = state_of("persistent")
    assert (state.sessions, state.groups, state.streams, state.doubts) == ((), (), (), ())


def test_6_2_a_group_is_kept_with_its_times_and_extensions() -> None:
    group = state_of("snapshot").groups[0]
    assert group.group_id == "Z3JvdXA="
    assert group.associate_time is not None
    assert group.extensions[0].namespace == "urn:ietf:params:xml:ns:callcenter"
    assert (group.extensions[0].name, group.extensions[0].path) == ("supervisor", ("call-center",))


def test_6_3_1_several_session_ids_may_be_present() -> None:
    read = document('<session session_id="s"><sipSessionID>a</sipSessionID><sipSessionID>b</sipSessionID></session>')
    assert read.sessions[0].sip_session_ids == ("a", "b")


def test_6_3_1_the_default_protocol_of_a_reason_is_sip() -> None:
    read = document('<session session_id="s"><reason cause="200">Call completed elsewhere</reason></session>')
    assert (read.sessions[0].reasons[0].protocol, read.sessions[0].reasons[0].cause) == ("SIP", "200")


def test_6_5_1_a_participant_may_have_several_names_and_addresses() -> None:
    read = document(
        '<participant participant_id="p"><nameID aor="sip:a@example.com"><name xml:lang="en">A</name></nameID>'
        '<nameID aor="tel:+15550100"/></participant>'
    )
    assert read.participants[0].name_ids == (NameId("sip:a@example.com", "A", "en"), NameId("tel:+15550100"))


def test_6_6_a_participant_may_be_associated_and_dissociated_several_times() -> None:
    def association(begin: str, end: str) -> str:
        return (
            '<participantsessionassoc participant_id="p" session_id="s">'
            f"<associate-time>{begin}</associate-time><disassociate-time>{end}</disassociate-time></participantsessionassoc>"
        )

    first = association("2030-01-15T09:00:00Z", "2030-01-15T09:10:00Z")
    second = association("2030-01-15T09:20:00Z", "2030-01-15T09:30:00Z")
    state = apply_update(apply_update(None, document(first)), partial(second))
    assert len(state.participant_cs_associations) == 2


def test_6_6_1_capabilities_of_a_participant_are_kept() -> None:
    assert state_of("snapshot").participant_cs_associations[0].params == (("isfocus", "true"),)


def test_s9_6_7_1_the_label_of_a_stream_references_an_m_line() -> None:
    bindings = bind_streams(state_of("snapshot"), ["97", "96"])
    assert [[sender.aor for sender in binding.senders] for binding in bindings] == [
        ["tel:+15550100"],
        ["sip:alice@example.com"],
    ]


def test_s20_6_7_1_metadata_can_include_streams_that_are_not_delivered() -> None:
    bindings = bind_streams(state_of("snapshot"), ["96"])
    assert [binding.doubts for binding in bindings] == [()]


def test_s19_6_8_1_without_send_and_recv_the_participant_neither_contributes_nor_receives() -> None:
    update = partial('<participantstreamassoc participant_id="cGFydHkx"/>')
    bindings = bind_streams(apply_update(state_of("snapshot"), update), ["96", "97"])
    assert [len(binding.senders) for binding in bindings] == [0, 1]
    assert [len(binding.receivers) for binding in bindings] == [1, 0]


def test_6_8_1_there_may_be_multiple_send_and_recv_elements() -> None:
    read = document('<participantstreamassoc participant_id="p"><send>a</send><send>b</send></participantstreamassoc>')
    assert read.participant_stream_associations[0].send == ("a", "b")


def test_s18_6_10_one_identifier_for_two_elements_is_an_error_and_that_part_is_ignored() -> None:
    state = apply_update(state_of("snapshot"), partial('<stream stream_id="cGFydHkx"><label>98</label></stream>'))
    assert [stream.label for stream in state.streams] == ["96", "97"]
    assert [doubted.doubt for doubted in state.doubts] == [Doubt.IDENTIFIER_CONFLICT]


def test_s23_9_extension_elements_of_foreign_namespaces_are_kept() -> None:
    extensions = state_of("snapshot").sessions[0].extensions
    assert [(extension.name, extension.text) for extension in extensions] == [
        ("structure", "FOO!"),
        ("whatever", "bar"),
    ]
    assert {extension.namespace for extension in extensions} == {"http://example.com/my"}


def test_8_2_a_partial_update_that_carries_the_disassociation_of_a_participant() -> None:
    state = state_of("snapshot", "partial")
    association = state.participant_cs_associations[0]
    assert association.associate_time is not None
    assert association.disassociate_time is not None
    assert association.disassociate_time.text == "2030-01-15T09:40:00Z"
    assert len(state.participants) == 2
    assert state.doubts == ()
