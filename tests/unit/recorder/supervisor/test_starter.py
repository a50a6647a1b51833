"""Children out of a real fork server: whose they are, how they end, and what becomes of a server that is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from recorder.channel import Channel, Start, Stop
from recorder.errors import ChannelLostError
from recorder.fork_server import Forked
from recorder.role import ROLES
from recorder.supervisor import starter as starting
from recorder.supervisor.starter import Started, Starter
from tests.kit.running import alive, descendants, eventually

LIMIT_S: Final = 60.0


@pytest.fixture
async def starter() -> AsyncIterator[Starter]:
    starter = Starter()
    yield starter
    await starter.close()
    assert fork_servers() == []


def fork_servers() -> list[int]:
    """Those of this process; recorders that it has started for other tests have their own."""
    ours = b"PPid:\t%d\n" % os.getpid()
    return [
        pid
        for pid in descendants(os.getpid())
        if b"recorder.fork_server" in of(pid, "cmdline") and ours in of(pid, "status")
    ]


def of(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


async def code_of(child: Started) -> int:
    """Wait for the end of a child."""
    _, status = await asyncio.to_thread(os.waitpid, child.pid, 0)
    child.channel.close()
    return os.waitstatus_to_exitcode(status)


async def dismissed(child: Started) -> int:
    child.channel.close()
    return await code_of(child)


async def test_a_child_is_ours_and_holds_nothing_but_its_channel(starter: Starter) -> None:
    child = await starter.start("writer", "writer-7")
    status = dict(line.split(":\t", 1) for line in of(child.pid, "status").decode().splitlines() if ":\t" in line)
    assert int(status["PPid"]) == os.getpid()
    assert status["Threads"] == "1"
    assert os.getsid(child.pid) == child.pid
    # What it had of the fork server it closes once it has told its number.
    held = f"/proc/{child.pid}/fd"
    await asyncio.to_thread(eventually, lambda: len(os.listdir(held)) == 4, limit_s=LIMIT_S, what="only its own ones")
    descriptors = {int(one): os.readlink(f"{held}/{one}") for one in os.listdir(held)}
    assert descriptors.pop(0) == "/dev/null"
    assert {descriptors.pop(number) for number in (1, 2)} == {os.readlink(f"/proc/self/fd/{one}") for one in (1, 2)}
    (channel,) = descriptors.values()
    assert channel.startswith("socket:")
    assert await dismissed(child) == 0


async def test_lists_of_processes_name_role_and_name(starter: Starter) -> None:
    child = await starter.start("curator", "curator-12")
    assert of(child.pid, "cmdline").rstrip(b"\0 ") == b"recorder: curator curator-12"
    assert of(child.pid, "comm") == b"curator-12\n"
    assert await dismissed(child) == 0


async def test_a_fault_of_a_role_ends_the_child_with_its_trace_and_nothing_else(
    starter: Starter, capfd: pytest.CaptureFixture[str]
) -> None:
    child = await starter.start("writer", "writer-1")
    wrong = Start(role="writer", name="writer-1", instance="", settings="{", dsn="", writers=[], sockets=0)
    child.channel.send(wrong)
    assert await code_of(child) == 1
    told = capfd.readouterr().err
    assert told.count("Traceback (most recent call last)") == 1
    assert "ValidationError" in told
    (server,) = fork_servers()
    assert await dismissed(await starter.start("writer", "writer-1")) == 0
    assert fork_servers() == [server]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_child_that_a_signal_ends_tells_so(starter: Starter, number: signal.Signals) -> None:
    child = await starter.start("writer", "writer-1")
    os.kill(child.pid, number)
    assert await code_of(child) == -number


async def test_many_at_once_get_a_child_each(starter: Starter) -> None:
    names = [f"writer-{number}" for number in range(1, 5)]
    children = await asyncio.gather(*(starter.start("writer", name) for name in names))
    assert len({child.pid for child in children}) == len(names)
    assert [of(child.pid, "comm").decode().strip() for child in children] == names
    for child in children:
        assert await dismissed(child) == 0


async def test_a_role_that_there_is_not_is_refused_with_those_that_there_are(starter: Starter) -> None:
    with pytest.raises(LookupError, match=r"no role 'scribe'.*frontend, writer, curator, api, gateway"):
        await starter.start("scribe", "scribe-1")
    (server,) = fork_servers()
    assert await dismissed(await starter.start("writer", "writer-1")) == 0
    assert fork_servers() == [server]


async def test_a_fork_server_has_one_thread_whatever_it_has_loaded(starter: Starter) -> None:
    """A fork copies one; a lock that another one holds would stay held."""
    for role in ROLES:
        assert await dismissed(await starter.start(role, role)) == 0
    (server,) = fork_servers()
    assert len(os.listdir(f"/proc/{server}/task")) == 1
    # The standard ones and ours; a child's end of its channel it closes when it has forked.
    held = f"/proc/{server}/fd"
    await asyncio.to_thread(eventually, lambda: len(os.listdir(held)) == 4, limit_s=LIMIT_S, what="only its own ones")


async def test_a_dead_fork_server_is_replaced_at_once_with_what_it_had_loaded(
    starter: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    ready = asyncio.ensure_future(starter.keep_ready("writer"))
    first = await starter.start("writer", "writer-1")
    (dead,) = fork_servers()
    os.kill(dead, signal.SIGKILL)
    await asyncio.to_thread(eventually, lambda: fork_servers() not in ([], [dead]), limit_s=LIMIT_S, what="another")
    second = await starter.start("writer", "writer-2")
    assert alive(first.pid), "what it has forked is no child of it"
    for child in (first, second):
        assert await dismissed(child) == 0
    ready.cancel()


async def test_a_fork_server_that_dies_unnoticed_is_found_dead_and_replaced(starter: Starter) -> None:
    first = await starter.start("writer", "writer-1")
    os.kill(fork_servers()[0], signal.SIGKILL)
    # Without a turn of the loop in between.
    second = await starter.start("writer", "writer-2")
    for child in (first, second):
        assert await dismissed(child) == 0


async def test_a_fork_server_that_stands_still_is_replaced(starter: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_STILL_LOOKS", 2)
    assert await dismissed(await starter.start("writer", "writer-1")) == 0
    (stopped,) = fork_servers()
    os.kill(stopped, signal.SIGSTOP)
    child = await starter.start("writer", "writer-2")
    assert stopped not in fork_servers()
    assert await dismissed(child) == 0


async def test_a_fork_server_that_works_is_waited_for_however_long_it_takes(
    starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk or a full machine would be worse off with another one that starts anew."""
    monkeypatch.setattr(starting, "_STILL_LOOKS", 10)
    monkeypatch.setattr(starting, "_LOOK_S", 0.05)
    assert await dismissed(await starter.start("writer", "writer-1")) == 0
    server = fork_servers()
    for role in ("frontend", "curator", "api"):
        assert await dismissed(await starter.start(role, role)) == 0
    assert fork_servers() == server


