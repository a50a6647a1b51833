"""A writer process for tests: `python -m tests.integration.media_writer_process JSON`; descriptors are inherited."""

from __future__ import annotations

import ctypes
import json
import signal
import socket
import sys
from pathlib import Path

from media.writer.config import PortPair, WriterConfig
from media.writer.loop import run_writer

PR_SET_PDEATHSIG = 1


def main() -> None:
    # Ends with the tests, however those end.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    told = json.loads(sys.argv[1])
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    settings = told["config"]
    for key in ("capture_dir", "arena_path"):
        if settings.get(key) is not None:
            settings[key] = Path(settings[key])
    ports = [
        PortPair(port, socket.socket(fileno=rtp), socket.socket(fileno=rtcp) if rtcp >= 0 else None, "127.0.0.1")
        for port, rtp, rtcp in told["ports"]
    ]
    control = socket.socket(fileno=told["control"])
    rings = [socket.socket(fileno=ring) for ring in told["rings"]]
    run_writer(WriterConfig(**settings), ports, control, rings=rings, stop=lambda: bool(stopped))


if __name__ == "__main__":
    main()
