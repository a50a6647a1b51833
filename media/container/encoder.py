"""Bytes to append to a capture, docs/storage-format.md. Keeps the sequence and the checksum chain; writes nothing."""

from __future__ import annotations

from typing import Final

from isal.isal_zlib import crc32

from media.container import model
from media.container.layout import (
    BLOCK_HEADER,
    BLOCK_MAGIC,
    FILE_HEADER,
    FILE_MAGIC,
    MAJOR_VERSION,
    MAX_BODY,
    MINOR_VERSION,
    SEAL,
    BlockType,
)
from media.errors import LocalError

Buffer = bytes | bytearray | memoryview
"""What can be written and summed without copying."""

_SEALED: Final = SEAL.size
_seal_into: Final = SEAL.pack_into


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
        self._checksum = crc32(header)
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
        return self._records(BlockType.PACKETS, index, data, count, written_ns)

    def rtcp(self, index: Buffer, data: Buffer, count: int, written_ns: int) -> bytes:
        """Return the header of an RTCP block; arguments and obligation as for `packets`."""
        return self._records(BlockType.RTCP, index, data, count, written_ns)

    def seal(self, header: bytearray | memoryview, index: Buffer, data: Buffer) -> None:
        """Fill magic, checksum and sequence into a header whose other fields are in place, as a row of dtype `BLOCK`.

        The fast way for many blocks at once; arguments and obligation as for `packets`, sizes are not checked.
        """
        crc = crc32(data, crc32(index, crc32(header[_SEALED:], self._checksum)))
        _seal_into(header, 0, BLOCK_MAGIC, crc, self._sequence)
        self._checksum = crc
        self._sequence += 1

    def _records(self, kind: BlockType, index: Buffer, data: Buffer, count: int, written_ns: int) -> bytes:
        header = self._header(kind, len(index) + len(data), count, written_ns)
        self.seal(header, index, data)
        return bytes(header)

    def _block(self, kind: BlockType, body: bytes, written_ns: int) -> bytes:
        header = self._header(kind, len(body), 0, written_ns)
        self.seal(header, body, b"")
        return bytes(header) + body

    @staticmethod
    def _header(kind: BlockType, length: int, count: int, written_ns: int) -> bytearray:
        if length > MAX_BODY:
            raise LocalError(f"a body of {length} bytes exceeds {MAX_BODY}")
        return bytearray(BLOCK_HEADER.pack(BLOCK_MAGIC, 0, 0, kind, 0, 0, length, count, written_ns))
