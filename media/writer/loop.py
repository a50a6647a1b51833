"""The writer process's loop: one epoll for control, one turn of the carousel after another, a heartbeat now and then.

Synchronous on purpose: asyncio costs several times the work that is done for a packet (docs/adr/0004). RTP sockets are
in no epoll: nearly all of them have something at each visit, and asking costs more than an empty read now and then.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from media.errors import ResourceError
from media.writer.config import PortPair, WriterConfig
from media.writer.control import ControlServer
from media.writer.engine import Engine
from media.writer.kernel import require_supported_machine

_log: Final = logging.getLogger(__name__)

_OTHER_DESCRIPTORS: Final = 96
"""Control connections, directories, log, and what libraries open."""
_SWITCH_S: Final = 0.001
"""Seconds after which a sync thread gets the interpreter from a busy loop; the default of 5 ms delays answers."""
_GC_THRESHOLDS: Final = (50_000, 20, 50)
"""The loop makes no reference cycles; the defaults would walk the heap hundreds of times a second."""


def run_writer(
    config: WriterConfig,
    ports: Sequence[PortPair],
    control: socket.socket,
    *,
    rings: Sequence[socket.socket] = (),
    watch: Mapping[int, Callable[[], None]] | None = None,
    stop: Callable[[], bool],
) -> None:
    """Capture until told to stop; then end every open capture with cause `writer-stopped`.

    Args:
        config: settings; `capture_dir` exists.
        ports: granted ports with their sockets, which stay open afterwards.
        control: listening Unix stream socket for frontends.
        rings: this writer's packet rings; without one the sockets of `ports` are read.
        watch: further descriptors, and what to call in the loop when one is readable.
        stop: asked at least every `config.tick_s`.

    Errors: `ResourceError` when the descriptor limit is too low or the machine is not supported, `LocalError` when
    another process runs as the same writer; whatever a `watch` callback raises ends the loop in order and goes on to
    the caller.

    """
    require_supported_machine()
    engine = Engine(config, ports, max_sessions=reserve_descriptors(len(ports)), rings=rings)
    poll = select.epoll()
    server = ControlServer(control, poll, engine.handle, engine.withholding.must_wait)
    callbacks: dict[int, Callable[[], None]] = {engine.syncer.fd: engine.collect, **(watch or {})}
    for fd in callbacks:
        poll.register(fd, select.EPOLLIN)
    sys.setswitchinterval(_SWITCH_S)
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    _log.info("writer started", extra={"writer": config.writer, "ports": len(ports)})
    try:
        _turn(config, engine, server, poll, callbacks, stop=stop)
    finally:
        engine.stop("writer-stopped")
        for message in engine.announcements():
            server.broadcast(message)
        server.close()
        poll.close()
        _log.info("writer stopped", extra={"writer": config.writer})


def _turn(
    config: WriterConfig,
    engine: Engine,
    server: ControlServer,
    poll: select.epoll,
    callbacks: Mapping[int, Callable[[], None]],
    *,
    stop: Callable[[], bool],
) -> None:
    next_beat = 0.0
    while not stop():
        now = time.monotonic()
        if engine.withholding.news() or now >= next_beat:
            server.broadcast(engine.heartbeat())
            next_beat = now + config.sync_interval_s
        turn = engine.next_turn()
        limit = min(next_beat, now + config.tick_s, turn if turn is not None else next_beat)
        for fd, events in poll.poll(max(0.0, limit - now)):
            if server.owns(fd):
                server.ready(fd, events)
            elif fd in callbacks:
                callbacks[fd]()
        engine.visit()
        server.resume()
        for message in engine.announcements():
            server.broadcast(message)


def reserve_descriptors(ports: int) -> int:
    """Raise the soft descriptor limit and return how many captures may be open at once.

    Two streams to a capture must fit, or the writer does not start: better no start than calls lost at the limit.
    """
    open_now = len(os.listdir("/proc/self/fd"))
    fixed = open_now + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed, wanted = fixed + (ports + 1) // 2, fixed + ports
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ResourceError(
            f"{ports} ports need {needed} file descriptors, the limit is {hard}:"
            " raise it (ulimit -Hn, LimitNOFILE=) or grant fewer ports"
        )
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit - fixed
