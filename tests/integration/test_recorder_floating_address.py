"""The SIP address that moves: between two hosts (network namespaces), and by a hook; neighbours are told of it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.ha.address import FloatingAddress
from recorder.ha.settings import HaSettings
from recorder.lab.network import INTERFACE, LabNetwork
from tests.kit.namespaces import inside
from tests.kit.running import eventually

pytestmark = pytest.mark.integration

LIMIT_S = 30.0
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
HOSTS = ("host-a", "host-b", "client")


@pytest.fixture(scope="module")
def network() -> Iterator[LabNetwork]:
    made = LabNetwork(f"tf{os.getpid()}")
    try:
        for number, name in enumerate(HOSTS):
            made.add(name, f"10.77.1.{11 + number}")
            with inside(made.namespace(name)):
                ip("-6", "addr", "add", f"fd77::{11 + number}/64", "dev", INTERFACE, "nodad")
        yield made
    finally:
        made.close()


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


def link_address(network: LabNetwork, host: str) -> str:
    with inside(network.namespace(host)):
        words = ip("-o", "link", "show", INTERFACE).split()
    return words[words.index("link/ether") + 1]


def neighbour(network: LabNetwork, address: str) -> str:
    """Return the hardware address that the client has for an address; empty while it has none."""
    with inside(network.namespace("client")):
        words = ip("neigh", "show", address).split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


def speak(network: LabNetwork, address: str) -> None:
    """Send something there, so that the client's kernel learns where it is."""
    with (
        inside(network.namespace("client")),
        socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.sendto(b"?", (address, 9))


async def take(floating: FloatingAddress) -> None:
    await floating.take()
    announcing = asyncio.ensure_future(floating.announce())
    # The first announcements: at once, after 100 and after 300 ms.
    await asyncio.sleep(0.5)
    announcing.cancel()


@AS_ROOT
@pytest.mark.parametrize("address", ["10.77.1.10/24", "fd77::10/64"])
def test_a_neighbour_learns_at_once_that_the_address_has_moved(network: LabNetwork, address: str) -> None:
    settings = HaSettings(address=address, interface=INTERFACE, lease_s=30, renew_s=1)
    plain = address.partition("/")[0]
    before, after = (FloatingAddress(settings, host) for host in HOSTS[:2])
    with inside(network.namespace("host-a")):
        asyncio.run(take(before))
    assert plain in network.addresses("host-a")
    speak(network, plain)
    eventually(
        lambda: neighbour(network, plain) == link_address(network, "host-a"), limit_s=LIMIT_S, what="the first owner"
    )
    with inside(network.namespace("host-a")):
        before.drop()
    eventually(lambda: plain not in network.addresses("host-a"), limit_s=LIMIT_S, what="the end of the first owner")
    with inside(network.namespace("host-b")):
        asyncio.run(take(after))
    # The client has sent nothing since: it can only have been told.
    eventually(
        lambda: neighbour(network, plain) == link_address(network, "host-b"), limit_s=LIMIT_S, what="the new owner"
    )
    with inside(network.namespace("host-b")):
        after.drop()


async def test_a_hook_is_told_where_the_address_has_to_go(tmp_path: Path) -> None:
    said, hook = tmp_path / "said", tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    hook.chmod(0o755)
    floating = FloatingAddress(HaSettings(address_hook=str(hook), site="berlin"), "host-a")
    await floating.take()
    assert said.read_text().splitlines() == ["acquire berlin host-a"]
    floating.drop()
    await floating.released()
    assert said.read_text().splitlines() == ["acquire berlin host-a", "release berlin host-a"]


async def test_a_hook_that_fails_keeps_nobody_from_recording(tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\nexit 3\n")
    hook.chmod(0o755)
    await FloatingAddress(HaSettings(address_hook=str(hook)), "host-a").take()
    await FloatingAddress(HaSettings(address_hook=str(tmp_path / "absent")), "host-a").take()
