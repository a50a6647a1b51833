"""A client that answers our re-INVITEs as the test decides: agrees, refuses, meets them with glare, or stays silent."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import Final

from tests.kit.call import Call
from tests.kit.sip_client import ANSWER_LIMIT_S, Message, compose

_TEXTS: Final = {
    200: "OK", 401: "Unauthorized", 405: "Method Not Allowed", 480: "Temporarily Unavailable",
    488: "Not Acceptable Here", 491: "Request Pending",
}  # fmt: skip


def offered(call: Call, *, method: str = "INVITE", limit_s: float = ANSWER_LIMIT_S) -> Message:
    """Return the next request of the recorder of this method; repeats and everything else are passed over."""
    deadline = time.monotonic() + limit_s
    while True:
        message = call.client.fresh(max(deadline - time.monotonic(), 0))
        if message.start_line.startswith(f"{method} "):
            return message


def reply(call: Call, request: Message, status: int, *, headers: Sequence[str] = ()) -> None:
    """Answer a re-INVITE or UPDATE; with 200 our media go to its address from now on."""
    body = call.offer() if status == 200 else ""
    lines = [f"SIP/2.0 {status} {_TEXTS[status]}"]
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        lines += [f"{name}: {value}" for value in request.all(name)]
    lines += headers
    if body:
        lines += [f"Contact: {call.dialog.contact}", "Content-Type: application/sdp"]
    call.client.send(compose("\n".join(lines), body))
    if status == 200:
        call.aim(request)


def acknowledged(call: Call, request: Message, *, limit_s: float = ANSWER_LIMIT_S) -> bool:
    """Whether the ACK of a re-INVITE arrives; another INVITE before it means that it does not."""
    deadline = time.monotonic() + limit_s
    number = request.one("CSeq").split(" ")[0]
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([call.client.socket], [], [], left)[0]:
            break
        message = call.client.receive(0.1)
        if message.start_line.startswith("ACK ") and message.one("CSeq").split(" ")[0] == number:
            return True
    return False


def number_of(message: Message) -> int:
    """Return its CSeq number."""
    return int(message.one("CSeq").split(" ")[0])
