"""The frontend's connection to a writer: when a writer counts as there, as silent, and as stuck."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from media.writer.protocol import Command, Heartbeat, ListSessions, OpenSession, Reply, SessionList
from recorder import unix_socket
from recorder.errors import ChannelLostError
from recorder.state_dir import StateDir
from recorder.writer_pool.client import WriterClient
from recorder.writer_pool.pool import WriterPool

LENGTH = struct.Struct("!I")
COMMANDS = msgspec.msgpack.Decoder(Command)


class FakeClock:
    """Monotonic seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class ScriptedWriter:
    """A writer process whose listening socket exists before it does."""

    def __init__(self, state_dir: StateDir, name: str) -> None:
        state_dir.create()
        self._listener = unix_socket.listen(state_dir.writer_socket(name))
        self.reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        """Begin to read connections, as a writer does at the end of its start."""
        sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        self.reader, self._writer = await asyncio.open_unix_connection(sock=sock)

    async def command(self) -> Command:
        (length,) = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
        command: Command = COMMANDS.decode(await self.reader.readexactly(length))
        return command

    def say(self, reply: Reply) -> None:
        payload = msgspec.msgpack.encode(reply)
        assert self._writer
        self._writer.write(LENGTH.pack(len(payload)) + payload)

    def beat(self, progress: int, *, failed: str = "", free_bytes: int = 1 << 40) -> None:
        self.say(
            Heartbeat(
                writer="writer-1",
                progress=progress,
                sessions=0,
                streams=0,
                free_ports=10,
                packets=0,
                kernel_drops=0,
                free_bytes=free_bytes,
                cpu_seconds=0.0,
                failed=failed,
            )
        )

    async def die(self) -> None:
        if self._writer:
            self._writer.close()
            await self._writer.wait_closed()
            self._writer = None

    async def close(self) -> None:
        await self.die()
        self._listener.close()


@asynccontextmanager
async def pool_and_writer(
    tmp_path: Path, clock: FakeClock, *, sync_interval_s: float = 0.5, min_free_bytes: int = 0
) -> AsyncIterator[tuple[WriterPool, ScriptedWriter]]:
    state_dir = StateDir(tmp_path / "state")
    writer = ScriptedWriter(state_dir, "writer-1")
    pool = WriterPool(
        ["writer-1"], state_dir, clock=clock, min_free_bytes=min_free_bytes, sync_interval_s=sync_interval_s
    )
    running = asyncio.ensure_future(pool.run())
    try:
        yield pool, writer
    finally:
        running.cancel()
        await asyncio.wait([running])
        await writer.close()


async def until(condition: asyncio.Event) -> None:
    await asyncio.wait_for(condition.wait(), 30)


def connected_event(pool: WriterPool) -> asyncio.Event:
    event = asyncio.Event()

    def on_connected(_: WriterClient) -> None:
        event.set()

    pool.on_connected = on_connected
    return event


async def test_a_connection_that_nobody_reads_yet_is_no_writer(tmp_path: Path) -> None:
    """The supervisor keeps the listening socket: the kernel accepts for a writer that is still starting."""
    clock = FakeClock()
    async with pool_and_writer(tmp_path, clock) as (pool, writer):
        connected = connected_event(pool)
        accepted = asyncio.ensure_future(writer.start())
        await asyncio.wait_for(accepted, 30)
        assert isinstance(await writer.command(), ListSessions)
        clock.now += 10
        assert not connected.is_set()
        assert not pool.clients["writer-1"].connected
        assert pool.stuck() == []
        assert pool.choose(2) == []


async def test_the_first_answer_makes_it_a_writer(tmp_path: Path) -> None:
    clock = FakeClock()
    async with pool_and_writer(tmp_path, clock) as (pool, writer):
        connected = connected_event(pool)
        await writer.start()
        greeting = await writer.command()
        writer.say(SessionList(request=greeting.request, sessions=[]))
        await until(connected)
        assert pool.choose(2) == [], "a writer without a heartbeat takes no session"
        writer.beat(1)
        await until(pool.clients["writer-1"].beating)
        assert [client.name for client in pool.choose(2)] == ["writer-1"]


