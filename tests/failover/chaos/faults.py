"""What can happen to a recorder: signals to its processes, commands to its supervisor.

Looks at no audio; that is `oracle`. Every fault ends by itself, so that what was frozen runs again.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import asyncpg

from recorder.control import ask
from recorder.errors import NotRunningError
from recorder.simulator.simulation import Target as SipTarget
from recorder.state_dir import StateDir
from tests.kit.running import RunningRecorder, alive, descendants, kill_if_there

REPLACED_S: Final = 60.0
"""Longest time until replacements work, on a machine that is busy with other tests."""
_WORKING: Final = frozenset({"running", "active", "standby"})
_POLL_S: Final = 0.02


class Target:
    """A running recorder as faults see it."""

    def __init__(self, recorder: RunningRecorder) -> None:
        self._recorder = recorder
        self._state_dir = StateDir(recorder.state_dir)
        self.sip = SipTarget("udp", "127.0.0.1", recorder.sip_port)
        """Where calls go."""

    @property
    def state_dir(self) -> StateDir:
        """Of a recorder that runs."""
        return self._state_dir

    def captures(self) -> list[Path]:
        """Return every directory that captures may lie in."""
        return [self._state_dir.captures]

    def processes(self) -> list[dict[str, Any]]:
        """Return what the supervisor says of its processes."""
        found: list[dict[str, Any]] = ask(self._state_dir, "status")["processes"]
        return found

    def pids(self, role: str, *states: str) -> list[int]:
        """Return the processes of a role that run now, in one of the given states, or in any."""
        return [
            one["pid"]
            for one in self.processes()
            if one["role"] == role and one["pid"] and (not states or one["state"] in states)
        ]

    def active(self) -> int:
        """Return the process of the active frontend, waiting for there to be one."""
        deadline = time.monotonic() + REPLACED_S
        while time.monotonic() < deadline:
            found = self.pids("frontend", "active")
            if found:
                return found[0]
            time.sleep(_POLL_S)
        raise AssertionError(f"no frontend is active\n{self._recorder.log_tail()}")

    def postgres(self) -> list[int]:
        """Return all processes of the embedded PostgreSQL, its parent first."""
        assert self._recorder.process
        for pid in descendants(self._recorder.process.pid):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    command = file.read()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"unix_socket_directories" in command:
                return [pid, *descendants(pid)]
        return []

    @contextmanager
    def postgres_away(self) -> Iterator[None]:
        """PostgreSQL as on a host that hangs: nothing of it answers, and nothing of it is gone."""
        # The parent first, so that no process of it is born behind our back and answers.
        chosen = self.postgres()[:1]
        assert chosen, "PostgreSQL does not run"
        send(chosen, signal.SIGSTOP)
        while not stopped(chosen[0]):
            time.sleep(_POLL_S)
        children = descendants(chosen[0])
        send(children, signal.SIGSTOP)
        try:
            yield
        finally:
            # Never a number that another process may have by now.
            send((pid for pid in (*children, *chosen) if alive(pid)), signal.SIGCONT)

    def command(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Give the supervisor a command; what it refuses at such a moment is no matter of ours."""
        try:
            return ask(self._state_dir, name, **arguments)
        except NotRunningError as error:
            return {"error": str(error)}

    def whole(self) -> bool:
        """Whether every process is there, works, and answers; whether the catalog has everything."""
        processes = self.processes()
        active = [one for one in processes if one["state"] == "active"]
        standbys = [one for one in processes if one["state"] == "standby"]
        return (
            all(one["pid"] and one["state"] in _WORKING for one in processes)
            and len(active) == 1
            and active[0].get("standbys") == len(standbys)
            and not active[0].get("unable")
            and active[0].get("catalog") == "current"
        )

    async def recovered(self) -> None:
        """Wait until it is whole again."""
        deadline = time.monotonic() + REPLACED_S
        while not await asyncio.to_thread(self.whole):
            if time.monotonic() > deadline:
                raise AssertionError(f"not whole again: {self.processes()}\n{self._recorder.log_tail()}")
            await asyncio.sleep(0.1)


