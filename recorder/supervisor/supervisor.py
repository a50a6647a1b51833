"""Start the processes of one host, keep them alive, and end them in an order that loses nothing.

The only state here is which child runs and which sockets exist; a call is never known to this process, so there is
nothing to lose in it but the sockets. It stays small on purpose: its death is a host failure (design, section 2).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from string import ascii_lowercase
from typing import Any, Final

import structlog

from recorder import unix_socket
from recorder.channel import (
    Channel,
    Drain,
    Fatal,
    Message,
    Reload,
    Start,
    StateChanged,
    Stop,
    WriterDied,
    WriterStuck,
)
from recorder.errors import ChannelLostError, SetupError
from recorder.ha.vault import make_key_file, open_vault
from recorder.settings import Settings
from recorder.state_dir import Running, StateDir, key_file, recordings_root
from recorder.stores import directories, directory_faults, s3_options
from recorder.supervisor.child import Child
from recorder.supervisor.choice import ActiveChoice
from recorder.supervisor.control import ControlServer
from recorder.supervisor.edge_files import SharedEdgeFiles
from recorder.supervisor.grants import Grant, Grants
from recorder.supervisor.starter import Starter
from recorder.supervisor.waiting import each, first
from storage.errors import StorageError
from storage.postgres import EmbeddedPostgres

_log = structlog.get_logger()

_FIRST_ALONE_S: Final = 3.0
_STOP_LIMIT_S: Final = 10.0
"""Time a child gets between Stop and SIGKILL; a writer's last flush takes well under a second."""
_TAKEOVER_S: Final = 2.0
"""The longest wait of a dead frontend's replacement for its successor to be at work."""


