"""Hostile names and texts: whatever comes from the network stays inside its place, and nothing collides."""

from pathlib import Path, PurePosixPath
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from storage.catalog.connection import encode_json
from storage.catalog.text import KEY_LIMIT, key, storable
from storage.cli.presentation import printable
from storage.files import FileStore, file_name

# Any code point, lone surrogates and NUL included: that is what undecodable headers look like in Python.
hostile = st.text(st.characters(exclude_categories=()), max_size=300)
digests = st.binary(min_size=32, max_size=32)


@given(hostile, st.uuids(), digests)
@example("../" * 80 + "etc/passwd", UUID(int=0), bytes(32))
@example("\0", UUID(int=0), bytes(32))
@example("\u202e\u2028\ud800", UUID(int=0), bytes(32))
@example("CON", UUID(int=0), bytes(32))
def test_a_file_name_is_one_safe_component(identifier: str, recording: UUID, digest: bytes) -> None:
    name = file_name(identifier, recording, digest, ".wav")
    assert PurePosixPath(name).name == name
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert len(name) <= 255
    assert name[0] not in ".-"
    assert FileStore(Path("/store")).locate(f"2026/11/22/{name}").parent == Path("/store/2026/11/22")


@given(hostile, hostile, st.uuids(), st.uuids(), digests)
def test_two_recordings_never_share_a_name(
    identifier: str, other: str, recording: UUID, other_recording: UUID, digest: bytes
) -> None:
    if recording != other_recording:
        assert file_name(identifier, recording, digest, ".wav") != file_name(other, other_recording, digest, ".wav")


@given(hostile, hostile)
@example("\0", "\N{REPLACEMENT CHARACTER}0000")
@example("x" * 512, "x" * 512 + "y")
def test_different_identifiers_have_different_keys(one: str, other: str) -> None:
    assert (key(one) == key(other)) == (one == other)


@given(hostile)
def test_a_stored_text_can_be_held_by_postgresql(text: str) -> None:
    stored = storable(text)
    stored.encode("utf-8")
    assert "\0" not in stored
    assert len(key(text).encode()) <= 4 * KEY_LIMIT


@given(
    st.recursive(
        st.none() | st.integers(-(2**53), 2**53) | hostile,
        lambda inner: st.lists(inner) | st.dictionaries(hostile, inner),
    )
)
def test_any_json_value_can_be_held_by_jsonb(value: object) -> None:
    encoded = encode_json(value)
    encoded.encode("utf-8")
    assert "\\u0000" not in encoded.replace("\\\\", "")


@given(hostile)
@example("\x1b[2J\x9b2J\u202e")
def test_what_is_printed_cannot_drive_a_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in shown)