Strike = Callable[[Target, random.Random], Awaitable[None]]
TargetT = TypeVar("TargetT")


@dataclass(frozen=True)
class Fault(Generic[TargetT]):
    """Something that happens once to a recorder, or to a site."""

    name: str
    strike: Callable[[TargetT, random.Random], Awaitable[None]]
    cost: int = 0
    """Packets of each stream that it may cost."""
    blurs: bool = False
    """It reorders signalling and media of a client: which packets are of a pause is then no fact of the client's."""


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, those that are gone left out."""
    for pid in pids:
        kill_if_there(pid, number)


def stopped(pid: int) -> bool:
    """Whether a process stands still, or is no more."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "TZ"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def frozen(pids: Iterable[int], seconds: float) -> None:
    """Stop processes for a while; one that is killed meanwhile stays dead."""
    chosen = list(pids)
    send(chosen, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        # Never a number that another process may have by now.
        send((pid for pid in chosen if alive(pid)), signal.SIGCONT)


async def read_only(dsn: str, seconds: float) -> None:
    """Let PostgreSQL answer and take no write for a while, as a server that has been demoted."""
    await set_read_only(dsn, on=True)
    try:
        await asyncio.sleep(seconds)
    finally:
        await set_read_only(dsn, on=False)


async def set_read_only(dsn: str, *, on: bool) -> None:
    """Begin or end that PostgreSQL takes no write."""
    await _administer(dsn, f"ALTER SYSTEM SET default_transaction_read_only = {on}")


async def _administer(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


def _kill(*roles: str, states: tuple[str, ...] = (), one: bool = False) -> Strike:
    async def strike(target: Target, rng: random.Random) -> None:
        victims = [pid for role in roles for pid in await asyncio.to_thread(target.pids, role, *states)]
        send([rng.choice(victims)] if one and victims else victims, signal.SIGKILL)

    return strike


def _freeze(role: str, shortest_s: float, longest_s: float, *, states: tuple[str, ...] = ()) -> Strike:
    async def strike(target: Target, rng: random.Random) -> None:
        victims = await asyncio.to_thread(target.pids, role, *states)
        if victims:
            await frozen([rng.choice(victims)], rng.uniform(shortest_s, longest_s))

    return strike


async def _kill_active(target: Target, _: random.Random) -> None:
    os.kill(await asyncio.to_thread(target.active), signal.SIGKILL)


async def _kill_postgres(target: Target, _: random.Random) -> None:
    send(await asyncio.to_thread(target.postgres), signal.SIGKILL)


async def without_postgres(target: Target, seconds: float) -> None:
    """Freeze the whole of PostgreSQL for a while."""
    with target.postgres_away():
        await asyncio.sleep(seconds)


def _freeze_postgres(shortest_s: float, longest_s: float) -> Strike:
    async def strike(target: Target, rng: random.Random) -> None:
        await without_postgres(target, rng.uniform(shortest_s, longest_s))

    return strike


async def _kill_active_blind(target: Target, rng: random.Random) -> None:
    """Kill the active frontend while PostgreSQL is away: the next one has what it was told."""
    away = asyncio.ensure_future(without_postgres(target, 4.0))
    await asyncio.sleep(rng.uniform(0.2, 2.5))
    await _kill_active(target, rng)
    await away


async def _kill_successor(target: Target, rng: random.Random) -> None:
    """Kill the active frontend, and whoever takes over while he is at it."""
    successors = await asyncio.to_thread(target.pids, "frontend", "standby")
    await _kill_active(target, rng)
    await asyncio.sleep(rng.uniform(0.0, 0.15))
    send(successors, signal.SIGKILL)


async def _read_only(target: Target, rng: random.Random) -> None:
    running = target.state_dir.read_running()
    assert running
    await read_only(running.dsn, rng.uniform(1.0, 4.0))


async def _switchover(target: Target, _: random.Random) -> None:
    await asyncio.to_thread(target.command, "switchover")


async def _fail_syncs(target: Target, rng: random.Random) -> None:
    """Let every sync of one writer end with EIO for a while; the first one makes it give up."""
    victim = str(rng.choice(await asyncio.to_thread(target.pids, "writer")))
    calls = "fsync,fdatasync,syncfs"
    command = ["strace", "-qq", "-f", "-o", "/dev/null", "-p", victim, "-e", f"trace={calls}"]
    tracer = await asyncio.create_subprocess_exec(
        *command, "-e", f"inject={calls}:error=EIO", stderr=asyncio.subprocess.PIPE
    )
    try:
        await asyncio.sleep(rng.uniform(1.0, 2.0))
    finally:
        # Unless it has ended with the writer, which is replaced.
        if tracer.returncode is None:
            tracer.terminate()
        said = (await tracer.communicate())[1]
    assert b"ptrace" not in said, f"strace may not trace here: {said.decode()}"


async def _step_clock(_: Target, rng: random.Random) -> None:
    """Set the clock of this machine, for everybody on it, and after a while set it back by as much."""
    step_s = rng.choice((-1, 1)) * rng.uniform(0.5, 5.0)
    _move_clock(step_s)
    try:
        await asyncio.sleep(rng.uniform(1.0, 4.0))
    finally:
        _move_clock(-step_s)


def _move_clock(step_s: float) -> None:
    time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + int(step_s * 1e9))


async def _drain_writer(target: Target, rng: random.Random) -> None:
    writers = [one["name"] for one in await asyncio.to_thread(target.processes) if one["role"] == "writer"]
    writer = rng.choice(writers)
    await asyncio.to_thread(target.command, "drain-writer", writer=writer, draining=True)
    await asyncio.sleep(rng.uniform(0.5, 3))
    await asyncio.to_thread(target.command, "drain-writer", writer=writer, draining=False)


_MOVED: Final = 5 * 50
"""Packets of a stream until its session has moved from a writer that takes nothing more, on a busy machine."""

FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("frontend-killed", _kill_active),
        Fault("standby-killed", _kill("frontend", states=("standby",))),
        Fault("frontends-killed", _kill("frontend")),
        Fault("frontend-hiccup", _freeze("frontend", 0.2, 1.5, states=("active",))),
        Fault("frontend-frozen", _freeze("frontend", 3.0, 5.0, states=("active",))),
        Fault("standby-frozen", _freeze("frontend", 0.5, 3.0, states=("standby",))),
        Fault("writer-killed", _kill("writer", one=True), cost=1),
        Fault("writers-killed", _kill("writer"), cost=1),
        Fault("writer-hiccup", _freeze("writer", 0.2, 1.0)),
        Fault("writer-frozen", _freeze("writer", 3.0, 4.0), cost=1),
        Fault("curator-killed", _kill("curator")),
        Fault("curator-frozen", _freeze("curator", 0.5, 3.0)),
        Fault("frontend-and-writers-killed", _kill("frontend", "writer"), cost=1),
        Fault("all-but-postgresql-killed", _kill("frontend", "writer", "curator", "api"), cost=1),
        Fault("postgresql-killed", _kill_postgres),
        Fault("postgresql-frozen", _freeze_postgres(1.0, 4.0)),
        Fault("frontend-killed-while-postgresql-frozen", _kill_active_blind),
        Fault("postgresql-read-only", _read_only),
        Fault("switchover", _switchover),
        Fault("writer-drained", _drain_writer),
    )
}
"""By name; each takes a few seconds at most."""

ASKED_FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("writer-sync-fails", _fail_syncs, cost=_MOVED),
        Fault("clock-step", _step_clock),
        Fault("successor-killed", _kill_successor),
        Fault("postgresql-away-10s", _freeze_postgres(10, 10)),
        Fault("postgresql-away-60s", _freeze_postgres(60, 60)),
    )
}
"""Long ones, one that needs strace, one that sets the clock of the whole machine, and one that may leave an INVITE
without an answer because all who knew of it are dead (docs/takeover.md): these strike only when they are asked for."""
