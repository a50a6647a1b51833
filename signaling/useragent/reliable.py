"""Reliable provisional responses and their PRACK, RFC 3262 §3, for peers that require them.

Only used if the INVITE requires 100rel: a recorder answers at once and has nothing to say before. One at a time.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.sip import Request
from signaling.useragent.closing import give_up_invite, stop_provisional
from signaling.useragent.core import Core, DialogEntry, ReliableProvisional
from signaling.useragent.events import PrackReceived
from signaling.useragent.exchange import Arrival, ServerExchange
from signaling.useragent.prepared import Announcement
from signaling.useragent.return_path import response_path
from signaling.useragent.server import answer, open_exchange, refuse

MAX_FIRST_RSEQ: Final = 2**31 - 1
"""RFC 3262 §3: the first RSeq "MUST be between 1 and 2**31 - 1"."""


def wants_reliable(request: Request, status: int) -> bool:
    """Say whether this provisional response has to be sent reliably.

    "The UAS MUST send any non-100 provisional response reliably if the initial request contained a Require header
    field with the option tag 100rel."
    """
    if not 100 < status < 200 or request.method != "INVITE":
        return False
    try:
        return "100rel" in request.require
    except SipSyntaxError:
        return False


def next_rseq(core: Core, entry: DialogEntry) -> int:
    """Return the RSeq of the next reliable provisional response.

    Raises:
        LocalProtocolError: the last one is not acknowledged yet.

    """
    last = entry.provisional
    if last is None:
        return 1 + int(core.uniform() * (MAX_FIRST_RSEQ - 1))
    if not last.acknowledged:
        # "The UAS MUST NOT send a second reliable provisional response until the first is acknowledged."
        raise LocalProtocolError("the last reliable provisional response is not acknowledged yet")
    return last.rseq + 1


def check_overtaking(entry: DialogEntry) -> None:
    """Make sure that a 2xx may be sent now.

    RFC 3262 §3: not while a reliable provisional response with a session description is unacknowledged.

    Raises:
        LocalProtocolError: it may not; wait for `PrackReceived`.

    """
    last = entry.provisional
    if last is not None and last.described and not last.acknowledged:
        raise LocalProtocolError("a reliable provisional response with a description is not acknowledged yet")


def keep_sending(core: Core, entry: DialogEntry, exchange: ServerExchange, change: Announcement, now: float) -> None:
    """Repeat a reliable provisional response that has just been sent, from T1 on, doubling, until its PRACK comes."""
    provisional = ReliableProvisional(exchange.request_id, change.rseq, change.data, change.described)
    provisional.interval = core.timers.t1
    provisional.gives_up_at = now + core.timers.timeout
    entry.provisional = provisional
    provisional.timer = core.queue.arm(now + core.timers.t1, partial(_on_timer, core, exchange, provisional))


def receive_prack(core: Core, entry: DialogEntry, arrival: Arrival) -> None:
    """Take a PRACK: 200 if it fits the provisional response that waits for it, else 481."""
    try:
        rack = arrival.request.rack
    except SipSyntaxError:
        rack = None
    waiting = entry.provisional
    invite = None if waiting is None else core.server_by_id.get(waiting.request_id)
    fits = (
        rack is not None
        and waiting is not None
        and invite is not None
        and not waiting.acknowledged
        and (rack.rseq, rack.cseq.number, rack.cseq.method) == (waiting.rseq, invite.sequence, "INVITE")
    )
    if waiting is None or not fits:
        refuse(core, arrival, 481, dialog_id=entry.identifier)
        return
    waiting.acknowledged = True
    stop_provisional(core, entry)
    exchange = open_exchange(core, arrival, local_tag=entry.dialog.state.local_tag)
    exchange.dialog_id = entry.identifier
    answer(core, exchange, 200, arrival.now)
    core.emit(PrackReceived(entry.identifier, arrival.request, waiting.request_id))


def _on_timer(core: Core, exchange: ServerExchange, provisional: ReliableProvisional, now: float) -> None:
    if now >= provisional.gives_up_at:
        # "If a reliable provisional response is retransmitted for 64*T1 seconds without reception of a corresponding
        # PRACK, the UAS SHOULD reject the original request with a 5xx response."
        give_up_invite(core, exchange, 504, "unacknowledged", now)
        return
    path = response_path(exchange.via, exchange.flow, is_open=core.is_open(exchange.flow))
    core.transmit(provisional.data, path, dialog_id=exchange.dialog_id, request_id=exchange.request_id)
    provisional.interval *= 2
    at = min(now + provisional.interval, provisional.gives_up_at)
    provisional.timer = core.queue.arm(at, partial(_on_timer, core, exchange, provisional))
