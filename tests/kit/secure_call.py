"""A recorded call whose media come as SRTP; protected by `tests.kit.srtp_oracle`, without libsrtp."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from typing import Any

from tests.kit.call import Call
from tests.kit.rtp_source import RtpSource, RtpStream
from tests.kit.running import RunningRecorder
from tests.kit.sip_client import Message
from tests.kit.srtp_oracle import LENGTHS, Oracle

SUITE = "AES_CM_128_HMAC_SHA1_80"


@dataclass(slots=True, kw_only=True)
class SecureStream(RtpStream):
    """One stream under one key at a time."""

    protection: tuple[Oracle, int] = field(default_factory=lambda: (Oracle(SUITE, bytes(30)), 0))
    """The key, and the rollover counter of the first packet; replaced as a whole, since another thread sends."""

    def packet(self, number: int) -> bytes:
        """Return packet `number`, protected."""
        oracle, rollovers = self.protection
        return oracle.rtp(RtpStream.packet(self, number), rollovers + (self.sequence + number >> 16))


class SecureCall(Call):
    """A call with a key for each party.

    Args:
        recorder: as of `Call`.
        suite: crypto-suite of every stream.
        sequence: of each stream's first packet.
        rollovers: counter of each stream's first packet.
        told: whether the offer tells the keys that are used; else it tells others.
        options: as of `Call`.

    """

    def __init__(
        self,
        recorder: RunningRecorder,
        *,
        suite: str = SUITE,
        sequence: int = 1000,
        rollovers: int = 0,
        told: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(recorder, **options)
        self.suite = suite
        plain = self.media.streams
        for one in plain:
            one.socket.close()
        self.media = RtpSource(
            SecureStream(
                target=one.target,
                frames=one.frames,
                ssrc=one.ssrc,
                payload_type=one.payload_type,
                sequence=sequence,
            )
            for one in plain
        )
        self.keys: list[bytes] = []
        """What the next offer tells."""
        self.draw_keys()
        for stream, key in zip(self.media.streams, self.keys, strict=True):
            assert isinstance(stream, SecureStream)
            stream.protection = (Oracle(suite, key), rollovers)
        if not told:
            self.draw_keys()

    def _key(self) -> bytes:
        key, salt, _, _ = LENGTHS[self.suite]
        return os.urandom(key + salt)

    def draw_keys(self) -> None:
        """Make fresh keys for the next offer; they are used from `switch` on."""
        self.keys = [self._key() for _ in self.media.streams]

    def switch(self) -> None:
        """Protect with the keys that the last offer told; rollover counters begin at 0."""
        for stream, key in zip(self.media.streams, self.keys, strict=True):
            assert isinstance(stream, SecureStream)
            stream.protection = (Oracle(self.suite, key), -(stream.sequence + len(stream.sent) >> 16))

    def offer(self, **options: Any) -> str:
        """Return the next offer of this call, with keys."""
        keys = iter(self.keys)

        def secure(line: re.Match[str]) -> str:
            told = f"a=crypto:1 {self.suite} inline:{base64.b64encode(next(keys)).decode()}"
            return f"{line[1]}RTP/SAVP{line[2]}\r\n{told}"

        return re.sub(r"(m=audio \d+ )RTP/AVP([^\r]*)", secure, super().offer(**options))


def keys_in(answer: Message) -> list[bytes]:
    """Return the recorder's master keys and salts, by m-line."""
    return [base64.b64decode(found) for found in re.findall(r"inline:([^|\s]+)", answer.sdp)]
