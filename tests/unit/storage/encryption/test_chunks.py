"""The chunked form of encrypted audio: any range reads back, any change is found."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.encryption.chunks import CHUNK, ClearReader, encrypt_file
from storage.errors import IntegrityBroken

KEY = bytes(range(32))
SMALL = 64
"""Bytes of a chunk, so that a short text has many."""


def encrypted(clear: bytes, folder: Path, *, chunk: int = SMALL) -> bytes:
    (folder / "clear").write_bytes(clear)
    facts = encrypt_file(folder / "clear", folder / "stored", KEY, chunk=chunk)
    assert (facts.size_bytes, facts.sha256) == (len(clear), hashlib.sha256(clear).digest())
    return (folder / "stored").read_bytes()


def reader(stored: bytes, key: bytes = KEY) -> ClearReader:
    return ClearReader(lambda start, length: stored[start : start + length], len(stored), key, name="x")


def clear_of(stored: bytes, key: bytes = KEY) -> bytes:
    return b"".join(reader(stored, key).blocks())


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_every_length_reads_back(tmp_path: Path, length: int) -> None:
    clear = os.urandom(length)
    stored = encrypted(clear, tmp_path, chunk=CHUNK)
    assert clear_of(stored) == clear
    assert reader(stored).size_bytes == length


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(clear=st.binary(max_size=5 * SMALL), start=st.integers(0, 5 * SMALL + 3), length=st.integers(0, 5 * SMALL + 3))
def test_any_range_is_that_of_the_clear_text(tmp_path: Path, clear: bytes, start: int, length: int) -> None:
    stored = encrypted(clear, tmp_path)
    assert b"".join(reader(stored).blocks(start, length)) == clear[start : start + length]


def test_a_range_reads_only_its_chunks(tmp_path: Path) -> None:
    stored = encrypted(bytes(SMALL * 100), tmp_path)
    asked: list[int] = []

    def read(start: int, length: int) -> bytes:
        asked.append(start)
        return stored[start : start + length]

    assert b"".join(ClearReader(read, len(stored), KEY, name="x").blocks(SMALL * 50, 10)) == bytes(10)
    assert asked == [0, 28 + 50 * (SMALL + 16)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data(), clear=st.binary(min_size=1, max_size=4 * SMALL))
def test_a_changed_byte_is_found(tmp_path: Path, data: st.DataObject, clear: bytes) -> None:
    stored = bytearray(encrypted(clear, tmp_path))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityBroken):
        clear_of(bytes(stored))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data(), clear=st.binary(max_size=4 * SMALL))
def test_a_cut_file_is_found_wherever_it_was_cut(tmp_path: Path, data: st.DataObject, clear: bytes) -> None:
    stored = encrypted(clear, tmp_path)
    with pytest.raises(IntegrityBroken):
        clear_of(stored[: data.draw(st.integers(0, len(stored) - 1))])


@pytest.mark.parametrize(
    "change",
    [
        lambda header, chunks: header + b"".join(chunks[:-1]),
        lambda header, chunks: header + b"".join([chunks[1], chunks[0], *chunks[2:]]),
        lambda header, chunks: header + b"".join([chunks[0], *chunks]),
        lambda header, chunks: header + b"".join([*chunks[:1], *chunks[2:]]),
        lambda header, chunks: header + b"".join([*chunks, chunks[-1]]),
    ],
    ids=["last left out", "swapped", "doubled", "one left out", "last doubled"],
)
def test_chunks_cannot_be_moved(tmp_path: Path, change: Callable[[bytes, list[bytes]], bytes]) -> None:
    stored = encrypted(os.urandom(4 * SMALL), tmp_path)
    size = SMALL + 16
    chunks = [stored[at : at + size] for at in range(28, len(stored), size)]
    with pytest.raises(IntegrityBroken):
        clear_of(change(stored[:28], chunks))


def test_another_key_reads_nothing(tmp_path: Path) -> None:
    with pytest.raises(IntegrityBroken):
        clear_of(encrypted(b"secret", tmp_path), bytes(32))


def test_no_two_files_are_alike(tmp_path: Path) -> None:
    assert encrypted(b"the same", tmp_path)[28:] != encrypted(b"the same", tmp_path)[28:]


@pytest.mark.parametrize(
    "stored", [b"", b"RIFF" + bytes(100), b"TANDEMC1" + bytes(20), b"TANDEMC1\xff\xff\xff\xff" + bytes(99)]
)
def test_what_is_not_ours_is_refused(stored: bytes) -> None:
    with pytest.raises(IntegrityBroken):
        clear_of(stored)
