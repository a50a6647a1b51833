"""Run SIPp (Debian: sip-tester) against a recorder, and make the pcap files that it plays."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests.kit.rtp_source import FRAME_OCTETS, FRAME_S
from tests.kit.running import free_port
from tests.kit.sip_client import LOOPBACK, Message

SCENARIOS: Final = Path(__file__).parents[1] / "interop" / "scenarios"
_MEDIA_PORTS: Final = itertools.cycle(range(10_000, 19_000, 10))
_BASE_PORT: Final = 7000
"""Destination port of the first stream in our pcap files; SIPp replaces it and keeps the distance of the others."""


@dataclass(frozen=True, slots=True)
class SippRun:
    """What one run of SIPp has done."""

    code: int
    messages: str
    """Everything sent and received, as SIPp logged it."""
    errors: str

    def assert_successful(self) -> None:
        """Fail with SIPp's own words unless every call went as its scenario says."""
        assert self.code == 0, f"SIPp ended with {self.code}\n{self.errors}\n{self.messages[-6000:]}"

    def received(self, first_line: str) -> list[Message]:
        """Messages that SIPp received and whose first line begins so."""
        found = []
        for entry in self.messages.split("-----------------------------------------------")[1:]:
            head, _, text = entry.partition("\n\n")
            if "message received" in head and text.startswith(first_line):
                found.append(Message(text.rstrip("\n").replace("\n", "\r\n").encode()))
        return found


def run_sipp(
    scenario: str,
    port: int,
    directory: Path,
    *,
    transport: Literal["u1", "t1", "tn"] = "u1",
    keys: Mapping[str, str] | None = None,
    media_port: int | None = None,
    limit_s: int = 90,
) -> SippRun:
    """Run one call of a scenario and return what happened.

    Args:
        scenario: name of a file in `tests/interop/scenarios`, without suffix.
        port: the recorder's SIP port on the loopback address.
        directory: where SIPp runs and logs; empty and its own.
        transport: u1 is UDP, t1 is TCP.
        keys: values of `[name]` in the scenario.
        media_port: what `[media_port]` shall be.
        limit_s: after so many seconds the call has failed.

    """
    return run_sipp_file(
        SCENARIOS / f"{scenario}.xml", port, directory,
        transport=transport, keys=keys, media_port=media_port, limit_s=limit_s,
    )  # fmt: skip


def run_sipp_file(
    scenario: Path,
    port: int,
    directory: Path,
    *,
    transport: Literal["u1", "t1", "tn"] = "u1",
    keys: Mapping[str, str] | None = None,
    media_port: int | None = None,
    limit_s: int = 90,
) -> SippRun:
    """Run one call of a scenario in any file; see `run_sipp`."""
    sipp = shutil.which("sipp")
    assert sipp, "sipp is missing: run .ci/install-peers, or install the package sip-tester"
    directory.mkdir(parents=True, exist_ok=True)
    command = [
        sipp, f"{LOOPBACK}:{port}", "-sf", str(scenario), "-t", transport,
        "-i", LOOPBACK, "-mi", LOOPBACK, "-p", str(free_port()), "-m", "1", "-nostdin",
        "-nd", "-default_behaviors", "abortunexp",
        "-timeout", f"{limit_s}s", "-timeout_error", "-recv_timeout", "40000",
        "-trace_msg", "-message_file", "messages.log", "-trace_err", "-error_file", "errors.log",
        "-mp", str(media_port or free_media_port()),
    ]  # fmt: skip
    for name, value in (keys or {}).items():
        command += ["-key", name, value]
    done = subprocess.run(
        command, cwd=directory, capture_output=True, timeout=limit_s + 15, check=False,
        env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    return SippRun(done.returncode, _text(directory / "messages.log"), _text(directory / "errors.log") or _end(done))


def free_media_port() -> int:
    """Return a port for SIPp's own RTP; it takes that and the next three, whether it sends or not.

    Below the ports that the system gives out by itself, and the recorder: calls are placed side by side.
    """
    for port in _MEDIA_PORTS:
        with ExitStack() as stack:
            try:
                for number in range(port, port + 4):
                    stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind((LOOPBACK, number))
            except OSError:
                continue
        return port
    raise AssertionError("never reached: the ports are asked for in a circle")


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _end(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stdout[-1500:] + done.stderr[-1500:]).decode(errors="replace")


def write_pcap(path: Path, streams: Sequence[Sequence[bytes]], *, payload_type: int = 0) -> None:
    """Write RTP streams as one capture, a packet of each every 20 ms; stream N goes to port base + 2 N.

    `play_pcap_audio` sends the lowest port to the port of the peer's first m=audio and keeps the distances, so that
    both streams reach a peer that listens on neighbouring even ports.
    """
    packets = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for number in range(max(map(len, streams))):
        for index, frames in enumerate(streams):
            if number >= len(frames):
                continue
            rtp = (
                struct.pack(
                    "!BBHII",
                    0x80,
                    payload_type | 0x80 * (number == 0),
                    (3000 + number) & 0xFFFF,
                    90_000 + number * FRAME_OCTETS,
                    0x7C000001 + index,
                )
                + frames[number]
            )
            port = _BASE_PORT + 2 * index
            udp = struct.pack("!HHHH", port, port, 8 + len(rtp), 0) + rtp
            loopback = bytes([127, 0, 0, 1])
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + loopback * 2
            frame = bytes(12) + b"\x08\x00" + ip + udp
            at = number * FRAME_S + index * 0.0001
            packets.append(struct.pack("<IIII", int(at), round(at % 1 * 1e6), len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(packets))
