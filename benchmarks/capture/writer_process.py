"""The real writer as a process of the capture benchmark; binds its own ports and waits for SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from media.writer import syncing
from media.writer.config import PortPair, WriterConfig
from media.writer.loop import run_writer
from media.writer.packet_socket import open_rings


def main() -> None:
    host, first, step, streams, sync_s, synced, root, arena, buffer, cpu, source, ring_mb = sys.argv[1:]
    os.sched_setaffinity(0, {int(cpu)})
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    pairs: list[PortPair] = []
    for stream in range(int(streams)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if int(buffer):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(buffer))
        sock.bind((host, int(first) + stream * int(step)))
        pairs.append(PortPair(int(first) + stream * int(step), sock, None, host))
    rings = open_rings(host, [(pairs[0].port, pairs[-1].port)], int(ring_mb))[0] if source == "ring" else []
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.bind(f"{root}/control")
    control.listen(4)
    if not int(synced):
        # What a sync costs is the difference.
        syncing.sync_file_system = lambda _: None
    config = WriterConfig(
        writer="bench",
        capture_dir=Path(root),
        arena_path=Path(arena),
        sync_interval_s=float(sync_s),
        min_free_bytes=0,
    )
    run_writer(config, pairs, control, rings=rings, stop=lambda: bool(stopped))


if __name__ == "__main__":
    main()