async def test_whoever_gives_up_waiting_leaves_nothing_for_the_next(starter: Starter) -> None:
    """The answer to the request that was given up must not become that to the next one."""
    waiting = asyncio.ensure_future(starter.start("frontend", "frontend-a"))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    child = await starter.start("writer", "writer-1")
    assert of(child.pid, "comm") == b"writer-1\n"
    assert await dismissed(child) == 0


async def test_a_child_that_comes_after_its_start_was_given_up_is_waited_for(
    starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends by itself, and would be a zombie until the supervisor ends."""
    pair, ends = socket.socketpair, list[socket.socket]()

    def kept(*kind: int) -> tuple[socket.socket, socket.socket]:
        ours, theirs = pair(*kind)
        ends.append(theirs.dup())
        return ours, theirs

    monkeypatch.setattr(socket, "socketpair", kept)
    assert await dismissed(await starter.start("writer", "writer-1")) == 0
    os.kill(fork_servers()[0], signal.SIGKILL)
    await asyncio.to_thread(eventually, lambda: fork_servers() == [], limit_s=LIMIT_S, what="its end")
    late = await asyncio.to_thread(os.posix_spawn, "/bin/true", ["true"], {})
    ends[0].send(msgspec.msgpack.encode(Forked(late)))
    await asyncio.to_thread(eventually, lambda: not of(late, "status"), limit_s=LIMIT_S, what="no zombie")
    for end in ends:
        end.close()


async def test_a_machine_that_gives_no_process_is_asked_again(
    starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await dismissed(await starter.start("writer", "writer-1")) == 0
    fork, refused = starting._ForkServer.fork, [OSError(11, "Resource temporarily unavailable")]

    async def sometimes(server: starting._ForkServer, role: str, name: str) -> Started:
        if refused:
            raise refused.pop()
        return await fork(server, role, name)

    monkeypatch.setattr(starting._ForkServer, "fork", sometimes)
    assert await dismissed(await starter.start("writer", "writer-1")) == 0
    assert refused == []


async def test_what_a_child_sends_arrives_and_it_ends_with_us(starter: Starter) -> None:
    """Anything but its assignment is a supervisor that speaks another language."""
    child = await starter.start("writer", "writer-1")
    child.channel.send(Stop())
    assert await code_of(child) == 0
    with pytest.raises(ChannelLostError):
        Channel(child.channel.socket).receive()
