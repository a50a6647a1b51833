"""The benchmark's clients, in a process of their own: sets calls up at a given rate and says how long each 200 took.

`python -m benchmarks.signalling.generator PORT --calls N --rate R [--hold S]` prints one JSON object. Literal messages
over one UDP socket, repeated by the rules of RFC 3261 timers A and E: an INVITE until its 100 comes. Nothing of the
project's own signalling.
"""

from __future__ import annotations

import argparse
import heapq
import json
import re
import secrets
import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.signalling.messages import DOORS, Door, in_dialog, invite

_HOST: Final = "127.0.0.1"
_T1_S: Final = 0.5
_T2_S: Final = 4.0
_LIMIT_S: Final = 32.0
"""Timers B and F."""
_PATIENCE_S: Final = 120.0
_CALL: Final = re.compile(rb"\r\nCall-ID: ([0-9a-f]{32})@")
_TAG: Final = re.compile(rb"\r\nTo: [^\r]*;tag=([^\r;]+)")
_CONTACT: Final = re.compile(rb"\r\nContact: <([^>]+)>")


@dataclass(slots=True)
class Outcome:
    """What became of the calls; times in seconds."""

    latencies: list[float] = field(default_factory=list)
    """From the first INVITE to its 200."""
    bye_latencies: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Start lines of other final responses."""
    unanswered: int = 0
    repeated: int = 0
    """Requests that were sent again."""
    lateness: list[float] = field(default_factory=list)
    """How late this process sent its INVITEs: its own share of the latencies."""
    cpu_s: float = 0.0
    """Of this process, while it placed calls or hung up."""
    seconds: float = 0.0
    """From the first INVITE to the last 200."""
    dialogs: list[tuple[str, str, str]] = field(default_factory=list)
    """Call, tag and Contact of what is still open."""


@dataclass(slots=True)
class _Request:
    method: str
    call: str
    data: bytes
    sent_at: float
    interval: float = _T1_S
    proceeding: bool = False
    """A provisional response came: an INVITE is not repeated any more (RFC 3261 section 17.1.1.2)."""


class Clients:
    """All clients of one run, behind one socket."""

    def __init__(self, port: int, door: Door, streams: int) -> None:
        self._target = f"{_HOST}:{port}"
        self._door = door
        self._streams = streams
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.connect((_HOST, port))
        self._socket.setblocking(False)
        self._port: int = self._socket.getsockname()[1]
        self._waiting: dict[tuple[str, str], _Request] = {}
        self._timers: list[tuple[float, int, str, str]] = []
        """When to send a request again or to hang up: time, number, method, call."""
        self._number = 0
        self._established: dict[str, tuple[str, str]] = {}
        self.outcome = Outcome()

    def run(self, calls: int, rate: float, hold_s: float | None) -> Outcome:
        """Set calls up, `rate` per second; hang each up after `hold_s` seconds, or leave them open."""
        fresh = [secrets.token_hex(16) for _ in range(calls)]
        messages = [
            invite(self._door, call, target=self._target, host=_HOST, port=self._port, streams=self._streams)
            for call in fresh
        ]
        began, used = time.perf_counter(), time.process_time()
        placed = 0
        while placed < calls or self._waiting or (hold_s is not None and self._established):
            now = time.perf_counter()
            while placed < calls and began + placed / rate <= now:
                self.outcome.lateness.append(now - began - placed / rate)
                self._send(_Request("INVITE", fresh[placed], messages[placed], now))
                placed += 1
            self._serve_timers(now, hold_s)
            due = [began + placed / rate] if placed < calls else []
            due += [self._timers[0][0]] if self._timers else []
            wait = max(0.0, min([now + 0.05, *due]) - time.perf_counter())
            if select.select([self._socket], [], [], wait)[0]:
                self._read(began, hold_s)
        self.outcome.cpu_s = time.process_time() - used
        self.outcome.dialogs = [(call, tag, uri) for call, (tag, uri) in self._established.items()]
        return self.outcome

    def hang_up(self, dialogs: Sequence[tuple[str, str, str]], rate: float) -> Outcome:
        """End calls of an earlier run, `rate` per second."""
        self._established = {call: (tag, uri) for call, tag, uri in dialogs}
        began, used = time.perf_counter(), time.process_time()
        for number, (call, _, _) in enumerate(dialogs):
            self._later(began + number / rate, "hang-up", call)
        while self._waiting or self._established:
            now = time.perf_counter()
            self._serve_timers(now, None)
            if select.select([self._socket], [], [], 0.005)[0]:
                self._read(began, None)
        self.outcome.cpu_s = time.process_time() - used
        return self.outcome

    def _send(self, request: _Request) -> None:
        self._waiting[request.method, request.call] = request
        self._socket.send(request.data)
        self._later(request.sent_at + request.interval, request.method, request.call)

    def _later(self, at: float, what: str, call: str) -> None:
        self._number += 1
        heapq.heappush(self._timers, (at, self._number, what, call))

    def _serve_timers(self, now: float, hold_s: float | None) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, _, what, call = heapq.heappop(self._timers)
            if what == "hang-up":
                tag, uri = self._established.pop(call)
                self._send(_Request("BYE", call, self._within("BYE", call, 2, tag, uri), now))
                continue
            request = self._waiting.get((what, call))
            if request is None:
                continue
            if request.proceeding:
                # Timer B ran until the 1xx only: whoever waits for a recorder gives up when it likes to.
                if now - request.sent_at < _PATIENCE_S:
                    self._later(request.sent_at + _PATIENCE_S, what, call)
                    continue
            elif now - request.sent_at <= _LIMIT_S:
                self._repeat(request, now)
                continue
            del self._waiting[what, call]
            self.outcome.unanswered += 1

    def _repeat(self, request: _Request, now: float) -> None:
        self._socket.send(request.data)
        self.outcome.repeated += 1
        request.interval = 2 * request.interval if request.method == "INVITE" else min(2 * request.interval, _T2_S)
        self._later(now + request.interval, request.method, request.call)

    def _within(self, method: str, call: str, number: int, tag: str, uri: str) -> bytes:
        return in_dialog(method, call, number, target=self._target, host=_HOST, port=self._port, tag=tag, uri=uri)

    def _read(self, began: float, hold_s: float | None) -> None:
        while True:
            try:
                data = self._socket.recv(65535)
            except (BlockingIOError, ConnectionRefusedError):
                return
            now = time.perf_counter()
            found = _CALL.search(data) if data.startswith(b"SIP/2.0 ") else None
            if found is None:
                continue
            call = found[1].decode()
            method = "BYE" if b" BYE\r\n" in data else "INVITE"
            if data.startswith(b"SIP/2.0 1"):
                if method == "INVITE" and (waiting := self._waiting.get((method, call))):
                    waiting.proceeding = True
                continue
            request = self._waiting.pop((method, call), None)
            if not data.startswith(b"SIP/2.0 200 "):
                if request:
                    self.outcome.refused.append(data.partition(b"\r\n")[0].decode())
                continue
            if method == "BYE":
                if request:
                    self.outcome.bye_latencies.append(now - request.sent_at)
                continue
            tag, contact = _TAG.search(data), _CONTACT.search(data)
            assert tag is not None
            assert contact is not None
            self._socket.send(self._within("ACK", call, 1, tag[1].decode(), contact[1].decode()))
            if request:
                self.outcome.latencies.append(now - request.sent_at)
                self.outcome.seconds = now - began
                self._established[call] = (tag[1].decode(), contact[1].decode())
                if hold_s is not None:
                    self._later(now + hold_s, "hang-up", call)


def main() -> None:
    """Run as the arguments say; with `--hang-up` the dialogs come from standard input as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--rate", type=float, default=100.0, help="calls per second")
    parser.add_argument("--hold", type=float, help="seconds until each call is hung up; default: left open")
    parser.add_argument("--door", choices=DOORS, default="msr")
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--hang-up", action="store_true")
    options = parser.parse_args()
    clients = Clients(options.port, options.door, options.streams)
    if options.hang_up:
        outcome = clients.hang_up([tuple(one) for one in json.load(sys.stdin)], options.rate)
    else:
        outcome = clients.run(options.calls, options.rate, options.hold)
    print(json.dumps({name: getattr(outcome, name) for name in Outcome.__slots__}))


if __name__ == "__main__":
    main()
