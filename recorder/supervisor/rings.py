"""The packet rings of the writers, owned like their sockets by the process that outlives them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

import structlog

from media.errors import ResourceError
from media.writer.packet_socket import accept_datagrams, open_rings
from recorder.settings import MediaSettings
from recorder.supervisor.sockets import MediaPair

_log = structlog.get_logger()


class Rings:
    """Packet rings by writer; none where the settings or the system want sockets.

    Args:
        settings: `source` and `ring_mb` count here.
        pairs: media sockets of each writer.

    """

    def __init__(self, settings: MediaSettings, pairs: Mapping[str, Sequence[MediaPair]]) -> None:
        self._pairs = {name: mine for name, mine in pairs.items() if mine}
        self._rings: dict[str, list[socket.socket]] = {}
        if settings.source != "ring":
            return
        shares = [(mine[0].port, mine[-1].port + 1) for mine in self._pairs.values()]
        try:
            opened = open_rings(settings.host, shares, settings.ring_mb)
        except (PermissionError, ResourceError) as error:
            _log.warning(
                "no packet ring; recording with sockets",
                reason="CAP_NET_RAW is missing" if isinstance(error, PermissionError) else str(error),
                remedy="give the capability (AmbientCapabilities=CAP_NET_RAW), or set media.source = 'sockets'",
            )
            return
        self._rings = dict(zip(self._pairs, opened, strict=True))

    def of(self, writer: str) -> list[socket.socket]:
        """Return the rings of a writer, one for each IP version."""
        return self._rings.get(writer, [])

    def writer_died(self, writer: str) -> None:
        """Let a writer's sockets take their datagrams themselves until the next one reads its ring."""
        if writer in self._rings:
            for pair in self._pairs[writer]:
                accept_datagrams(pair.rtp)
                accept_datagrams(pair.rtcp)
