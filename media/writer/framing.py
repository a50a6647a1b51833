"""Framing of the control protocol: four bytes of length in network order, then one MessagePack map. Bytes only."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from media.errors import RemoteError
from media.writer.protocol import MAX_MESSAGE, Command, Reply

_LENGTH: Final = struct.Struct("!I")
_ENCODER: Final = msgspec.msgpack.Encoder()
_COMMAND: Final = msgspec.msgpack.Decoder[Command](Command)
_REPLY: Final = msgspec.msgpack.Decoder[Reply](Reply)


class BadFrame(RemoteError):
    """The peer does not speak the control protocol; close the connection."""


def encode_frame(message: Command | Reply) -> bytes:
    """Return one message with its length in front."""
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


def decode_command(body: bytes) -> Command:
    """Return the command of one frame; raises `BadFrame`."""
    try:
        command: Command = _COMMAND.decode(body)
    except msgspec.MsgspecError as error:
        raise BadFrame(str(error)) from error
    return command


def decode_reply(body: bytes) -> Reply:
    """Return the reply of one frame; raises `BadFrame`."""
    try:
        reply: Reply = _REPLY.decode(body)
    except msgspec.MsgspecError as error:
        raise BadFrame(str(error)) from error
    return reply


class FrameBuffer:
    """Cuts a byte stream into frames; holds at most one incomplete frame of `MAX_MESSAGE` bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they come and return the bodies of all frames that are now whole; raises `BadFrame`."""
        self._buffer += data
        frames: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            length = _LENGTH.unpack_from(self._buffer, start)[0]
            if length > MAX_MESSAGE:
                raise BadFrame(f"a frame of {length} bytes exceeds {MAX_MESSAGE}")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]
        return frames


class _Numbered(msgspec.Struct):
    request: int


def request_number(body: bytes) -> int:
    """Return the request number of a frame that is no known command; raises `BadFrame` if it has none."""
    try:
        return msgspec.msgpack.decode(body, type=_Numbered).request
    except msgspec.MsgspecError as error:
        raise BadFrame(str(error)) from error
