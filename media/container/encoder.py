"""Bytes to append to a capture, docs/storage-format.md. Keeps the sequence and the checksum chain; writes nothing."""

from __future__ import annotations

import zlib
from typing import Final

from media.container import model
from media.container.layout import (
    BLOCK_MAGIC,
    CHECKED_HEADER,
    CHECKSUM,
    FILE_HEADER,
    FILE_MAGIC,
    MAJOR_VERSION,
    MAX_BODY,
    MINOR_VERSION,
    BlockType,
)
from media.errors import LocalError

Buffer = bytes | bytearray | memoryview
"""What can be written and summed without copying."""

_PACKETS: Final = int(BlockType.PACKETS)
_RTCP: Final = int(BlockType.RTCP)


class BlockEncoder:
    """Composes the blocks of one capture, in the order in which they will be appended.

    Obligation: append everything it returns, in order, and stop using it after a failed write: the chain would
    continue behind a hole.
    """

    __slots__ = ("_checksum", "_sequence")

    def __init__(self) -> None:
        self._sequence = 0
        self._checksum = 0

    def open(self, session: model.Session) -> bytes:
        """Return the file header and the SESSION block; the first call, once."""
        if self._sequence:
            raise LocalError("a capture has one SESSION block, and it is the first")
        header = FILE_HEADER.pack(FILE_MAGIC, MAJOR_VERSION, MINOR_VERSION, 0)
        self._checksum = zlib.crc32(header)
        return header + self._block(BlockType.SESSION, model.encode(session), session.wall_ns)

    def event(self, event: model.Event) -> bytes:
        """Return an EVENT block."""
        return self._block(BlockType.EVENT, model.encode(event), event.at_ns)

    def end(self, end: model.End) -> bytes:
        """Return the END block; nothing may follow it."""
        return self._block(BlockType.END, model.encode(end), end.at_ns)

    def packets(self, index: Buffer, data: Buffer, count: int, written_ns: int) -> bytes:
        """Return the header of a PACKETS block; append it, then `index`, then `data`.

        Args:
            index: `count` records of dtype `RECORD`, as bytes.
            data: the packets back to back; as many bytes as the records' lengths add up to (not checked here).
            count: records.
            written_ns: wall clock.

        """
        return self._records(_PACKETS, index, data, count, written_ns)

    def rtcp(self, index: Buffer, data: Buffer, count: int, written_ns: int) -> bytes:
        """Return the header of an RTCP block; arguments and obligation as for `packets`."""
        return self._records(_RTCP, index, data, count, written_ns)

    def _records(self, kind: int, index: Buffer, data: Buffer, count: int, written_ns: int) -> bytes:
        length = len(index) + len(data)
        if length > MAX_BODY:
            raise LocalError(f"a body of {length} bytes exceeds {MAX_BODY}")
        sequence = self._sequence
        checked = CHECKED_HEADER.pack(BLOCK_MAGIC, kind, 0, 0, sequence, length, count, written_ns)
        crc = zlib.crc32(data, zlib.crc32(index, zlib.crc32(checked, self._checksum)))
        self._checksum = crc
        self._sequence = sequence + 1
        return checked + CHECKSUM.pack(crc)

    def _block(self, kind: BlockType, body: bytes, written_ns: int) -> bytes:
        if len(body) > MAX_BODY:
            raise LocalError(f"a body of {len(body)} bytes exceeds {MAX_BODY}")
        checked = CHECKED_HEADER.pack(BLOCK_MAGIC, kind, 0, 0, self._sequence, len(body), 0, written_ns)
        self._checksum = zlib.crc32(body, zlib.crc32(checked, self._checksum))
        self._sequence += 1
        return checked + CHECKSUM.pack(self._checksum) + body
