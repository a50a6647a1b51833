"""Whatever happens to a capture's bytes: what was whole before the damage comes back, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.container import Capture, Damage, read_capture
from media.errors import CaptureUnreadable, MediaError
from tests.unit.media.container.captures import Builder, end, source

packet_lists = st.lists(st.binary(min_size=0, max_size=40), min_size=1, max_size=5)
block_lists = st.lists(packet_lists, min_size=0, max_size=8)


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "a.tcap"


def build(blocks: list[list[bytes]], *, ended: bool) -> Builder:
    built = Builder()
    for number, block in enumerate(blocks):
        built.packets(*block)
        if number % 3 == 2:
            built.event(source(number))
    if ended:
        built.end(end())
    return built


def packets_of(capture: Capture) -> list[bytes]:
    found = [batch.packet(one) for batch in capture.packets(64) for one in range(len(batch.records))]
    # Read once and kept, it is the same.
    kept = read_capture(capture.path, keep_bytes=1 << 20)
    assert [batch.packet(one) for batch in kept.packets(64) for one in range(len(batch.records))] == found
    assert (kept.valid_bytes, kept.damage, kept.complete) == (capture.valid_bytes, capture.damage, capture.complete)
    return found


def packets_before(built: Builder, blocks: list[list[bytes]], position: int) -> list[bytes]:
    """Packets of all blocks that end at or before a byte position."""
    kept: list[bytes] = []
    edges = iter(built.edges[1:])
    for number, block in enumerate(blocks):
        if next(edges) > position:
            return kept
        kept += block
        if number % 3 == 2:
            next(edges)
    return kept


@given(blocks=block_lists, ended=st.booleans())
def test_a_round_trip_loses_and_adds_nothing(scratch: Path, blocks: list[list[bytes]], ended: bool) -> None:
    capture = read_capture(build(blocks, ended=ended).write(scratch))
    assert packets_of(capture) == [packet for block in blocks for packet in block]
    assert capture.complete is ended


@given(blocks=block_lists, ended=st.booleans(), data=st.data())
def test_a_cut_loses_at_most_the_block_it_goes_through(
    scratch: Path, blocks: list[list[bytes]], ended: bool, data: st.DataObject
) -> None:
    built = build(blocks, ended=ended)
    length = data.draw(st.integers(0, len(built.data) - 1))
    scratch.write_bytes(built.data[:length])
    if length < built.edges[0]:
        with pytest.raises(CaptureUnreadable):
            read_capture(scratch)
        return
    capture = read_capture(scratch)
    assert packets_of(capture) == packets_before(built, blocks, length)
    assert capture.valid_bytes == max(edge for edge in built.edges if edge <= length)
    assert capture.truncated_bytes == length - capture.valid_bytes
    assert not capture.complete


@given(blocks=block_lists, ended=st.booleans(), data=st.data())
def test_a_changed_byte_hides_its_block_and_all_behind_it(
    scratch: Path, blocks: list[list[bytes]], ended: bool, data: st.DataObject
) -> None:
    built = build(blocks, ended=ended)
    position = data.draw(st.integers(0, len(built.data) - 1))
    built.data[position] ^= data.draw(st.integers(1, 255))
    built.write(scratch)
    if position < built.edges[0]:
        with pytest.raises(CaptureUnreadable):
            read_capture(scratch)
        return
    capture = read_capture(scratch)
    assert packets_of(capture) == packets_before(built, blocks, position)
    assert capture.damage is not Damage.NONE
    assert not capture.complete


@given(blocks=block_lists, tail=st.binary(min_size=1, max_size=100))
def test_a_tail_of_anything_is_never_taken_for_packets(scratch: Path, blocks: list[list[bytes]], tail: bytes) -> None:
    built = build(blocks, ended=False)
    scratch.write_bytes(bytes(built.data) + tail)
    capture = read_capture(scratch)
    assert packets_of(capture) == [packet for block in blocks for packet in block]
    assert (capture.valid_bytes, capture.truncated_bytes) == (len(built.data), len(tail))


@given(data=st.binary(max_size=300))
def test_any_bytes_give_a_capture_or_one_of_our_errors(scratch: Path, data: bytes) -> None:
    scratch.write_bytes(data)
    with pytest.raises(MediaError):
        read_capture(scratch)
