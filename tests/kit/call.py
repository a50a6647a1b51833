"""A whole recorded call: dialog, two RTP streams with known audio, and the comparison with what was exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.kit.heard import assert_bit_exact
from tests.kit.rtp_source import RtpSource, RtpStream, frames_of
from tests.kit.running import RunningRecorder
from tests.kit.sip_client import LOOPBACK, Dialog, Message, SipClient, Transport, msr_uri, new_identifier, offer
from tests.kit.siprec import multipart, rs_metadata
from tests.kit.wav import G711Wav, read_g711

_FRAMES: Final = 1500
"""Different frames of one stream: 30 s, longer than any call of this kind."""
_DISCARD: Final = 9


class Call:
    """One call towards a running recorder; a context manager that leaves nothing behind."""

    def __init__(
        self,
        recorder: RunningRecorder,
        *,
        identifier: str | None = None,
        transport: Transport = "udp",
        door: str = "msr",
        parties: int = 2,
        payload_type: int = 0,
        seed: str = "",
        audio: Sequence[Sequence[bytes]] = (),
        host: str = LOOPBACK,
        server: str = "",
    ) -> None:
        self.recorder = recorder
        self.identifier = identifier or new_identifier()
        self.door = door
        self.host = host
        self.client = SipClient(recorder.sip_port, transport, host=host, server=server)
        frames = audio or [frames_of(f"{self.identifier}{seed}/{party}", _FRAMES) for party in range(parties)]
        self.media = RtpSource(
            RtpStream(
                host=host, target=(host, _DISCARD), frames=one, payload_type=payload_type, ssrc=0x7A000001 + party
            )
            for party, one in enumerate(frames)
        )
        uri = (
            msr_uri(self.identifier, recorder.sip_port, host=self.client.shown)
            if door == "msr"
            else f"sip:srs@{self.client.shown}:{recorder.sip_port}"
        )
        self.dialog = Dialog(client=self.client, uri=uri)
        self.version = 0
        self._payload_type = payload_type

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Vanish without a word."""
        self.media.close()
        self.client.close()

    @property
    def sent(self) -> list[list[bytes | None]]:
        """What each party has sent."""
        return [stream.sent for stream in self.media.streams]

    @property
    def siprec(self) -> bool:
        """Whether this call comes by SIPREC."""
        return self.door == "siprec"

    def offer(self, **options: Any) -> str:
        """Return the next offer of this call: own ports, next version."""
        self.version += 1
        if self.siprec:
            options.setdefault("labels", [str(1 + index) for index in range(len(self.media.streams))])
        options.setdefault("payload", self._payload_type)
        options.setdefault("host", self.host)
        return offer([stream.port for stream in self.media.streams], version=self.version, **options)

    def body(self) -> tuple[bytes, str]:
        """Return body and Content-Type of an INVITE of this door."""
        if self.siprec:
            return multipart(self.offer(), rs_metadata(session=self.identifier))
        return self.offer().encode(), "application/sdp"

    def place(self, body: bytes | None = None, content_type: str = "application/sdp", headers: str = "") -> Message:
        """Send the INVITE, by default this door's usual one, take the ports from its 200, acknowledge."""
        if body is None:
            body, content_type = self.body()
        if self.siprec:
            self.dialog.contact = f"<sip:src@{self.client.shown}:{self.client.local_port}>;+sip.src"
            headers = headers or "Require: siprec"
        answer = self.dialog.send("INVITE", body, content_type=content_type, headers=headers)
        assert answer.status == 200, answer.text
        self.aim(answer)
        return answer

    def reinvite(self, **options: Any) -> Message:
        """Send a re-INVITE with a new offer and acknowledge its answer, whatever that is."""
        answer = self.dialog.send("INVITE", self.offer(**options))
        if answer.status == 200:
            self.aim(answer)
        return answer

    def aim(self, answer: Message) -> None:
        """Send each stream where the answer says; a refused one (port 0) to nobody."""
        host = next(line for line in answer.sdp.split("\r\n") if line.startswith("c=")).split(" ")[2]
        for stream, port in zip(self.media.streams, answer.media_ports(), strict=True):
            stream.target = (host, port or _DISCARD)

    def start(self) -> Call:
        """Place the call and begin to talk."""
        self.place()
        self.media.start()
        return self

    def hang_up(self) -> Message:
        """Stop talking, then say goodbye."""
        self.media.stop()
        answer = self.dialog.bye()
        assert answer.status == 200, answer.text
        return answer

    def finished(self) -> dict[str, Any]:
        """Wait until the recording is finalised and return its entry in the list."""
        return self.recorder.finished(self.identifier)

    def exported(self, directory: Path) -> G711Wav:
        """Wait until the recording is finalised, export it and read it."""
        entry = self.finished()
        return read_g711(self.recorder.export(entry["id"], directory / f"{entry['id']}.wav"))

    def assert_recorded(self, directory: Path) -> dict[str, Any]:
        """Fail unless the recording is complete, without gaps, and equal to what was sent; returns its entry."""
        entry = self.finished()
        assert entry["state"] == "complete", entry
        assert entry["gaps"] == [], entry
        assert_bit_exact(self.exported(directory), *self.sent)
        return entry
