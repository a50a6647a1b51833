"""Binding m-lines to speakers by label."""

from __future__ import annotations

import pytest

from signaling.siprec import apply_update, bind_streams, parse_metadata
from signaling.siprec.model import Doubt, Doubted
from tests.unit.signaling.siprec.samples import SNAPSHOT, document, partial


def heard(inner: str, *labels: str | None) -> list[list[str]]:
    state = apply_update(None, document(inner))
    return [[sender.participant_id for sender in binding.senders] for binding in bind_streams(state, labels)]


STREAMS = '<stream stream_id="t1"><label>1</label></stream><stream stream_id="t2"><label>2</label></stream>'
PARTIES = '<participant participant_id="a"/><participant participant_id="b"/>'
A_SENDS = '<participantstreamassoc participant_id="a"><send>t1</send><recv>t2</recv></participantstreamassoc>'
B_SENDS = '<participantstreamassoc participant_id="b"><send>t2</send><recv>t1</recv></participantstreamassoc>'


def test_each_label_leads_to_its_stream_and_speakers() -> None:
    state = apply_update(None, parse_metadata(SNAPSHOT.encode()))
    first, second = bind_streams(state, ["96", "97"])
    assert (first.index, first.label, first.doubts, first.mixed) == (0, "96", (), False)
    assert first.stream is not None
    assert first.stream.stream_id == "c3RyZWFtMQ=="
    assert [sender.name for sender in first.senders] == ["Alice"]
    assert [receiver.name for receiver in first.receivers] == ["Bob"]
    assert [sender.name for sender in second.senders] == ["Bob"]


def test_the_order_of_the_m_lines_decides_nothing() -> None:
    assert heard(STREAMS + PARTIES + A_SENDS + B_SENDS, "2", "1") == [["b"], ["a"]]


def test_white_space_around_a_label_does_not_matter() -> None:
    assert heard(STREAMS + PARTIES + A_SENDS, " 1 ") == [["a"]]


def test_a_mixed_stream_has_several_speakers() -> None:
    inner = (
        STREAMS
        + PARTIES
        + A_SENDS
        + '<participantstreamassoc participant_id="b"><send>t1</send></participantstreamassoc>'
    )
    binding = bind_streams(apply_update(None, document(inner)), ["1"])[0]
    assert [sender.participant_id for sender in binding.senders] == ["a", "b"]
    assert binding.mixed


def test_a_client_may_say_that_a_stream_is_mixed() -> None:
    inner = '<stream id="t"><label>1</label><mode>mixed</mode></stream>'
    assert bind_streams(apply_update(None, document(inner)), ["1"])[0].mixed


def test_who_neither_sends_nor_receives_is_bound_to_nothing() -> None:
    inner = STREAMS + PARTIES + '<participantstreamassoc participant_id="a"/>'
    bindings = bind_streams(apply_update(None, document(inner)), ["1", "2"])
    assert all(not binding.senders and not binding.receivers for binding in bindings)


def test_who_has_left_a_stream_is_no_longer_heard_on_it() -> None:
    state = apply_update(None, document(STREAMS + PARTIES + A_SENDS + B_SENDS))
    state = apply_update(
        state,
        partial(
            '<participantstreamassoc participant_id="a"><send>t1</send>'
            "<disassociate-time>2030-01-15T09:30:00Z</disassociate-time></participantstreamassoc>"
        ),
    )
    assert [len(binding.senders) for binding in bind_streams(state, ["1", "2"])] == [0, 1]


def test_streams_that_are_not_in_the_sdp_are_no_fault() -> None:
    bindings = bind_streams(apply_update(None, document(STREAMS + PARTIES + A_SENDS + B_SENDS)), ["1"])
    assert [binding.doubts for binding in bindings] == [()]


def test_an_unknown_speaker_is_not_bound() -> None:
    assert heard(STREAMS + A_SENDS, "1") == [[]]


@pytest.mark.parametrize(
    ("inner", "labels", "doubts"),
    [
        (STREAMS + PARTIES + A_SENDS, (None,), [(Doubt.LABEL_MISSING, "")]),
        (STREAMS + PARTIES + A_SENDS, ("",), [(Doubt.LABEL_MISSING, "")]),
        (STREAMS + PARTIES + A_SENDS, ("3",), [(Doubt.NO_STREAM, "3")]),
        ("", ("1",), [(Doubt.NO_STREAM, "1")]),
        (STREAMS + PARTIES + A_SENDS, ("2",), [(Doubt.NO_SENDER, "2")]),
        (STREAMS + PARTIES + A_SENDS, ("1", "1"), [(Doubt.LABEL_AMBIGUOUS, "1")] * 2),
        (
            STREAMS.replace("<label>2<", "<label>1<") + PARTIES + A_SENDS,
            ("1",),
            [(Doubt.LABEL_AMBIGUOUS, "1")],
        ),
    ],
)
def test_what_does_not_fit_is_doubted(
    inner: str, labels: tuple[str | None, ...], doubts: list[tuple[Doubt, str]]
) -> None:
    bindings = bind_streams(apply_update(None, document(inner)), labels)
    assert [doubted for binding in bindings for doubted in binding.doubts] == [Doubted(*doubt) for doubt in doubts]


def test_streams_without_a_label_in_the_metadata_are_not_bound_to_lines_without_one() -> None:
    bindings = bind_streams(apply_update(None, document('<stream stream_id="t1"/>')), [None])
    assert bindings[0].stream is None
