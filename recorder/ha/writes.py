"""The frontend's writes as bytes: records of the journal, and what goes to standbys."""

from __future__ import annotations

from typing import Final, TypeAlias, get_args

import msgspec

from storage.catalog.records import (
    DialogCheckpoint,
    MetadataRevision,
    PeerCapability,
    SegmentClosing,
    SegmentOpening,
    StreamsChange,
)

Write: TypeAlias = (
    SegmentOpening | DialogCheckpoint | StreamsChange | SegmentClosing | MetadataRevision | PeerCapability
)

_KINDS: Final[dict[str, type[Write]]] = {kind.__name__: kind for kind in get_args(Write)}


class _Envelope(msgspec.Struct, frozen=True):
    kind: str
    write: msgspec.Raw


def encode_write(write: Write) -> bytes:
    """Return a write as a journal record."""
    return msgspec.msgpack.encode(
        _Envelope(kind=type(write).__name__, write=msgspec.Raw(msgspec.msgpack.encode(write)))
    )


def decode_write(record: bytes) -> Write:
    """Return the write of a record as it was made; whoever replays it does so under an epoch of his own.

    Raises:
        msgspec.MsgspecError, KeyError: the record is of another program version.

    """
    envelope = msgspec.msgpack.decode(record, type=_Envelope)
    write: Write = msgspec.msgpack.decode(envelope.write, type=_KINDS[envelope.kind])
    return write
