"""The checksum of blocks is the CRC-32 that docs/storage-format.md names, whichever library computes it."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from media.container.encoder import BlockEncoder
from media.container.layout import BLOCK_HEADER, FILE_HEADER, SEAL
from tests.unit.media.container.captures import session, source


def test_a_checksum_starts_from_the_block_before() -> None:
    encoder = BlockEncoder()
    opened, event = encoder.open(session()), encoder.event(source())
    chain = zlib.crc32(opened[: FILE_HEADER.size])
    for block in (opened[FILE_HEADER.size :], event):
        chain = zlib.crc32(block[SEAL.size :], chain)
        assert BLOCK_HEADER.unpack_from(block)[1] == chain


@given(index=st.binary(max_size=2000), data=st.binary(max_size=20000))
def test_a_checksum_covers_records_and_packets(index: bytes, data: bytes) -> None:
    encoder = BlockEncoder()
    chain = BLOCK_HEADER.unpack_from(encoder.open(session()), FILE_HEADER.size)[1]
    header = encoder.packets(index, data, 1, 5)
    assert BLOCK_HEADER.unpack_from(header)[1] == zlib.crc32(header[SEAL.size :] + index + data, chain)
