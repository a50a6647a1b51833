"""The ng control protocol of rtpengine: a cookie, then a bencoded dictionary, over UDP."""

from __future__ import annotations

import itertools
import re
import socket
from typing import Final

Value = str | int | list["Value"] | dict[str, "Value"]
_LIMIT_S: Final = 5.0


def bencode(value: Value) -> bytes:
    """Return a value in bencoding."""
    match value:
        case int():
            return b"i%de" % value
        case str():
            raw = value.encode()
            return b"%d:%b" % (len(raw), raw)
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


class NgClient:
    """One control connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(_LIMIT_S)
        self._cookies = map(str, itertools.count())

    def ask(self, command: dict[str, Value]) -> bytes:
        """Send a command, return the bencoded reply.

        Errors: `OSError` when nothing answers, `RuntimeError` when the answer is an error.

        """
        cookie = next(self._cookies).encode()
        self._socket.send(cookie + b" " + bencode(command))
        while True:
            found, _, body = self._socket.recv(65535).partition(b" ")
            if found == cookie:
                break
        if b"6:result5:error" in body:
            raise RuntimeError(body.decode(errors="replace"))
        return body

    def port(self, command: dict[str, Value]) -> int:
        """Send an offer or an answer; return the media port of the SDP in the reply."""
        body = self.ask(command)
        found = re.search(rb"m=audio (\d+)", body)
        if found is None:
            raise RuntimeError(f"no SDP in {body!r}")
        return int(found[1])
