"""Server transactions of the user agent: opening, answering, running and forgetting them, RFC 3261 §8.2.6 and §17.2.

Knows how a response leaves, not which one is right. Does not look at dialogs, except to name them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from signaling.dialog.dialog import forget_answer
from signaling.dialog.negotiation import Verdict
from signaling.transaction import (
    InviteServerTransaction,
    NonInviteServerTransaction,
)
from signaling.useragent.core import Core, DialogEntry
from signaling.useragent.exchange import Arrival, ServerExchange, ServerMachine
from signaling.useragent.responses import Echo, stateless_tag, write_response
from signaling.useragent.return_path import response_path


def open_exchange(core: Core, arrival: Arrival, *, local_tag: str, trying: bool = True) -> ServerExchange:
    """Start the server transaction of a request; call `run` to send the 100 of an INVITE.

    RFC 3261 §17.2.1 wants the 100 within 200 ms. It goes at once: the answer waits for a checkpoint, whose duration
    nobody can promise.

    Args:
        core: the user agent's state.
        arrival: the request.
        local_tag: To-tag of the responses, unless the request has one.
        trying: False for an INVITE that is refused in the same breath.

    """
    flow = arrival.flow
    echo = Echo.of(arrival.request, flow, local_tag)
    machine: ServerMachine
    if arrival.request.method == "INVITE":
        first = echo.trying() if trying else None
        machine = InviteServerTransaction(reliable=flow.reliable, timers=core.timers, trying=first)
    else:
        machine = NonInviteServerTransaction(
            reliable=flow.reliable, timers=core.timers, trying=echo.trying(), now=arrival.now
        )
    exchange = ServerExchange(
        core.next_identifier("s"),
        echo,
        key=arrival.key,
        merge=arrival.merge,
        machine=machine,
        flow=flow,
        local_tag=arrival.to_tag or local_tag,
        fingerprint=core.fingerprint,
    )
    if exchange.fingerprint:
        core.by_fingerprint[exchange.fingerprint] = exchange
    core.server[exchange.key] = exchange
    core.server_by_id[exchange.request_id] = exchange
    if exchange.merge is not None:
        core.merged[exchange.merge] = exchange.key
    return exchange


def run(core: Core, exchange: ServerExchange, now: float) -> None:
    """Send what the machine wants to send, arm its timer, and forget it once it is over."""
    machine = exchange.machine
    deadline = machine.deadline
    if deadline is not None and deadline <= now:
        machine.handle_timer(now)
        deadline = machine.deadline
    for data in machine.outgoing():
        path = response_path(exchange.via, exchange.flow, is_open=core.is_open(exchange.flow))
        core.transmit(data, path, dialog_id=exchange.dialog_id, request_id=exchange.request_id)
    machine.events()
    if machine.is_over:
        forget(core, exchange)
        return
    exchange.timer = core.rearm(exchange.timer, deadline, partial(_on_timer, core, exchange))


def send_final(core: Core, exchange: ServerExchange, status: int, data: bytes, now: float) -> None:
    """Send the final response and let the request go."""
    exchange.machine.send(data, status=status, now=now)
    exchange.echo = None
    core.queue.cancel(exchange.guard)
    exchange.guard = None
    run(core, exchange, now)


def answer(
    core: Core, exchange: ServerExchange, status: int, now: float, *, headers: Sequence[tuple[str, str]] = ()
) -> None:
    """Refuse, or accept without further ado, on the user agent's own account.

    Raises:
        LostError: it has been answered.

    """
    data = write_response(core.identity, exchange.asked(), status, headers=headers)
    send_final(core, exchange, status, data, now)


def refuse(
    core: Core,
    arrival: Arrival,
    status: int,
    *,
    dialog_id: str | None = None,
    local_tag: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> None:
    """Answer by itself, but with a transaction, where a repetition of the request might be judged otherwise."""
    tag = local_tag or stateless_tag(core.identity, arrival.request)
    exchange = open_exchange(core, arrival, local_tag=tag, trying=False)
    exchange.dialog_id = dialog_id
    answer(core, exchange, status, arrival.now, headers=headers)


def refuse_glare(core: Core, entry: DialogEntry, arrival: Arrival, verdict: Verdict) -> None:
    """Refuse a re-INVITE or UPDATE that crosses another one (RFC 3261 §14.2, RFC 3311 §5.2)."""
    if verdict is Verdict.REQUEST_PENDING:
        refuse(core, arrival, 491, dialog_id=entry.identifier)
        return
    # "a Retry-After header field with a randomly chosen value of between 0 and 10 seconds"
    seconds = str(min(10, int(core.uniform() * 11)))
    refuse(core, arrival, 500, dialog_id=entry.identifier, headers=[("Retry-After", seconds)])


def reply_statelessly(core: Core, arrival: Arrival, status: int, *, headers: Sequence[tuple[str, str]] = ()) -> None:
    """Answer without keeping anything: each repetition of the request gets the same bytes again (RFC 3261 §8.2.7)."""
    flow = arrival.flow
    echo = Echo.of(arrival.request, flow, stateless_tag(core.identity, arrival.request))
    data = write_response(core.identity, echo, status, headers=headers)
    core.transmit(data, response_path(echo.via, flow, is_open=core.is_open(flow)), dialog_id=None)


def forget(core: Core, exchange: ServerExchange) -> None:
    """Drop a transaction from every table."""
    core.queue.cancel(exchange.timer)
    core.queue.cancel(exchange.guard)
    del core.server_by_id[exchange.request_id]
    del core.server[exchange.key]
    if core.by_fingerprint.get(exchange.fingerprint) is exchange:
        del core.by_fingerprint[exchange.fingerprint]
    if exchange.merge is not None and core.merged.get(exchange.merge) == exchange.key:
        del core.merged[exchange.merge]
    entry = core.dialogs.get(exchange.dialog_id)
    if entry is not None and exchange.answered and exchange.machine.last_response is not None:
        # No retransmission of this request can come any more.
        forget_answer(entry.dialog.state, exchange.machine.last_response)


def find(core: Core, request_id: str) -> ServerExchange | None:
    """Return the exchange if it exists and still waits for its final response."""
    exchange = core.server_by_id.get(request_id)
    return None if exchange is None or exchange.answered else exchange


def has_room(core: Core) -> bool:
    """Say whether another transaction may be opened."""
    return len(core.server) < core.limits.server_transactions


def _on_timer(core: Core, exchange: ServerExchange, now: float) -> None:
    exchange.timer = None
    exchange.machine.handle_timer(now)
    run(core, exchange, now)
