"""The supervisor channel on real socket pairs."""

from __future__ import annotations

import os
import socket

import pytest

from recorder.channel import (
    Channel,
    Drain,
    Message,
    Ready,
    SocketGrant,
    Start,
    StateChanged,
    Stop,
    WriterDied,
    grants_needed,
)
from recorder.errors import ChannelLostError


@pytest.mark.parametrize(
    "message",
    [
        Start(role="writer", name="writer-1", instance="i", settings="{}", dsn="", writers=["writer-1"], sockets=3),
        Drain(limit_s=2.5),
        Stop(),
        WriterDied(writer="writer-2"),
        Ready(),
        StateChanged(state="active", detail={"sessions": 3, "unable": ""}),
    ],
)
def test_every_message_arrives_as_it_was_sent(
    message: Message,
) -> None:
    ours, theirs = Channel.pair()
    with ours.socket, theirs.socket:
        ours.send(message)
        assert theirs.receive() == (message, [])


def test_more_sockets_than_one_packet_takes_arrive_in_order() -> None:
    ours, theirs = Channel.pair()
    pairs = [(socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)) for _ in range(130)]
    ports: list[int] = []
    for pair in pairs:
        for one in pair:
            one.bind(("127.0.0.1", 0))
        ports.append(pair[0].getsockname()[1])
    with ours.socket, theirs.socket:
        sent = ours.grant("rtp", [(rtp.fileno(), rtcp.fileno()) for rtp, rtcp in pairs], ports)
        assert sent == grants_needed(130, 2) == 2
        received: list[tuple[int, int]] = []
        for _ in range(sent):
            grant, descriptors = theirs.receive()
            assert isinstance(grant, SocketGrant)
            for position, port in enumerate(grant.ports):
                with socket.socket(fileno=descriptors[2 * position]) as rtp:
                    received.append((port, rtp.getsockname()[1]))
                os.close(descriptors[2 * position + 1])
        assert received == [(port, port) for port in ports]
    for pair in pairs:
        for one in pair:
            one.close()


def test_a_dead_other_side_is_an_error_of_ours() -> None:
    ours, theirs = Channel.pair()
    theirs.close()
    with ours.socket:
        with pytest.raises(ChannelLostError):
            ours.receive()
        with pytest.raises(ChannelLostError):
            ours.send(Stop())
