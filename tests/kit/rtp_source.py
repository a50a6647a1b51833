"""RTP streams at true pace with payload that is known byte by byte; standard library only, no project code.

Run as a program it sends for a SIP peer that cannot (``python -m tests.kit.rtp_source --help``).
"""

from __future__ import annotations

import argparse
import random
import socket
import struct
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

FRAME_OCTETS: Final = 160
FRAME_S: Final = 0.02
_HEADER: Final = struct.Struct("!BBHII")


def frames_of(seed: str, count: int) -> list[bytes]:
    """Return frames of which each differs from every other; the same seed gives the same frames."""
    generator = random.Random(seed)
    return [generator.randbytes(FRAME_OCTETS) for _ in range(count)]


def frames_of_audio(octets: bytes) -> list[bytes]:
    """Cut companded audio into frames of 20 ms; an incomplete last one is left out."""
    return [octets[at : at + FRAME_OCTETS] for at in range(0, len(octets) - FRAME_OCTETS + 1, FRAME_OCTETS)]


@dataclass(slots=True, kw_only=True)
class RtpStream:
    """One stream and everything that it has sent."""

    target: tuple[str, int]
    frames: Sequence[bytes]
    """What to send, in order; a sender that runs longer begins again."""
    host: str = "127.0.0.1"
    """Source address."""
    port: int = 0
    """Source port; 0 takes any free one."""
    payload_type: int = 0
    ssrc: int = 0x7A000001
    sequence: int = 1000
    """Of the first packet."""
    timestamp: int = 50_000
    """Of the first packet."""
    lose: frozenset[int] = frozenset()
    """Frames that are never sent: loss on the way to the recorder."""
    muted: bool = False
    """While set, time goes on and nothing is sent: hold or silence suppression."""
    sent: list[bytes | None] = field(default_factory=list)
    """One entry per 20 ms since the start; None where nothing was sent."""
    socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.host, self.port))
        self.port = self.socket.getsockname()[1]

    def packet(self, number: int) -> bytes:
        """Return packet `number`, counted from 0."""
        marker = 0x80 * (number == 0)
        return (
            _HEADER.pack(
                0x80,
                marker | self.payload_type,
                (self.sequence + number) & 0xFFFF,
                (self.timestamp + number * FRAME_OCTETS) & 0xFFFFFFFF,
                self.ssrc,
            )
            + self.frames[number % len(self.frames)]
        )

    def send_next(self) -> None:
        """Send the next packet of this stream, or nothing if it is to be lost."""
        number = len(self.sent)
        if self.muted or number in self.lose:
            self.sent.append(None)
            return
        self.socket.sendto(self.packet(number), self.target)
        self.sent.append(self.frames[number % len(self.frames)])


class RtpSource:
    """Sends several streams, each packet of all of them every 20 ms, until stopped or `limit` packets are out."""

    def __init__(self, streams: Iterable[RtpStream], *, limit: int | None = None) -> None:
        self.streams = list(streams)
        self.times: list[tuple[float, float]] = []
        """Of each frame: before its first packet was sent, and after its last one; seconds since the epoch."""
        self._limit = limit
        self._count = 0
        self._ticked = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def _run(self) -> None:
        begin = time.monotonic()
        while not self._stopping.is_set() and self._count != self._limit:
            began = time.clock_gettime(time.CLOCK_REALTIME)
            for stream in self.streams:
                stream.send_next()
            self.times.append((began, time.clock_gettime(time.CLOCK_REALTIME)))
            with self._ticked:
                self._count += 1
                self._ticked.notify_all()
            delay = begin + self._count * FRAME_S - time.monotonic()
            if delay > 0:
                self._stopping.wait(delay)

    @property
    def count(self) -> int:
        """Frames since the start."""
        return self._count

    def wait_for(self, count: int) -> None:
        """Return when so many frames have been sent since the start."""
        with self._ticked:
            done = self._ticked.wait_for(lambda: self._count >= count, timeout=count * FRAME_S + 20)
        assert done, f"the RTP source stands at {self._count} of {count} frames"

    def talk(self, seconds: float) -> None:
        """Return after so many more seconds of audio."""
        self.wait_for(self._count + round(seconds / FRAME_S))

    def stop(self) -> None:
        """Send nothing more; returns when the last packet is out."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        """Stop and give the ports back."""
        self.stop()
        for stream in self.streams:
            stream.socket.close()


def main() -> None:
    """Send one or more streams and end."""
    parser = argparse.ArgumentParser(description="send RTP streams with known payload")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--stream", action="append", required=True, help="SOURCE_PORT:TARGET_PORT:SEED, repeatable")
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--payload-type", type=int, default=0)
    arguments = parser.parse_args()
    streams = []
    for number, text in enumerate(arguments.stream):
        source, target, seed = text.split(":", 2)
        streams.append(
            RtpStream(
                target=(arguments.host, int(target)),
                frames=frames_of(seed, arguments.frames),
                port=int(source),
                payload_type=arguments.payload_type,
                ssrc=0x7B000001 + number,
            )
        )
    source_of_all = RtpSource(streams, limit=arguments.frames)
    source_of_all.start()
    source_of_all.wait_for(arguments.frames)
    source_of_all.close()


if __name__ == "__main__":
    main()
