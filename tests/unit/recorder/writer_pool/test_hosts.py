"""When another host is doubted, heard again, and lost; over real TLS connections, with a register of one row."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from recorder.frames import framed
from recorder.gateway.link import FRAMES, Beat, site_context
from recorder.ha.settings import HaSettings
from recorder.lab.certificates import LabAuthority
from recorder.state_dir import StateDir
from recorder.writer_pool.hosts import SiteHosts, doubted_after_s
from recorder.writer_pool.pool import WriterPool
from storage.catalog.sites import NodeRow, Sites

LIMIT_S = 20.0


class OneRowRegister(Sites):
    """A register in which another host is, whatever happens."""

    def __init__(self, row: NodeRow) -> None:
        self.row = row
        self.looks = 0

    async def nodes(self, site: str) -> list[NodeRow]:
        self.looks += 1
        return [self.row]


class BeatingGateway:
    """A gateway whose heartbeats the test decides."""

    def __init__(self, settings: HaSettings) -> None:
        self._settings = settings
        self._connected = asyncio.Event()
        self._stream: asyncio.StreamWriter | None = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await FRAMES.receive(reader)
        self._stream = writer
        self._connected.set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        context = site_context(self._settings, server=True)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        host, port = server.sockets[0].getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            server.close()
            if self._stream:
                self._stream.transport.abort()

    async def beat(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self._connected.wait()
        assert self._stream
        self._stream.write(framed(Beat(instance="I")))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another task
            await asyncio.sleep(0.01)


def settings_of(directory: Path) -> HaSettings:
    files = LabAuthority(directory).sign("host-b")
    return HaSettings(
        listen="127.0.0.1:5070",
        certificate=str(files.certificate),
        key=str(files.key),
        ca=str(files.ca),
        lost_after_ms=1500,
    )


def pool_of(directory: Path) -> WriterPool:
    return WriterPool(
        [], StateDir(directory), clock=time.monotonic, min_free_bytes=0, sync_interval_s=0.5, node="host-a"
    )


def row_of(endpoint: str) -> NodeRow:
    return NodeRow(node="host-b", instance="I", endpoint=endpoint, state="running", writers=(), silent_s=0.0)


def watched(settings: HaSettings, pool: WriterPool, register: OneRowRegister) -> SiteHosts:
    return SiteHosts(pool, register, settings, node="host-a", context=site_context(settings, server=False))


async def test_a_host_is_doubted_then_heard_and_doubted_before_it_is_lost(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    pool = pool_of(tmp_path)
    gateway = BeatingGateway(settings)
    async with gateway.serving() as endpoint:
        hosts = watched(settings, pool, OneRowRegister(row_of(endpoint)))
        told: list[str] = []
        hosts.on_doubted = lambda node: told.append(f"doubted {node}")
        hosts.on_heard = lambda node: told.append(f"heard {node}")
        hosts.on_lost = lambda node: told.append(f"lost {node}")
        watching = asyncio.ensure_future(hosts.run())
        await gateway.beat()
        await until(lambda: told == ["doubted host-b"])
        assert pool.doubted == {"host-b"}
        await gateway.beat()
        await until(lambda: told[1:] == ["heard host-b"])
        assert pool.doubted == set()
        await until(lambda: told[2:] == ["doubted host-b", "lost host-b"])
        assert (pool.doubted, pool.lost) == (set(), {"host-b"})
        watching.cancel()


def test_each_false_alarm_makes_the_next_one_later_and_the_loss_no_later() -> None:
    settings = HaSettings(lost_after_ms=300, heartbeat_ms=50)
    assert [round(doubted_after_s(settings, alarms), 3) for alarms in range(5)] == [0.1, 0.2, 0.3, 0.3, 0.3]
    slow = HaSettings(lost_after_ms=300, heartbeat_ms=100)
    assert [round(doubted_after_s(slow, alarms), 3) for alarms in range(3)] == [0.15, 0.3, 0.3]


async def test_a_host_that_beats_is_a_rival_although_the_register_does_not_hear_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    gateway = BeatingGateway(settings)
    async with gateway.serving() as endpoint:
        register = OneRowRegister(row_of(endpoint))
        hosts = watched(settings, pool_of(tmp_path), register)
        watching = asyncio.ensure_future(hosts.run())
        await gateway.beat()
        await until(lambda: "host-b" in hosts.instances())
        register.row = dataclasses.replace(register.row, silent_s=60.0)
        looks = register.looks
        async with asyncio.timeout(LIMIT_S):
            while register.looks <= looks + 1:
                await gateway.beat()
                await asyncio.sleep(0.05)
        assert hosts.rivals() == {"host-b"}
        await until(lambda: "host-b" not in hosts.instances())
        assert hosts.rivals() == frozenset()
        watching.cancel()
