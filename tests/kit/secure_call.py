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

    rollovers: int = 0
    """Of the first packet."""
    oracle: Oracle = field(default_factory=lambda: Oracle(SUITE, bytes(30)))

    def packet(self, number: int) -> bytes:
        """Return packet `number`, protected."""
        index = (self.rollovers << 16 | self.sequence) + number
        return self.oracle.rtp(RtpStream.packet(self, number), index >> 16)


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
                rollovers=rollovers,
            )
            for one in plain
        )
        self.keys: list[bytes] = []
        self.rekey()
        if not told:
            self.keys = [self._key() for _ in self.keys]

    def _key(self) -> bytes:
        key, salt, _, _ = LENGTHS[self.suite]
        return os.urandom(key + salt)

    def rekey(self) -> None:
        """Protect with fresh keys from now on; the next offer tells them. Rollover counters begin at 0."""
        self.keys = [self._key() for _ in self.media.streams]
        for stream, key in zip(self.media.streams, self.keys, strict=True):
            assert isinstance(stream, SecureStream)
            stream.rollovers = -((stream.sequence + len(stream.sent)) >> 16)
            stream.oracle = Oracle(self.suite, key)

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
