"""Run the capture writer on granted sockets until told to stop."""

from __future__ import annotations

import math
import signal
from typing import Final

import structlog

from media.writer.config import PortPair, WriterConfig
from media.writer.loop import run_writer
from recorder.channel import Channel, Drain, Drained, Ready, StateChanged, Stop
from recorder.errors import ChannelLostError
from recorder.role import Assignment

_log = structlog.get_logger()

_MEGABYTE: Final = 1 << 20
_TICK_S: Final = 0.1
"""Seconds that an idle writer sleeps at most."""


def run(assignment: Assignment) -> None:
    """Capture until told to stop."""
    supervisor = _Supervisor(assignment.channel)
    signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())
    media, ha = assignment.settings.media, assignment.settings.ha
    # Heartbeats may have been missed before it stood still, and others count from the last one that they heard.
    standstill_s = ha.lost_after_ms / 1000 / 2 if ha.listen else math.inf
    config = WriterConfig(
        writer=assignment.name,
        capture_dir=assignment.state_dir.captures,
        advertised_host=media.advertised_host or assignment.settings.sip.advertised_host,
        arena_path=assignment.arena,
        tick_s=min(_TICK_S, standstill_s / 2),
        sync_interval_s=media.sync_interval_ms / 1000,
        min_free_bytes=media.min_free_mb * _MEGABYTE,
        cooldown_s=media.port_cooldown_s,
        standstill_s=standstill_s,
        report_interval_s=media.report_interval_s,
    )
    media_sockets = assignment.sockets["rtp"]
    pairs = [
        PortPair(port, rtp, rtcp, media.host)
        for (port, rtp), (_, rtcp) in zip(media_sockets[::2], media_sockets[1::2], strict=True)
    ]
    _, control = assignment.sockets["control"][0]
    supervisor.ready()
    run_writer(
        config,
        pairs,
        control,
        rings=[ring for _, ring in assignment.sockets.get("ring", [])],
        watch={assignment.channel.socket.fileno(): supervisor.read},
        stop=lambda: supervisor.stopping,
    )


class _Supervisor:
    """The supervisor's messages inside the writer's own loop."""

    def __init__(self, channel: Channel) -> None:
        self.stopping = False
        self._channel = channel
        channel.socket.setblocking(False)

    def ready(self) -> None:
        self._channel.send(Ready())
        self._channel.send(StateChanged(state="running", detail={}))

    def stop(self) -> None:
        self.stopping = True

    def read(self) -> None:
        try:
            while True:
                message, _ = self._channel.receive()
                match message:
                    case Stop():
                        self.stopping = True
                    case Drain():
                        self._channel.send(Drained())
                    case _:
                        _log.error("unexpected message from the supervisor", message=type(message).__name__)
        except BlockingIOError:
            return
        except ChannelLostError:
            # Without the supervisor nobody keeps the sockets: end the captures in good order.
            self.stopping = True
