"""The simulator's SIP sockets."""

import asyncio
import socket

from recorder.simulator.dialog import Address
from recorder.simulator.network import SipNetwork

_BURST = 150
"""Messages; the kernel's default buffer holds about ninety of this length."""


async def test_a_burst_waits_in_the_socket_until_it_is_read() -> None:
    came: list[bytes] = []
    all_came = asyncio.Event()

    def deliver(data: bytes, source: Address) -> None:
        came.append(data)
        if len(came) == _BURST:
            all_came.set()

    async with SipNetwork("udp", "127.0.0.1", deliver, lambda address: None) as network:
        with socket.socket(type=socket.SOCK_DGRAM) as recorder:
            for number in range(_BURST):
                recorder.sendto(b"%04d" % number + bytes(1200), network.address)
        async with asyncio.timeout(30):
            await all_came.wait()
    assert [int(data[:4]) for data in came] == list(range(_BURST))
