"""Snapshots: round trip, reserved numbers, damaged and foreign ones."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.dialog.flow import Flow
from signaling.dialog.session_timer import SessionInterval
from signaling.dialog.state import (
    VERSION,
    DialogState,
    OwnInvite,
    Phase,
    PromisedAnswer,
    decode_snapshot,
    dialog_identifier,
    encode_snapshot,
    reserved_sequence,
)
from signaling.errors import LocalProtocolError

UDP = Flow("udp", ("192.0.2.40", 5060), ("192.0.2.30", 5060))

# What header values are made of: any octets, decoded as the parser does.
received_text = st.binary(max_size=40).map(lambda octets: octets.decode("utf-8", "surrogateescape"))

states = st.builds(
    DialogState,
    call_id=received_text,
    local_tag=st.text(max_size=20),
    remote_tag=st.one_of(st.none(), received_text),
    local_address=received_text,
    remote_address=received_text,
    remote_target=received_text,
    route_set=st.lists(received_text, max_size=4).map(tuple),
    flow=st.builds(
        Flow,
        transport=st.sampled_from(["udp", "tcp", "tls"]),
        local=st.tuples(st.just("192.0.2.40"), st.integers(0, 65535)),
        remote=st.tuples(st.just("192.0.2.30"), st.integers(0, 65535)),
        connection=st.integers(0, 100),
    ),
    phase=st.sampled_from(Phase),
    secure=st.booleans(),
    reuse_connection=st.booleans(),
    local_sequence=st.integers(0, 2**31 - 3000),
    remote_sequence=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    peer_methods=st.lists(received_text, max_size=4).map(tuple),
    peer_options=st.lists(received_text, max_size=4).map(tuple),
    session=st.one_of(
        st.none(), st.builds(SessionInterval, seconds=st.integers(0, 2**32), refreshed_by_us=st.booleans())
    ),
    minimum_interval=st.integers(0, 2**32),
    answers=st.lists(
        st.builds(PromisedAnswer, data=st.binary(max_size=60), acknowledged=st.booleans()), max_size=3
    ).map(tuple),
    own_invite=st.one_of(st.none(), st.builds(OwnInvite, request_id=st.text(max_size=10), sequence=st.integers(0, 99))),
    local_description=st.binary(max_size=60),
    recording=st.booleans(),
    session_uuid=st.one_of(st.none(), st.just("0" * 32)),
)


def state(**changes: object) -> DialogState:
    fields: dict[str, object] = {
        "call_id": "c",
        "local_tag": "a.7~1",
        "remote_tag": "r",
        "local_address": "<sip:srs@192.0.2.40>",
        "remote_address": "<sip:src@192.0.2.30>",
        "remote_target": "sip:src@192.0.2.30",
        "route_set": (),
        "flow": UDP,
    }
    return DialogState(**{**fields, **changes})  # type: ignore[arg-type]


@given(states)
def test_a_snapshot_brings_everything_back_except_the_reserved_number(original: DialogState) -> None:
    restored = decode_snapshot(encode_snapshot(original))
    assert restored.local_sequence == reserved_sequence(original.local_sequence)
    assert msgspec.structs.replace(restored, local_sequence=original.local_sequence) == original


@given(st.integers(0, 2**31 - 4000), st.integers(0, 999))
def test_a_takeover_starts_above_every_number_of_this_block_and_the_next(sequence: int, later: int) -> None:
    """C11, pitfall 6."""
    assert reserved_sequence(sequence) > sequence + later
    assert reserved_sequence(sequence) >= (sequence // 1000 + 1) * 1000 + 999


def test_taking_a_snapshot_changes_nothing() -> None:
    original = state(local_sequence=3)
    encode_snapshot(original)
    assert original.local_sequence == 3


@given(st.binary(max_size=200))
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        decode_snapshot(data)


@given(states, st.data())
def test_a_damaged_snapshot_is_refused_or_read_never_worse(original: DialogState, data: st.DataObject) -> None:
    octets = bytearray(encode_snapshot(original))
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(LocalProtocolError):
        decode_snapshot(bytes(octets))


def test_a_snapshot_of_a_newer_version_is_refused() -> None:
    """Pitfall 30."""
    newer = msgspec.msgpack.decode(encode_snapshot(state()))
    newer["version"] = VERSION + 1
    with pytest.raises(LocalProtocolError, match="newer version"):
        decode_snapshot(msgspec.msgpack.encode(newer))


def test_a_field_that_this_version_does_not_know_is_passed_over() -> None:
    """Pitfall 30."""
    newer = msgspec.msgpack.decode(encode_snapshot(state()))
    newer["state"]["colour"] = "blue"
    assert decode_snapshot(msgspec.msgpack.encode(newer)).call_id == "c"


def test_a_field_that_an_older_version_did_not_write_gets_its_default() -> None:
    """Pitfall 30."""
    older = msgspec.msgpack.decode(encode_snapshot(state(minimum_interval=120)))
    del older["state"]["minimum_interval"]
    assert decode_snapshot(msgspec.msgpack.encode(older)).minimum_interval == 0


def test_the_identifier_depends_on_call_id_and_local_tag_only_and_is_safe_text() -> None:
    assert dialog_identifier("a", "b") == dialog_identifier("a", "b")
    assert len({dialog_identifier("a", "b"), dialog_identifier("ab", ""), dialog_identifier("b", "a")}) == 3
    assert len(dialog_identifier("\udcff\u20ac", "x")) == 32
