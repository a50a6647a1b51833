"""Blocks in their order: header fields, chained checksum, limits."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from media.container import RECORD, BlockEncoder, BlockType
from media.container.layout import BLOCK, BLOCK_HEADER, FILE_HEADER, MAX_BODY
from media.errors import LocalError
from tests.unit.media.container.captures import NOW, Builder, end, records, session, source


def headers(data: bytes) -> list[tuple[int, ...]]:
    """(checksum, sequence, type, length, count, written, offset) of each block."""
    found: list[tuple[int, ...]] = []
    at = FILE_HEADER.size
    while at < len(data):
        _, checksum, sequence, kind, _, _, length, count, written = BLOCK_HEADER.unpack_from(data, at)
        found.append((checksum, sequence, kind, length, count, written, at))
        at += BLOCK_HEADER.size + length
    return found


def test_each_block_sums_what_follows_its_seal_from_the_sum_of_the_block_before() -> None:
    data = bytes(Builder().event(source()).packets(b"one", b"two").rtcp(b"r").end(end()).data)
    chain = zlib.crc32(data[: FILE_HEADER.size])
    kinds = []
    for position, (checksum, sequence, kind, length, _, _, at) in enumerate(headers(data)):
        chain = zlib.crc32(data[at + 12 : at + BLOCK_HEADER.size + length], chain)
        assert (checksum, sequence) == (chain, position)
        kinds.append(BlockType(kind))
    assert kinds == [BlockType.SESSION, BlockType.EVENT, BlockType.PACKETS, BlockType.RTCP, BlockType.END]


def test_a_packets_header_counts_records_and_measures_both_parts() -> None:
    header = headers(bytes(Builder().packets(b"one", b"seven").data))[1]
    assert header[2:6] == (BlockType.PACKETS, 2 * RECORD.itemsize + 8, 2, NOW)


def test_a_sealed_row_of_headers_equals_a_header_composed_alone() -> None:
    index, data = records([b"one", b"two"]), b"onetwo"
    alone, together = BlockEncoder(), BlockEncoder()
    assert alone.open(session()) == together.open(session())
    rows = np.zeros(1, BLOCK)
    rows["type"], rows["count"], rows["length"], rows["written"] = BlockType.PACKETS, 2, len(index) + len(data), NOW
    row = rows.view(np.uint8).data
    together.seal(row, index, data)
    assert bytes(row) == alone.packets(index, data, 2, NOW)


def test_the_session_block_comes_once_and_first() -> None:
    encoder = BlockEncoder()
    encoder.open(session())
    with pytest.raises(LocalError, match="one SESSION"):
        encoder.open(session())


def test_a_body_above_the_limit_is_refused() -> None:
    encoder = BlockEncoder()
    encoder.open(session())
    with pytest.raises(LocalError, match="exceeds"):
        encoder.packets(b"", memoryview(bytes(MAX_BODY + 1)), 0, NOW)
