"""Bytes to messages, RFC 3261 §7 and §18.3.

Linear in the input. What a response needs (Via, From, To, Call-ID, CSeq) is checked here, so that a message that gets
through can be answered; everything else is read when somebody asks for it. A message that is refused carries what a
stateless answer needs in `SipSyntaxError.salvage`. Does not frame streams (`signaling.sip.framing`).

Tolerated because real peers send it: bare LF as line end, white space around the colon or none, extra white space in
the start line, angle brackets around the Request-URI, escaped headers in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from signaling.errors import Salvage, SipSyntaxError
from signaling.sip.headers import KNOWN_KEYS, Headers, key_of, spelling_of
from signaling.sip.message import VERSION, Request, Response
from signaling.sip.syntax import TOKEN, WHITESPACE, is_token
from signaling.sip.uri import Uri
from signaling.sip.values import parse_number

MAX_MESSAGE: Final = 1 << 20
"""Bytes of a whole message. A UDP datagram ends at 65,535; over TCP this leaves room for the metadata of a large
conference (RFC 7866 sets no limit) and bounds what one connection can make us hold."""
MAX_HEAD: Final = 65_535
"""Bytes of start line and header fields: what a UDP datagram could hold at most."""
MAX_LINE: Final = 16_384
"""Characters of one header field after unfolding. h11 allows 16 kB for a whole HTTP head; the longest SIP fields seen
are Identity tokens and comma lists of Via, both below 8 kB."""
MAX_HEADERS: Final = 1_000
"""Header fields. RFC 4475 §3.1.1.7 needs 40, and Max-Forwards allows 255 Via and as many Record-Route."""

_ANSWERING: Final = ("via", "from", "to", "call-id", "cseq")
_SINGLE: Final = ("From", "To", "Call-ID", "CSeq")
_CSEQ_SAYS_INVITE: Final = ("ACK", "BYE")
"""Vendor scripts send both with `CSeq: n INVITE`. Refusing the BYE would leave its session open, and an ACK cannot be
answered at all; every other mismatch is refused as RFC 3261 §8.1.1.5 demands."""


class Head(msgspec.Struct):
    """Start line and header fields of a message, before they mean anything."""

    start_line: str
    items: list[tuple[str, str]]
    index: dict[str, list[str]]
    """Values by lower-case, expanded name."""
    fault: SipSyntaxError | None = None
    """The first line that is not a header field; the others were read all the same."""


def parse_message(data: bytes) -> Request | Response:
    """Read one message: a datagram, or what `StreamFramer` cut out of a stream.

    Bytes behind the body that Content-Length announces are dropped (RFC 3261 §18.3).

    Raises:
        SipSyntaxError: the message cannot be used. `salvage` is set if it looks like a request, and then
            `reject_malformed` builds the answer with status `error.status`; a response is to be discarded.

    """
    start = skip_blank(data)
    end, body_start = find_head_end(data, start)
    if end < 0:
        if not data.endswith(b"\n"):
            raise SipSyntaxError(400, "", len(data), "message ends inside its head")
        end = body_start = len(data)
    if end - start > MAX_HEAD or len(data) > MAX_MESSAGE:
        raise SipSyntaxError(513, "", MAX_HEAD, "message is too large")
    head = read_head(data[start:end])
    if head.start_line[:4].upper() == "SIP/":
        return _response(head, data, body_start)
    try:
        return _request(head, data, body_start)
    except SipSyntaxError as error:
        error.salvage = salvage_of(head)
        raise


def skip_blank(data: bytes | bytearray, start: int = 0) -> int:
    """Return the index of the first byte that is not part of a line end.

    RFC 3261 §7.5: "Implementations processing SIP messages over stream-oriented transports MUST ignore any CRLF
    appearing before the start-line". Peers send them in datagrams too.
    """
    length = len(data)
    while start < length and data[start] in b"\r\n":
        start += 1
    return start


def find_head_end(data: bytes | bytearray, start: int) -> tuple[int, int]:
    """Return where the head ends (its last line end included) and where the body starts, or (-1, -1).

    The head ends at the first empty line, whether lines end in CRLF or in bare LF.
    """
    crlf = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, len(data) if crlf < 0 else crlf + 1)
    if bare >= 0:
        return bare + 1, bare + 2
    return (-1, -1) if crlf < 0 else (crlf + 1, crlf + 3)


def read_head(octets: bytes) -> Head:
    """Split a head into start line and header fields, with folding undone (RFC 3261 §7.3.1)."""
    text = octets.decode("utf-8", "surrogateescape")
    lines = text.split("\r\n")
    if text.count("\n") >= len(lines) or text.count("\r") >= len(lines):
        lines = text.replace("\r\n", "\n").replace("\r", " ").split("\n")
    if "\n " in text or "\n\t" in text:
        lines = _unfold(lines)
    items: list[tuple[str, str]] = []
    index: dict[str, list[str]] = {}
    head = Head(lines[0], items, index)
    if len(lines) > MAX_HEADERS:
        head.fault = SipSyntaxError(513, "", len(lines[0]) + 2, "too many header fields")
        del lines[MAX_HEADERS:]
    if not lines[-1]:
        lines.pop()  # what stands behind the last line end
    for number in range(1, len(lines)):
        line = lines[number]
        name, colon, value = line.partition(":")
        key = KNOWN_KEYS.get(name)
        if key is None or not colon:
            name = name.rstrip(WHITESPACE)
            key = key_of(name)
            if not colon or not name or not TOKEN.issuperset(name):
                if head.fault is None:
                    offset = sum(len(before) + 2 for before in lines[:number])
                    head.fault = SipSyntaxError(400, "", offset, "line is not a header field")
                continue
        if len(line) > MAX_LINE:
            head.fault = head.fault or SipSyntaxError(513, spelling_of(name), 0, "header field is too long")
            continue
        value = value.strip(WHITESPACE)
        items.append((name, value))
        if key in index:
            index[key].append(value)
        else:
            index[key] = [value]
    return head


def _unfold(lines: Iterable[str]) -> list[str]:
    """Join continuation lines to the line before them with one space."""
    whole: list[list[str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and whole:
            whole[-1].append(line.strip(WHITESPACE))
        else:
            whole.append([line])
    return [pieces[0] if len(pieces) == 1 else " ".join(pieces) for pieces in whole]


def _request(head: Head, data: bytes, body_start: int) -> Request:
    line = head.start_line
    method, _, rest = line.partition(" ")
    text, _, version = rest.strip(WHITESPACE).rpartition(" ")
    if not is_token(method) or version[:4].upper() != "SIP/":
        raise SipSyntaxError(400, "", 0, "start line is malformed")
    if version != VERSION and version.upper() != VERSION:
        raise SipSyntaxError(505, "", line.rfind(version), "SIP version is not supported")
    if len(line) > MAX_LINE:
        raise SipSyntaxError(414, "", len(method) + 1, "Request-URI is too long")
    text = text.strip(WHITESPACE)
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    if head.fault:
        raise head.fault
    uri = Uri.parse(text, "", len(method) + 1)
    request = Request(method, uri, Headers.indexed(head.items, head.index), _body(head, data, body_start))
    _check(request, head)
    named = request.cseq.method
    if named != method and not (named == "INVITE" and method in _CSEQ_SAYS_INVITE):
        raise SipSyntaxError(400, "CSeq", 0, "method differs from that of the start line")
    return request


def _response(head: Head, data: bytes, body_start: int) -> Response:
    version, _, rest = head.start_line.partition(" ")
    code, _, reason = rest.partition(" ")
    if version.upper() != VERSION:
        raise SipSyntaxError(505, "", 0, "SIP version is not supported")
    if len(code) != 3 or not code.isascii() or not code.isdigit() or not "1" <= code[0] <= "6":
        raise SipSyntaxError(400, "", len(version) + 1, "status code is malformed")
    if head.fault:
        raise head.fault
    response = Response(int(code), reason, Headers.indexed(head.items, head.index), _body(head, data, body_start))
    _check(response, head)
    return response


def _check(message: Request | Response, head: Head) -> None:
    """Make sure that the message can be matched and answered."""
    for name in _SINGLE:
        values = head.index.get(name.lower())
        if values is not None and len(values) > 1:
            raise SipSyntaxError(400, name, 0, "header field must not be repeated")
    # Reading them is the check; the message remembers the values.
    _ = (message.via, message.from_, message.to, message.call_id, message.cseq)


def _body(head: Head, data: bytes, start: int) -> bytes:
    length = content_length(head)
    if length is None:
        return data[start:]
    # RFC 3261 §18.3: "If the transport packet ends before the end of the message body, this is considered an error.
    # [...] If the message is a request, the element SHOULD generate a 400 (Bad Request) response."
    if len(data) - start < length:
        raise SipSyntaxError(400, "Content-Length", 0, "body is shorter than announced")
    return data[start : start + length]


def content_length(head: Head) -> int | None:
    """Return what Content-Length says, or None without it.

    Raises:
        SipSyntaxError: it is not a number, too large, or there is more than one.

    """
    values = head.index.get("content-length")
    if values is None:
        return None
    if len(values) > 1:
        raise SipSyntaxError(400, "Content-Length", 0, "header field must not be repeated")
    return parse_number(values[0], "Content-Length", MAX_MESSAGE)


def salvage_of(head: Head) -> Salvage:
    """Collect what a stateless answer needs, as far as it is there."""
    method = head.start_line.partition(" ")[0]
    kept = ((key_of(name), name, value) for name, value in head.items)
    headers = tuple((spelling_of(name), value) for key, name, value in kept if key in _ANSWERING)
    return Salvage(method if is_token(method) else "", headers)
