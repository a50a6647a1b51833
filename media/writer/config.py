"""What a writer process is told at its start. No reading of configuration files: the recorder composes these values."""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PortPair:
    """One RTP port of the granted range with its sockets, bound by the supervisor."""

    port: int
    """Local RTP port, even by convention; RTCP is the next one."""
    rtp: socket.socket
    rtcp: socket.socket | None
    """None where no RTCP socket was granted: RTCP is then received on the RTP port only (rtcp-mux)."""
    host: str
    """Local address that the sockets are bound to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterConfig:
    """Settings of one writer process."""

    writer: str
    """Name of the writer, unique on the host; part of captures, heartbeats and log lines."""
    capture_dir: Path
    """Root of the captures; one file system, on local disk."""
    advertised_host: str = ""
    """Address for SDP answers; empty means the address that the ports are bound to."""
    arena_path: Path | None = None
    """File on tmpfs that keeps packets between the kernel and the capture, so that a successor process can save what a
    killed one had read and not yet appended. One path per writer name. None: private memory, nothing is saved."""
    tick_s: float = 0.1
    """Seconds that the loop sleeps at most, also when idle."""
    sync_interval_s: float = 0.5
    """Seconds between two rounds, and between heartbeats. A round visits the ports of every session and ends with a
    sync of the capture file system; the kernel's buffers hold the packets meanwhile."""
    min_free_bytes: int = 1 << 30
    """Low-water mark of the capture file system; below it new sessions are refused."""
    cooldown_s: float = 5.0
    """Seconds for which a used port is not given to another session, so that late packets find nobody."""
    recovery_s: float = 30.0
    """Seconds for which packets saved from a dead predecessor wait for their session to be adopted."""
    standstill_s: float = math.inf
    """Seconds without a turn of the loop after which a frontend has to say what was agreed meanwhile, before anything
    that came is recorded; at the start as well. Infinite where none could agree to anything without this writer."""
    report_interval_s: float = 5.0
    """Shortest interval between receiver reports on a stream (RFC 3550 §6.2); 0 sends none."""
    same_host_silence_s: float = 0.2
    """A source may move to another port of the same host, unannounced, after so much silence."""
    same_ssrc_silence_s: float = 1.0
    """A source may move to another host with the same SSRC, unannounced, after so much silence."""
    other_host_silence_s: float = 5.0
    """Any valid source may take over a stream, unannounced, after so much silence."""