async def test_a_writer_that_never_starts_is_stuck_in_the_end(tmp_path: Path) -> None:
    clock = FakeClock()
    async with pool_and_writer(tmp_path, clock) as (pool, writer):
        await writer.start()
        await writer.command()
        clock.now += 21
        assert pool.stuck() == ["writer-1"]


@pytest.mark.parametrize(("sync_interval_s", "patience_s"), [(0.5, 2.0), (10.0, 40.0)])
async def test_a_loop_without_progress_is_stuck(tmp_path: Path, sync_interval_s: float, patience_s: float) -> None:
    """Heartbeats come once per flush: a rare flush is no reason to replace a writer."""
    clock = FakeClock()
    async with pool_and_writer(tmp_path, clock, sync_interval_s=sync_interval_s) as (pool, writer):
        await writer.start()
        await writer.command()
        writer.beat(1)
        client = pool.clients["writer-1"]
        await until(client.beating)
        clock.now += patience_s - 0.1
        assert pool.stuck() == []
        client.beating.clear()
        writer.beat(1)
        await until(client.beating)
        clock.now += 0.2
        assert pool.stuck() == ["writer-1"], "a heartbeat that tells of no progress is none"


async def test_a_writer_that_gave_up_on_its_disk_is_replaced_when_there_is_room(tmp_path: Path) -> None:
    """A failed writer never writes again (storage-format.md, rule 7); without a replacement a human would be needed."""
    async with pool_and_writer(tmp_path, FakeClock(), min_free_bytes=1000) as (pool, writer):
        await writer.start()
        await writer.command()
        client = pool.clients["writer-1"]
        for progress, free_bytes, stuck in ((1, 1000, []), (2, 1001, ["writer-1"])):
            client.beating.clear()
            writer.beat(progress, failed="no space left on device", free_bytes=free_bytes)
            await until(client.beating)
            assert pool.stuck() == stuck
            assert pool.choose(2) == []


async def test_a_lost_connection_has_to_be_reconciled_again(tmp_path: Path) -> None:
    async with pool_and_writer(tmp_path, FakeClock()) as (pool, writer):
        connected = connected_event(pool)
        await writer.start()
        await writer.command()
        writer.beat(1)
        await until(connected)
        client = pool.clients["writer-1"]
        client.reconciled.set()
        connected.clear()
        asked = asyncio.ensure_future(client.sessions())
        assert isinstance(await writer.command(), ListSessions)
        await writer.die()
        with pytest.raises(ChannelLostError):
            await asked
        assert not client.reconciled.is_set()
        await writer.start()
        await writer.command()
        writer.beat(2)
        await until(connected)


async def test_a_command_that_cannot_be_written_leaves_nobody_waiting(tmp_path: Path) -> None:
    async with pool_and_writer(tmp_path, FakeClock()) as (pool, writer):
        connected = connected_event(pool)
        await writer.start()
        await writer.command()
        writer.beat(1)
        await until(connected)
        with pytest.raises(UnicodeEncodeError):
            await pool.clients["writer-1"].open("0" * 32, {"lone surrogate": "\udcff"}, [])
        opening = asyncio.ensure_future(pool.clients["writer-1"].open("1" * 32, {}, []))
        assert isinstance(await writer.command(), OpenSession)
        await writer.die()
        with pytest.raises(ChannelLostError):
            await opening


async def test_a_writer_is_late_while_it_owes_an_answer_and_no_longer(tmp_path: Path) -> None:
    clock = FakeClock()
    async with pool_and_writer(tmp_path, clock) as (pool, writer):
        connected = connected_event(pool)
        await writer.start()
        await writer.command()
        writer.beat(1)
        await until(connected)
        asked = asyncio.ensure_future(pool.clients["writer-1"].sessions())
        command = await writer.command()
        clock.now += 0.2
        (in_time,) = pool.loads()
        clock.now += 0.1
        (late,) = pool.loads()
        writer.say(SessionList(request=command.request, sessions=[]))
        await asked
        clock.now += 600.0
        (answered,) = pool.loads()
        assert (in_time.late, late.late, answered.late) == (False, True, False)
