"""One recording session as plain state, and its checkpoint: everything a takeover needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from media.writer.protocol import StreamSpec

_VERSION: Final = 1


@dataclass(slots=True, kw_only=True)
class Session:
    """One dialog with a recording client, and the capture that it feeds."""

    dialog_id: str
    call_id: str
    record_identifier: str
    segment: UUID
    writer: str
    capture_path: str
    opened_at: datetime
    host: str
    """Address of the writer as the SDP names it."""
    streams: list[StreamSpec]
    """Streams in use, by m-line position; refused m-lines are absent."""
    descriptor: dict[str, object]
    """What the capture says about the call; a replacement writer gets the same."""
    local_sdp: bytes
    remote_sdp: bytes = b""
    """Empty while an offer of ours in the 2xx is unanswered."""
    ending: bool = False
    """A BYE came, or we decided to end: nothing opens or moves any more."""


class _Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    dialog: bytes
    dialog_id: str
    call_id: str
    record_identifier: str
    segment: UUID
    writer: str
    capture_path: str
    opened_at: datetime
    host: str
    streams: list[StreamSpec]
    descriptor: dict[str, object]
    local_sdp: bytes
    remote_sdp: bytes


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Checkpoint)


def encode_checkpoint(session: Session, dialog: bytes) -> bytes:
    """Return the session together with the user agent's snapshot of its dialog."""
    return _ENCODER.encode(
        _Checkpoint(
            version=_VERSION,
            dialog=dialog,
            dialog_id=session.dialog_id,
            call_id=session.call_id,
            record_identifier=session.record_identifier,
            segment=session.segment,
            writer=session.writer,
            capture_path=session.capture_path,
            opened_at=session.opened_at,
            host=session.host,
            streams=session.streams,
            descriptor=session.descriptor,
            local_sdp=session.local_sdp,
            remote_sdp=session.remote_sdp,
        )
    )


def decode_checkpoint(data: bytes) -> tuple[Session, bytes]:
    """Return the session and the snapshot of its dialog.

    Raises:
        msgspec.MsgspecError: the bytes are not a checkpoint of this version.

    """
    stored = _DECODER.decode(data)
    if stored.version != _VERSION:
        raise msgspec.ValidationError(f"checkpoint version {stored.version}, known is {_VERSION}")
    session = Session(
        dialog_id=stored.dialog_id,
        call_id=stored.call_id,
        record_identifier=stored.record_identifier,
        segment=stored.segment,
        writer=stored.writer,
        capture_path=stored.capture_path,
        opened_at=stored.opened_at,
        host=stored.host,
        streams=stored.streams,
        descriptor=stored.descriptor,
        local_sdp=stored.local_sdp,
        remote_sdp=stored.remote_sdp,
    )
    return session, stored.dialog