class Supervisor:
    """One host's recorder. `run` returns when it has ended."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state_dir = StateDir(settings.state_dir)
        self._started_at = datetime.now(UTC)
        self._instance = token_hex(8)
        self._state = "starting"
        self._children: dict[str, Child] = {}
        self._grants: Grants | None = None
        self._starter = Starter()
        self._postgres: EmbeddedPostgres | None = None
        self._dsn = settings.database.dsn
        self._edge_files = SharedEdgeFiles(settings)
        self._fatal = ""
        """Why the recorder has to end; said by a child."""
        self._active = ActiveChoice(self._frontends, lambda: self._state in {"stopping", "ended"})
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._restarts: set[asyncio.Task[None]] = set()
        self._control: ControlServer | None = None
        self._lock = -1

    async def run(self) -> None:
        """Start everything, wait for SIGTERM or SIGINT, end everything.

        Raises:
            SetupError: something the settings ask for is not to be had; everything already started has been ended.

        """
        self._state_dir.create()
        if not self._settings.checkpoints.key_file:
            make_key_file(key_file(self._settings))
        open_vault(key_file(self._settings))
        self._take_lock()
        # Where it is ignored, as some parents leave it, nobody learns how a child ended.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)
        try:
            await self._start()
            await self._stop.wait()
            await self._drain()
        finally:
            await self._end()
        if self._fatal:
            raise SetupError(self._fatal)

    def _take_lock(self) -> None:
        self._lock = os.open(self._state_dir.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise SetupError(
                f"another recorder runs on state directory {self._state_dir.root}: stop it, or choose another"
                " directory with --state-dir"
            ) from None

    def _on_signal(self) -> None:
        if self._stop.is_set():
            _log.warning("second signal: not waiting for running sessions")
            self._hurry.set()
        self._stop.set()

    def _on_reload(self) -> None:
        _log.info("reading certificates, profiles and users again")
        self._edge_files.renew()
        for child in self._children.values():
            if child.role == "frontend":
                child.send(Reload(), [self._edge_files.descriptor])

    # Starting

    async def _start(self) -> None:
        settings = self._settings
        for fault in directory_faults(settings):
            # Calls are recorded all the same: what cannot be finished waits in its captures.
            _log.error("finished recordings cannot be kept there", reason=fault)
        self._grants = Grants(settings, self._state_dir, writers=self._writers())
        self._control = ControlServer(
            unix_socket.listen(self._state_dir.control_socket),
            {
                "status": self._status,
                "stop": self._on_stop,
                "switchover": self._switchover,
                "drain-writer": self._drain_writer,
            },
        )
        await self._control.start()
        # While PostgreSQL comes up, the modules are loaded that are needed first.
        self._watch(self._starter.keep_ready("writer", "frontend"))
        for name in self._writers():
            self._spawn("writer", name)
        await self._start_database()
        frontends = [f"frontend-{letter}" for letter in ascii_lowercase[: settings.sip.frontends]]
        # The first frontend has the processor for itself; the rest starts once calls can be recorded. Health has to be
        # told even so when that takes long, because the database is away.
        self._spawn("frontend", frontends[0])
        await first(self._stop.wait(), self._active.settled.wait(), limit_s=_FIRST_ALONE_S)
        if self._stop.is_set():
            return
        self._watch(self._active.replace_silent())
        for name in frontends[1:]:
            self._spawn("frontend", name)
        for role in ("gateway", "api"):
            if self._grants.of(role, role):
                self._spawn(role, role)
        for number in range(1, settings.curator.processes + 1):
            self._spawn("curator", f"curator-{number}")
        everything = [self._active.settled, *(child.ready for child in self._children.values())]
        await first(self._stop.wait(), each(everything))
        if not self._stop.is_set():
            self._state = "running"

    def _writers(self) -> list[str]:
        return [f"writer-{number}" for number in range(1, self._settings.media.writers + 1)]

    def _frontends(self) -> list[Child]:
        return [child for child in self._children.values() if child.role == "frontend"]

    def _announce(self, state: str) -> None:
        sip, http = self._settings.sip, self._settings.http
        _log.info(
            "ready to record" if state == "active" else "standing by for another host",
            sip=f"udp+tcp {sip.host}:{sip.port}" + (f" tls {sip.host}:{sip.tls_port}" if sip.tls_port else ""),
            http=f"http://{http.host}:{http.port}" if http.port else "off",
            writers=self._settings.media.writers,
            streams=self._settings.media.max_streams,
            state_dir=str(self._state_dir.root),
            seconds=round((datetime.now(UTC) - self._started_at).total_seconds(), 2),
        )

    async def _start_database(self) -> None:
        if not self._dsn:
            self._postgres = EmbeddedPostgres(self._state_dir.postgres, run_dir=self._state_dir.run)
            try:
                await self._postgres.start()
            except StorageError as error:
                raise SetupError(f"embedded PostgreSQL: {error}") from None
            self._dsn = self._postgres.dsn
            self._watch(self._keep_database())
        self._state_dir.write_running(
            Running(
                dsn=self._dsn,
                recordings_root=str(recordings_root(self._settings)),
                retention=self._settings.retention.model_dump(mode="json"),
                node=self._settings.node,
                directories={name: str(path) for name, path in directories(self._settings).items()},
                object_store=s3_options(self._settings),
            )
        )

    async def _keep_database(self) -> None:
        while self._postgres and self._postgres.process:
            code = await self._postgres.process.wait()
            if self._state == "ended":
                return
            _log.error("embedded postgresql died; starting it again", exit_code=code)
            try:
                await self._postgres.start()
            except StorageError as error:
                _log.error("embedded postgresql does not start", reason=str(error))
                await asyncio.sleep(1)

    def _watch(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    def _spawn(self, role: str, name: str) -> None:
        self._watch(self._begin(self._children.setdefault(name, Child(role, name, self._on_exit, self._on_message))))

    async def _begin(self, child: Child) -> None:
        channel = await child.start(self._starter)
        # Of one that is dead already the exit is reported anyway.
        with suppress(ChannelLostError):
            self._introduce(channel, child)
        child.listen()

    def _introduce(self, channel: Channel, child: Child) -> None:
        grants = list(self._grants.of(child.role, child.name)) if self._grants else []
        if child.role == "frontend":
            grants.append(Grant("edge", [(self._edge_files.descriptor,)], [0]))
        channel.send(
            Start(
                role=child.role,
                name=child.name,
                instance=self._instance,
                settings=self._settings.model_dump_json(),
                dsn="" if child.role == "writer" else self._dsn,
                writers=self._writers(),
                sockets=sum(grant.messages for grant in grants),
            )
        )
        for grant in grants:
            channel.grant(*grant)

    # Watching

    def _on_message(self, child: Child, message: Message) -> None:
        match message:
            case StateChanged(state="active" | "candidate"):
                if self._state == "starting" and not self._active.settled.is_set():
                    self._announce(message.state)
                self._active.settled.set()
            case StateChanged(state="standby"):
                self._active.name_one()
            case Fatal():
                self._fatal = self._fatal or message.reason
                self._hurry.set()
                self._stop.set()
            case WriterStuck() if child is self._active.named and message.writer in self._children:
                writer = self._children[message.writer]
                if writer.pid and writer.stuck.confirmed(writer.pid):
                    _log.error("writer makes no progress; replacing it", name=message.writer)
                    writer.kill()
            case StateChanged(state="ended"):
                self._active.is_gone(child)
            case _:
                pass

    def _on_exit(self, child: Child, code: int) -> None:
        self._active.is_gone(child)
        if self._state in {"stopping", "ended"}:
            return
        if code == 0:
            _log.info("process ended; starting another", role=child.role, name=child.name)
        else:
            _log.error("process died; starting a replacement", role=child.role, name=child.name, exit_code=code)
        if child.role == "writer":
            if self._grants:
                self._grants.writer_died(child.name)
            for other in self._children.values():
                if other.role == "frontend":
                    other.send(WriterDied(writer=child.name))
        self._watch(self._respawn(child))

    async def _respawn(self, child: Child) -> None:
        await asyncio.sleep(child.restart_delay())
        if child.role == "frontend":
            # The processor that its start would take is what its successor needs now.
            await self._active.has_taken_over(_TAKEOVER_S)
        if self._state not in {"stopping", "ended"}:
            self._spawn(child.role, child.name)

    # Ending

    async def _drain(self) -> None:
        self._state = "draining"
        limit = self._settings.shutdown.drain_limit_s
        _log.info("draining: new sessions get 503", limit_s=limit)
        await self._drain_active(limit)
        self._state = "stopping"
        await self._stop_role("frontend")
        await self._stop_role("writer")
        await self._drain_role("curator", self._settings.shutdown.finalise_limit_s)

    async def _drain_active(self, limit: float) -> None:
        named = self._active.named
        if named and named.detail.get("rivals"):
            _log.info("sessions go on at another host of the site")
        elif named:
            await self._drain_children([named], limit)

    async def _drain_role(self, role: str, limit: float) -> None:
        await self._drain_children([one for one in self._children.values() if one.role == role and one.channel], limit)

    async def _drain_children(self, children: list[Child], limit: float) -> None:
        for child in children:
            child.send(Drain(limit_s=limit))
        # The child keeps to the limit itself; the margin is for one that does not.
        await first(each(child.drained for child in children), self._hurry.wait(), limit_s=limit + _STOP_LIMIT_S)

    async def _stop_role(self, *roles: str) -> None:
        children = [child for child in self._children.values() if child.role in roles and child.pid]
        for child in children:
            child.send(Stop())
        waiting = [child for child in children if not child.exited.is_set()]
        await first(each(child.exited for child in waiting), limit_s=_STOP_LIMIT_S)
        for child in waiting:
            if not child.exited.is_set():
                _log.error("process did not stop; killing it", role=child.role, name=child.name)
                child.kill()
                await child.exited.wait()

    async def _end(self) -> None:
        self._state = "stopping"
        for task in list(self._restarts):
            task.cancel()
        await self._stop_role("frontend", "writer", "curator", "api", "gateway")
        self._state = "ended"
        await self._starter.close()
        if self._postgres:
            await self._postgres.stop()
        if self._control:
            self._control.close()
        sockets_of = (self._state_dir.control_socket, self._state_dir.state_socket, *self._sockets_of_writers())
        for path in (*sockets_of, self._state_dir.running_file):
            path.unlink(missing_ok=True)
        os.close(self._lock)
        _log.info("ended")

    def _sockets_of_writers(self) -> list[Path]:
        return [self._state_dir.writer_socket(name) for name in self._writers()]

    # Answering recorder-admin

    async def _status(self, _: Any) -> dict[str, Any]:
        processes = [
            {"role": "supervisor", "name": "supervisor", "pid": os.getpid(), "state": self._state, "restarts": 0}
        ]
        for child in self._children.values():
            processes.append(
                {
                    "role": child.role,
                    "name": child.name,
                    "pid": child.pid,
                    "state": child.state,
                    "restarts": child.restarts,
                    **child.detail,
                }
            )
        settings = self._settings
        return {
            "node": settings.node,
            "version": version("tandem-recorder"),
            "state": self._state,
            "started_at": self._started_at.isoformat(),
            "state_dir": str(settings.state_dir),
            "sip": {
                "host": settings.sip.host,
                "port": settings.sip.port,
                "tls_port": settings.sip.tls_port,
                "transports": ["udp", "tcp", *(["tls"] if settings.sip.tls_port else [])],
            },
            "http": {"host": settings.http.host, "port": settings.http.port},
            "site": {"name": settings.ha.site, "lease": settings.ha.lease, "alone": not settings.ha.listen},
            "database": {"embedded": self._postgres is not None},
            "processes": processes,
        }

    async def _switchover(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """End the active frontend in good order; a standby takes over its dialogs, here or on another host."""
        if request.get("away"):
            if not self._settings.ha.listen:
                return {"error": "this host is alone: ha.listen is not set"}
            before, after = await self._active.hand_over(self._settings.ha.lease_s, _STOP_LIMIT_S)
        else:
            before, after = await self._active.switch_over(_STOP_LIMIT_S)
        return {"from": before, "to": after} if before else {"error": after}

    async def _drain_writer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Give a writer nothing new and move its sessions to others; or use it again."""
        writer, draining = str(request.get("writer")), bool(request.get("draining", True))
        known = [*self._writers(), *self._active.writers_elsewhere()]
        # The own ones may be called by their full names as well.
        node, _, name = writer.rpartition("/")
        writer = name if node == self._settings.node else writer
        if writer not in known:
            there_are = f"there are {', '.join(known)}{self._active.whereabouts()}"
            return {"error": f"no writer {writer!r}; {there_are}", "unknown": writer}
        refused = self._active.drain(writer, known, draining=draining)
        return {"error": refused} if refused else {"writer": writer, "draining": draining}

    async def _on_stop(self, _: Any) -> dict[str, Any]:
        self._on_signal()
        return {"state": "draining"}
