"""Byte layout of captures, docs/storage-format.md: magics, header structures, limits. No reading, no writing."""

from __future__ import annotations

import enum
import struct
from typing import Final

import numpy as np

FILE_MAGIC: Final = b"\x89TCAP\r\n\x1a"
MAJOR_VERSION: Final = 1
MINOR_VERSION: Final = 0
FILE_HEADER: Final = struct.Struct("<8sHHI")
"""Magic, major version, minor version, zero."""

BLOCK_MAGIC: Final = b"TBLK"
BLOCK_HEADER: Final = struct.Struct("<4sIIBBHIIq")
"""Magic, checksum, sequence, type, flags, zero, length, count, written (ns)."""
SEAL: Final = struct.Struct("<4sII")
"""Magic, checksum, sequence: the part of the header that the checksum does not cover."""

MAX_BODY: Final = 16 << 20
"""Bytes. A writer's whole arena (4,096 datagrams) is below it; a reader never allocates more for one block."""

BLOCK: Final = np.dtype(
    {
        "names": ["type", "length", "count", "written"],
        "formats": ["u1", "<u4", "<u4", "<i8"],
        "offsets": [12, 16, 20, 24],
        "itemsize": BLOCK_HEADER.size,
    }
)
"""Block headers as an array, all but the seal: for many blocks at once."""

RECORD: Final = np.dtype(
    [("arrival_ns", "<i8"), ("length", "<u2"), ("stream", "<u2"), ("source", "<u2"), ("flags", "<u2")]
)
"""One packet in the index of a PACKETS or RTCP block: 16 bytes."""

FILE_SUFFIX: Final = ".tcap"


class BlockType(enum.IntEnum):
    """What a block's body is."""

    SESSION = 1
    PACKETS = 2
    RTCP = 3
    EVENT = 4
    END = 5


class RecordFlag(enum.IntFlag):
    """Bits of a record's `flags`."""

    RECOVERED = 0x0001
    NO_TIMESTAMP = 0x0002
    TRUNCATED = 0x0004
    PROVISIONAL = 0x0008
    MUXED = 0x0010
