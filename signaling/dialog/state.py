"""What a dialog is made of, and its snapshot: everything a takeover needs, RFC 3261 §12 and §12.2.2.

One struct is both the live state and the snapshot's content. Fields are only ever added, with a default, so that
old and new code can read each other's snapshots during a rolling upgrade; the version rises only when the meaning of
a field changes. Does not decide anything; `signaling.dialog.dialog` does.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from signaling.dialog.flow import Flow
from signaling.dialog.session_timer import SessionInterval
from signaling.errors import LocalProtocolError

VERSION: Final = 1
SEQUENCE_BLOCK: Final = 1000
"""CSeq numbers reserved at a time. A takeover skips at most two blocks, so 2^31 numbers last for a million takeovers
of one dialog; and 1,000 requests of ours between two checkpoints is more than any dialog sends."""


class Phase(enum.Enum):
    """How far the dialog has come (RFC 3261 §12)."""

    EARLY = "early"
    """The INVITE is not finally answered."""
    CONFIRMED = "confirmed"
    ENDED = "ended"
    """The BYE is answered; kept only to repeat that answer."""


class PromisedAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A final response of ours whose bytes are fixed: a retransmitted request gets the same ones."""

    data: bytes
    """The response as sent. Its Via, Call-ID and CSeq say which request it belongs to."""
    acknowledged: bool = False
    """An ACK was seen, or none is due because the request was not an INVITE."""
    overdue: bool = False
    """Half of the time in which its ACK may come has passed without it."""


class OwnInvite(msgspec.Struct, frozen=True):
    """A re-INVITE of ours that has no final response yet."""

    request_id: str
    sequence: int


class DialogState(msgspec.Struct, omit_defaults=True):
    """State of one dialog in which the recorder answered the INVITE. Text is kept as received."""

    call_id: str
    local_tag: str
    remote_tag: str | None
    """None if the peer sent no From tag (RFC 3261 §12.1.1)."""
    local_address: str
    """Display name and URI of our side, without parameters: From of our requests."""
    remote_address: str
    """The same for the peer: To of our requests."""
    remote_target: str
    """URI of the peer's Contact."""
    route_set: tuple[str, ...]
    """Record-Route elements in the order received, each as it was written."""
    flow: Flow
    """The way by which the peer's latest request came."""
    phase: Phase = Phase.EARLY
    secure: bool = False
    """Our Contact has to be a SIPS URI (RFC 3261 §12.1.1, §12.2.1.1)."""
    reuse_connection: bool = False
    """The peer offered its connection for our requests (`alias`, RFC 5923 §5)."""
    local_sequence: int = 0
    """CSeq number of our latest request; 0 if there was none."""
    remote_sequence: int | None = None
    peer_methods: tuple[str, ...] = ()
    """Allow of the peer; empty if it sent none."""
    peer_options: tuple[str, ...] = ()
    """Supported of the peer, lower case."""
    session: SessionInterval | None = None
    minimum_interval: int = 0
    """Largest Min-SE received in this dialog, in seconds."""
    answers: tuple[PromisedAnswer, ...] = ()
    """Latest final responses that may still have to be repeated, oldest first."""
    own_invite: OwnInvite | None = None
    local_description: bytes = b""
    """Session description that we sent last and that is in force, as sent."""
    recording: bool = True
    """`+sip.srs` stands in our Contact."""
    session_uuid: str | None = None
    """The peer's half of the Session-ID (RFC 7989), if it sent one."""


class _Snapshot(msgspec.Struct):
    version: int
    state: DialogState
    surrogates: bool = False
    """Text was taken apart into octets because it is not UTF-8."""


def dialog_identifier(call_id: str, local_tag: str) -> str:
    """Return our name for a dialog: 32 hexadecimal digits, the same in every process and safe in any store."""
    text = f"{call_id}\n{local_tag}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def encode_snapshot(state: DialogState) -> bytes:
    """Return `state` as bytes for another process.

    The local sequence number is replaced by the end of the block *after* the one in use, so that a takeover from
    any later moment of this block or the next still continues with a higher number.
    """
    reserved = msgspec.structs.replace(state, local_sequence=reserved_sequence(state.local_sequence))
    try:
        return msgspec.msgpack.encode(_Snapshot(VERSION, reserved))
    except UnicodeEncodeError:
        # Real peers send display names in Latin-1; such octets live in `str` as surrogate escapes.
        content = msgspec.to_builtins(_Snapshot(VERSION, reserved, surrogates=True), builtin_types=(bytes,))
        content["state"] = _map_text(content["state"], _to_octet_text)
        return msgspec.msgpack.encode(content)


def decode_snapshot(data: bytes) -> DialogState:
    """Return what `encode_snapshot` was given, apart from the reserved sequence number.

    Raises:
        LocalProtocolError: the bytes are not a snapshot, or one of a newer version than this code knows.

    """
    try:
        content = msgspec.msgpack.decode(data)
        if not isinstance(content, dict) or not isinstance(content.get("version"), int):
            raise LocalProtocolError("not a dialog snapshot")
        if content["version"] > VERSION:
            raise LocalProtocolError("the dialog snapshot was written by a newer version")
        if content.get("surrogates"):
            content["state"] = _map_text(content.get("state"), _from_octet_text)
        return msgspec.convert(content, _Snapshot).state
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise LocalProtocolError("the dialog snapshot is damaged") from error


def reserved_sequence(sequence: int) -> int:
    """Return the number that a takeover starts from if this process used at most `sequence` before its checkpoint."""
    return (sequence // SEQUENCE_BLOCK + 2) * SEQUENCE_BLOCK


def _map_text(content: Any, change: Callable[[str], str]) -> Any:
    match content:
        case str():
            return change(content)
        case list() | tuple():
            return [_map_text(item, change) for item in content]
        case dict():
            return {key: _map_text(value, change) for key, value in content.items()}
        case _:
            return content


def _to_octet_text(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _from_octet_text(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "surrogateescape")
