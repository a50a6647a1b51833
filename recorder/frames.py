"""Messages over a stream: four bytes of length in network order, then one MessagePack map whose `type` names the kind.

For connections between frontends, to writers, and between hosts. Knows nothing of what is said.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from recorder.errors import ChannelLostError

_LENGTH: Final = struct.Struct("!I")
_ENCODER: Final = msgspec.msgpack.Encoder()
Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
T = TypeVar("T")


def framed(message: msgspec.Struct) -> bytes:
    """Return a message with its length in front."""
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames(Generic[T]):
    """Reads the messages of one kind of connection.

    Args:
        decoder: of every message that may come.
        limit: bytes; a longer message is not read. The other side may be anybody's.
        peer: what the other side is called when it is gone.

    """

    def __init__(self, decoder: msgspec.msgpack.Decoder[T], *, limit: int, peer: str) -> None:
        self._decoder, self._limit, self._peer = decoder, limit, peer

    async def receive(self, reader: asyncio.StreamReader) -> T:
        """Return the next message.

        Raises:
            ChannelLostError: the other side is gone, or speaks something else.

        """
        try:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > self._limit:
                raise ChannelLostError(f"frame of {length} bytes")
            return self._decoder.decode(await reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError, msgspec.MsgspecError) as error:
            raise ChannelLostError(f"{self._peer} is gone: {error or type(error).__name__}") from None
