"""A call that SIPp signals and whose RTP we send: the media follow what the recorder answers and offers.

SIPp logs every message with its time. From that the sender learns where to send to, and the test which frames lie
before, within and behind a change.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from tests.kit.rtp_source import FRAME_S, RtpSource, RtpStream, frames_of
from tests.kit.sip_client import LOOPBACK, Message, new_identifier
from tests.kit.sipp import SippRun, run_sipp_file
from tests.kit.sipp_script import Script

Transport: TypeAlias = Literal["udp", "tcp", "tls"]
_FRAMES: Final = 1500
_DISCARD: Final = 9
_LOOK_S: Final = 0.01
_ENTRY: Final = re.compile(r"^-{40,} (\S+ \S+)\n\S+ message (received|sent)[^\n]*\n\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Logged:
    """A message as SIPp logged it."""

    at: float
    """Seconds since the epoch."""
    received: bool
    message: Message


def logged(text: str) -> list[Logged]:
    """Return the messages of a log, in order."""
    heads = list(_ENTRY.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)][: len(heads)]
    return [
        Logged(
            datetime.fromisoformat(head[1]).timestamp(),
            head[2] == "received",
            Message(text[head.end() : end].rstrip("\n").replace("\r\n", "\n").replace("\n", "\r\n").encode()),
        )
        for head, end in zip(heads, ends, strict=True)
    ]


class SippCall:
    """One scenario played against a recorder, with the media of its streams; use as a context manager.

    Args:
        directory: where SIPp runs and logs; its own.
        transport: as the recorder sees it; SIPp itself speaks TCP where something in between speaks TLS.
        identifier: the record identifier; the default is a new one.
        parties: number of streams that send.
        seed: what their audio is made of; the default is the identifier.

    """

    def __init__(
        self, directory: Path, transport: Transport, *, identifier: str = "", parties: int = 2, seed: str = ""
    ) -> None:
        self.identifier = identifier or new_identifier()
        self.directory, self.transport = directory, transport
        self.media = RtpSource(
            RtpStream(
                target=(LOOPBACK, _DISCARD),
                frames=frames_of(f"{seed or self.identifier}/{party}", _FRAMES),
                ssrc=0x7D000001 + party,
            )
            for party in range(parties)
        )
        self.elsewhere: list[RtpStream] = []
        """Further addresses of ours, to which the media move."""
        self.run: SippRun | None = None
        self._after: Mapping[int, Callable[[], None]] = {}
        self._started = False
        self._ended = threading.Event()

    @property
    def ports(self) -> list[int]:
        """Where our media come from."""
        return [stream.port for stream in self.media.streams]

    @property
    def sent(self) -> list[list[bytes | None]]:
        """What each party has sent."""
        return [stream.sent for stream in self.media.streams]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.media.close()
        for stream in self.elsewhere:
            stream.socket.close()

    def play(
        self,
        script: Script,
        port: int,
        *,
        after: Mapping[int, Callable[[], None]] | None = None,
        limit_s: int = 150,
    ) -> SippRun:
        """Play a scenario to its end; the media begin with the first answer that names a port.

        Args:
            script: what SIPp does.
            port: where the recorder, or what stands before it, takes this transport.
            after: what our media do once the request of this CSeq number has its 200.
            limit_s: after so many seconds the call has failed.

        """
        self.directory.mkdir(parents=True, exist_ok=True)
        scenario = self.directory / "scenario.xml"
        scenario.write_text(script.text())
        self._after = after or {}
        following = threading.Thread(target=self._follow, daemon=True)
        following.start()
        try:
            mode: Literal["u1", "t1"] = "u1" if self.transport == "udp" else "t1"
            self.run = run_sipp_file(scenario, port, self.directory, transport=mode, limit_s=limit_s)
        finally:
            self._ended.set()
            following.join()
            self.media.stop()
        return self.run

    def log(self) -> list[Logged]:
        """Return every message so far."""
        path = self.directory / "messages.log"
        return logged(path.read_text(errors="replace")) if path.exists() else []

    def answers(self, method: str, status: int = 200) -> list[Message]:
        """Return the responses of this status to requests of a method."""
        return [
            one.message for one in self.log()
            if one.received and one.message.start_line.startswith(f"SIP/2.0 {status} ")
            and one.message.one("CSeq").endswith(f" {method}")
        ]  # fmt: skip

    def requests(self, method: str) -> list[Message]:
        """Return the recorder's own requests of a method."""
        return [one.message for one in self.log() if one.received and one.message.start_line.startswith(f"{method} ")]

    def frames_between(self, began: float, ended: float) -> list[int]:
        """Return the numbers of the frames that all parties sent between two moments."""
        return [number for number, (first, last) in enumerate(self.media.times) if began < first and last < ended]

    def frames_around(self, began: float, ended: float) -> list[int]:
        """Return the numbers of the frames that were due before the end and that some party sent after the beginning.

        A sender that was held up sends what was due before a change after it.
        """
        times = self.media.times
        start = min((first - number * FRAME_S for number, (first, _) in enumerate(times)), default=0.0)
        return [number for number, (_, last) in enumerate(times) if began < last and start + number * FRAME_S < ended]

    def _follow(self) -> None:
        done = 0
        while not self._ended.wait(_LOOK_S):
            entries = self.log()
            # The last one may not be whole yet.
            for entry in entries[done:-1]:
                self._take(entry)
            done = max(done, len(entries) - 1)

    def _take(self, entry: Logged) -> None:
        message = entry.message
        if not entry.received or message.all("Content-Type") != ["application/sdp"]:
            return
        if message.start_line.startswith("SIP/2.0 200 "):
            number = int(message.one("CSeq").partition(" ")[0])
            if action := self._after.get(number):
                action()
        elif not message.start_line.startswith(("INVITE ", "UPDATE ")):
            return
        for stream, port in zip(self.media.streams, message.media_ports(), strict=False):
            stream.target = (LOOPBACK, port or _DISCARD)
        if not self._started and message.media_ports():
            self._started = True
            self.media.start()
