"""One recording session as plain state, and its checkpoint: everything a takeover needs."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from media.writer.protocol import StreamSpec
from recorder.edge.profile import DEFAULT
from signaling.siprec import RecordingSession

_VERSION: Final = 1


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A writer that the session is being moved to; its ports receive already."""

    writer: str
    capture: str
    capture_path: str
    host: str
    streams: list[StreamSpec]
    offer: bytes = b""
    """Our offer with its address; empty before it was made."""
    request: str = ""
    """Our request with that offer; empty while none is under way."""
    method: str = "INVITE"
    """Of that request."""


class FormerCapture(msgspec.Struct, frozen=True, kw_only=True):
    """The capture that a move left behind, still read until media arrive at the new writer."""

    writer: str
    capture: str


class Session(msgspec.Struct, kw_only=True):
    """One dialog with a recording client, and the capture that it feeds."""

    dialog_id: str
    call_id: str
    record_identifier: str
    door: str
    instance: str
    """Supervisor whose sockets the streams use; under another one the ports are lost."""
    segment: UUID
    writer: str
    capture: str
    """Name of the present capture at its writer; a segment that moves between writers has several."""
    capture_path: str
    opened_at: datetime
    profile: str = DEFAULT
    """Name of the peer profile that fitted the INVITE."""
    peer: str
    """Address that the session was opened from; for logs and for the choice of our own address."""
    product: str = ""
    """User-Agent of the INVITE."""
    host: str
    """Address of the writer as the SDP names it."""
    streams: list[StreamSpec]
    """Streams in use, by m-line position; refused m-lines are absent."""
    participants: dict[int, dict[str, object]]
    """Who speaks on which m-line."""
    descriptor: dict[str, object]
    """What the capture says about the call; a replacement writer gets the same."""
    metadata: RecordingSession | None = None
    """What the SIPREC metadata add up to; None at the other doors."""
    metadata_type: str = ""
    """Content-Type of the latest metadata document; empty while there was none."""
    snapshot_wanted: bool = False
    """What is known of the metadata has a hole: a partial update without a snapshot, or an unreadable document."""
    snapshot_request: str = ""
    """Our request for a snapshot; empty once one has come."""
    negotiation: bytes = b""
    """Snapshot of the state of offer/answer; empty until the first exchange is complete."""
    pending_offer: bytes = b""
    """Our offer in the 2xx, until the ACK brings its answer."""
    move: Move | None = None
    """Set while a re-INVITE of ours is under way."""
    former: FormerCapture | None = None
    untold: bool = False
    """The streams were agreed while the writer was lost, which does not know of them and may still receive."""

    def captures(self) -> set[tuple[str, str]]:
        """Return writer and name of every capture that belongs to the session now."""
        found = {(self.writer, self.capture)}
        found.update((other.writer, other.capture) for other in (self.move, self.former) if other)
        return found

    def places(self) -> list[Session | Move]:
        """Return what names a capture that its media go to: the session itself, and its move."""
        return [self, self.move] if self.move else [self]

    def at(self, writer: str, capture: str) -> Session | Move | None:
        """Return the place that has this capture."""
        return next((one for one in self.places() if (one.writer, one.capture) == (writer, capture)), None)

    def with_place(self, place: Session | Move, **changes: object) -> Session:
        """Return the session with one of its places changed."""
        if place is self.move:
            return msgspec.structs.replace(self, move=msgspec.structs.replace(place, **changes))
        return msgspec.structs.replace(self, **changes)

    def as_adopted(self, present: Session) -> Session:
        """Return the session with the captures of replacement writers that have come since it was made.

        Args:
            present: the session in whose place it comes. At one writer only a replacement gives it another capture.

        """
        now = {place.writer: place for place in present.places()}
        session = self
        for place in self.places():
            there = now.get(place.writer)
            if there and there.capture != place.capture:
                session = session.with_place(place, capture=there.capture, capture_path=there.capture_path)
        if session.former and session.former.writer == present.writer:
            left = FormerCapture(writer=present.writer, capture=present.capture)
            session = msgspec.structs.replace(session, former=left)
        return session


class _Checkpoint(msgspec.Struct, frozen=True):
    version: int
    dialog: bytes
    session: Session


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Checkpoint)


def encode_checkpoint(session: Session, dialog: bytes | None) -> bytes:
    """Return the session together with the user agent's snapshot of its dialog.

    Raises:
        ValueError: there is no snapshot, so the message at hand promises nothing and needs no checkpoint.

    """
    if dialog is None:
        raise ValueError("a message without a promise needs no checkpoint")
    return _ENCODER.encode(_Checkpoint(_VERSION, dialog, session))


def decode_checkpoint(data: bytes) -> tuple[Session, bytes]:
    """Return the session and the snapshot of its dialog.

    Raises:
        msgspec.MsgspecError: the bytes are not a checkpoint of this version.

    """
    stored = _DECODER.decode(data)
    if stored.version != _VERSION:
        raise msgspec.ValidationError(f"checkpoint version {stored.version}, known is {_VERSION}")
    return stored.session, stored.dialog
