"""Slots into packed bytes, whatever their lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.container import RECORD
from media.writer.packing import pack
from media.writer.slots import HEAD, MAX_DATAGRAM
from media.writer.table import pack_mark
from tests.unit.media.writer.datagrams import Received, datagrams

sizes = st.one_of(st.integers(0, HEAD), st.sampled_from([HEAD, HEAD + 1, 1500, MAX_DATAGRAM]))


def payload(size: int, seed: int) -> bytes:
    return bytes((seed + position) & 0xFF for position in range(size))


@given(st.lists(sizes, min_size=1, max_size=30), st.data())
def test_every_chosen_packet_is_copied_whole_and_in_order(lengths: list[int], data: st.DataObject) -> None:
    packets = [payload(size, seed * 7) for seed, size in enumerate(lengths)]
    chosen = data.draw(st.one_of(st.none(), st.lists(st.sampled_from(range(len(packets))), min_size=1, unique=True)))
    kept = packets if chosen is None else [packets[one] for one in chosen]
    count = len(kept)
    packed = pack(
        datagrams([Received(packet) for packet in packets]),
        None if chosen is None else np.array(chosen),
        np.array([len(packet) for packet in kept]),
        np.arange(count) + 5,
        np.full(count, pack_mark(2, 3, 1)),
    )
    assert bytes(packed.data) == b"".join(kept)
    assert packed.edges.tolist() == [sum(map(len, kept[:one])) for one in range(count + 1)]
    records = np.frombuffer(packed.records, RECORD)
    assert records.tolist() == [(5 + one, len(packet), 2, 3, 1) for one, packet in enumerate(kept)]


@pytest.mark.parametrize("size", [172, HEAD])
def test_equal_packets_take_the_short_way_to_the_same_result(size: int) -> None:
    packets = [payload(size, seed) for seed in range(20)]
    lengths = np.full(20, size)
    packed = pack(datagrams([Received(packet) for packet in packets]), None, lengths, lengths, np.zeros(20, np.int64))
    assert bytes(packed.data) == b"".join(packets)


def test_nothing_packs_to_nothing() -> None:
    none = np.empty(0, np.int64)
    packed = pack(datagrams([]), None, none, none, none)
    assert (bytes(packed.data), bytes(packed.records), packed.edges.tolist()) == (b"", b"", [0])
