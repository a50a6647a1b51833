"""The channel between the supervisor and each of its children.

One SOCK_SEQPACKET pair per child. Each packet is one MessagePack message, with the file descriptors that it
hands over riding beside it (SCM_RIGHTS). End of file means that the other side is gone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from recorder.errors import ChannelLostError

_MAX_MESSAGE: Final = 96 * 1024
"""Bytes; below the default SO_SNDBUF, so that a packet fits a fresh socket."""
_MAX_DESCRIPTORS: Final = 250
"""The kernel passes at most 253 descriptors in one packet (SCM_MAX_FD)."""


class Start(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """First message to a child: who it is and how it is set."""

    role: str
    name: str
    instance: str
    """Names the supervisor process; its sockets live exactly as long."""
    settings: str
    """The settings as JSON."""
    dsn: str
    writers: list[str]
    """Names of the writer pool."""
    sockets: int
    """How many `SocketGrant` messages follow."""


class SocketGrant(msgspec.Struct, frozen=True, kw_only=True, tag="sockets"):
    """Sockets that the supervisor keeps and this child may use.

    For `rtp` each port brings two descriptors, RTP then RTCP; every other kind brings one each.
    """

    kind: str
    """sip-udp, sip-tcp, sip-tls, state, gateway, http, control, rtp, ring; or memory: arena (of a writer), edge."""
    ports: list[int]


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag="drain"):
    """Accept nothing new; answer `Drained` when nothing is left or the limit has passed."""

    limit_s: float


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """End now, in good order."""


class Activate(msgspec.Struct, frozen=True, kw_only=True, tag="activate"):
    """To a standby frontend: take the lease and the dialogs, and begin to read the sockets."""


class Reload(msgspec.Struct, frozen=True, kw_only=True, tag="reload"):
    """To a frontend: the files that may change without a restart have changed.

    One descriptor comes with it: memory that holds their content (`recorder.edge.files.EdgeFiles`).
    """


class WriterDied(msgspec.Struct, frozen=True, kw_only=True, tag="writer-died"):
    """To a frontend, at once: this writer's process is gone and a replacement is being started."""

    writer: str


class DrainWriter(msgspec.Struct, frozen=True, kw_only=True, tag="drain-writer"):
    """To the active frontend: give this writer nothing new and move its sessions away; or use it again."""

    writer: str
    draining: bool


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """From a child: it does its work now."""


class StateChanged(msgspec.Struct, frozen=True, kw_only=True, tag="state"):
    """From a child, for `recorder-admin status`."""

    state: str
    detail: dict[str, int | float | str]


class WriterStuck(msgspec.Struct, frozen=True, kw_only=True, tag="writer-stuck"):
    """From the active frontend: this writer's loop makes no progress although its process exists."""

    writer: str


class Fatal(msgspec.Struct, frozen=True, kw_only=True, tag="fatal"):
    """From a child: something that no restart can mend; the recorder has to end."""

    reason: str


class Drained(msgspec.Struct, frozen=True, kw_only=True, tag="drained"):
    """From a child: nothing is left to finish."""


ToChild = Start | SocketGrant | Activate | Reload | Drain | Stop | WriterDied | DrainWriter
FromChild = Ready | StateChanged | WriterStuck | Fatal | Drained
Message = ToChild | FromChild

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Message)


class Channel:
    """One end of the pair. Non-blocking once `setblocking(False)` was called on `socket`."""

    def __init__(self, endpoint: socket.socket) -> None:
        self.socket = endpoint

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Return two connected ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), cls(theirs)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send one message.

        Raises:
            ChannelLostError: the other side is gone, or does not read.

        """
        try:
            socket.send_fds(self.socket, [_ENCODER.encode(message)], list(descriptors))
        except OSError as error:
            raise ChannelLostError(f"the other side of the channel is gone: {error.strerror}") from None

    def grant(self, kind: str, groups: Sequence[Sequence[int]], ports: Sequence[int]) -> int:
        """Hand over descriptors, in as many messages as the kernel's limit asks for; return how many those were."""
        width = max((len(group) for group in groups), default=1)
        step = _MAX_DESCRIPTORS // width
        for start in range(0, len(groups), step):
            chunk = groups[start : start + step]
            self.send(
                SocketGrant(kind=kind, ports=list(ports[start : start + step])),
                [one for group in chunk for one in group],
            )
        return grants_needed(len(groups), width)

    def receive(self) -> tuple[Message, list[int]]:
        """Return the next message and the descriptors that came with it.

        Raises:
            BlockingIOError: nothing is there now (non-blocking use).
            ChannelLostError: the other side is gone.

        """
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, _MAX_MESSAGE, _MAX_DESCRIPTORS)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ChannelLostError(f"the other side of the channel is gone: {error.strerror}") from None
        if not data:
            raise ChannelLostError("the other side of the channel is gone")
        return _DECODER.decode(data), descriptors

    def close(self) -> None:
        """Close this end."""
        self.socket.close()


def read_memory(descriptor: int) -> bytes:
    """Return what a descriptor of shared memory holds, from its start, and close it."""
    try:
        return Path(f"/proc/self/fd/{descriptor}").read_bytes()
    finally:
        os.close(descriptor)


def grants_needed(groups: int, width: int) -> int:
    """Return how many `SocketGrant` messages `groups` of `width` descriptors take."""
    step = _MAX_DESCRIPTORS // width
    return -(-groups // step)
