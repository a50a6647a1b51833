"""What a plain Python recorder does: one asyncio datagram endpoint per stream, one file per stream. A process.

Arguments: directory, streams, core. Prints the ports, then waits for SIGTERM and ends its files.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import sys
from io import BufferedWriter
from pathlib import Path

HEADER = struct.Struct(">BBHII")


class Stream(asyncio.DatagramProtocol):
    """Receives one stream."""

    def __init__(self, file: BufferedWriter) -> None:
        self.file = file
        self.ssrc: int | None = None
        self.source: tuple[str, int] | None = None
        self.last = -1
        self.lost = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Check a packet and append its payload."""
        if len(data) < HEADER.size:
            return
        first, _, sequence, _, ssrc = HEADER.unpack_from(data)
        if first >> 6 != 2:
            return
        if self.ssrc is None:
            self.ssrc, self.source = ssrc, addr
        elif ssrc != self.ssrc or addr != self.source:
            return
        if self.last >= 0 and sequence != (self.last + 1) & 0xFFFF:
            self.lost += 1
        self.last = sequence
        self.file.write(data[HEADER.size + 4 * (first & 0x0F) :])


def wav_header(size: int) -> bytes:
    fmt = struct.pack("<HHIIHHH", 7, 1, 8000, 8000, 1, 8, 0)
    return b"RIFF" + struct.pack("<I", 50 + size) + b"WAVEfmt " + struct.pack("<I", 18) + fmt + b"fact" + struct.pack(
        "<II", 4, size
    ) + b"data" + struct.pack("<I", size)  # fmt: skip


async def record(directory: Path, streams: int) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    ports: list[int] = []
    protocols: list[Stream] = []
    for number in range(streams):
        file = (directory / f"{number}.wav").open("wb")
        file.write(wav_header(0))
        protocol = Stream(file)
        transport, _ = await loop.create_datagram_endpoint(lambda one=protocol: one, ("127.0.0.1", 0))
        ports.append(transport.get_extra_info("sockname")[1])
        protocols.append(protocol)
    print(*ports, flush=True)
    await over.wait()
    for protocol in protocols:
        protocol.file.flush()
        size = protocol.file.tell() - len(wav_header(0))
        protocol.file.seek(0)
        protocol.file.write(wav_header(size))
        protocol.file.close()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[3])})
    asyncio.run(record(Path(sys.argv[1]), int(sys.argv[2])))
