"""Whole messages out of a byte stream, RFC 3261 §7.5 and §18.3, with the keep-alives of RFC 5626 §4.4.1.

Gives the same messages however the stream is cut into chunks. Does not parse them (`signaling.sip.parser`) and does
not answer pings.
"""

from __future__ import annotations

import re
from typing import Final

from signaling.errors import SipSyntaxError
from signaling.sip.parser import MAX_HEAD, MAX_MESSAGE, Head, content_length, find_head_end, read_head, salvage_of

PING: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"

_BLANK: Final = re.compile(rb"[\r\n]*")


class StreamFramer:
    """Cuts one direction of a connection into messages.

    After `feed`, look at `error`: once it is set the stream has no more boundaries, the connection must be closed
    (RFC 4475 §3.1.2.3), and further bytes are ignored.

    Args:
        max_message: bytes of one message at most; the buffer never grows beyond it and one chunk.

    """

    def __init__(self, *, max_message: int = MAX_MESSAGE) -> None:
        self.error: SipSyntaxError | None = None
        """Why the stream cannot be read on; its `salvage` may allow an answer before the connection is closed."""
        self._max_message = max_message
        self._buffer = bytearray()
        self._scanned = 0
        """Bytes of the buffer that are known to hold no end of a head."""
        self._wanted = 0
        """Length of the message at the start of the buffer; 0 while its head is incomplete."""
        self._blank_lines = 0
        self._pings = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next chunk; return the messages that are complete now, in order."""
        messages: list[bytes] = []
        if self.error is not None:
            return messages
        self._buffer += data
        start = 0
        try:
            while True:
                start = self._skip_blank_lines(start)
                self._wanted = self._wanted or self._message_length(start)
                if not self._wanted or len(self._buffer) - start < self._wanted:
                    break
                messages.append(bytes(self._buffer[start : start + self._wanted]))
                start += self._wanted
                self._wanted = self._scanned = self._blank_lines = 0
        except SipSyntaxError as error:
            self.error = error
            start = len(self._buffer)
        del self._buffer[:start]
        return messages

    def pings(self) -> int:
        """Return and forget how many keep-alives came; the receiver owes a `PONG` if there were any."""
        pings, self._pings = self._pings, 0
        return pings

    def _skip_blank_lines(self, start: int) -> int:
        blank = _BLANK.match(self._buffer, start)
        if blank is None or not blank[0]:
            return start
        self._blank_lines += blank[0].count(b"\n")
        # RFC 5626 §4.4.1: a ping is a double CRLF, its answer a single one.
        self._pings += self._blank_lines // 2
        self._blank_lines %= 2
        return blank.end()

    def _message_length(self, start: int) -> int:
        """Return the length of the message that begins at `start`, or 0 while its head is incomplete."""
        size = len(self._buffer) - start
        # An end of head is up to three bytes long and may have been cut in two.
        end, body = find_head_end(self._buffer, start + max(0, self._scanned - 3))
        if end < 0:
            self._scanned = size
            if size > MAX_HEAD:
                raise SipSyntaxError(513, "", MAX_HEAD, "message is too large")
            return 0
        head = read_head(bytes(self._buffer[start:end]))
        try:
            length = body - start + _body_length(head)
        except SipSyntaxError as error:
            error.salvage = salvage_of(head)
            raise
        if length > self._max_message:
            too_large = SipSyntaxError(513, "", self._max_message, "message is too large")
            too_large.salvage = salvage_of(head)
            raise too_large
        return length


def _body_length(head: Head) -> int:
    # RFC 3261 §18.3: "The Content-Length header field MUST be used with stream oriented transports."
    length = content_length(head)
    if length is None:
        raise SipSyntaxError(400, "Content-Length", 0, "header field is missing")
    return length
