"""The capture format of docs/storage-format.md: bytes to append, and a reader for whole and torn files.

Reads and lays out captures; opens no socket, decides nothing about packets, decodes no audio.
"""

from media.container.encoder import BlockEncoder
from media.container.layout import RECORD, BlockType, RecordFlag
from media.container.model import (
    Clock,
    Codec,
    Drops,
    End,
    Event,
    Foreign,
    Fragments,
    Late,
    Recovered,
    RtcpLimit,
    Session,
    Source,
    Ssrc,
    Stream,
    Streams,
    StreamTotals,
    Unauthentic,
    UnknownEvent,
)
from media.container.reader import Capture, Damage, PacketBatch, read_capture

__all__ = [
    "RECORD",
    "BlockEncoder",
    "BlockType",
    "Capture",
    "Clock",
    "Codec",
    "Damage",
    "Drops",
    "End",
    "Event",
    "Foreign",
    "Fragments",
    "Late",
    "PacketBatch",
    "RecordFlag",
    "Recovered",
    "RtcpLimit",
    "Session",
    "Source",
    "Ssrc",
    "Stream",
    "StreamTotals",
    "Streams",
    "Unauthentic",
    "UnknownEvent",
    "read_capture",
]
