"""Requests that come again byte for byte, as UDP clients repeat them (RFC 3261 §17.1.1.2, §17.1.2.2).

They are known by their bytes and answered by their transaction without being parsed: a client repeats because we are
late, and what a repetition costs makes us later. Whatever differs in one byte takes the way of every request, and so
does everything that comes by a connection.
"""

from __future__ import annotations

import hashlib
from typing import Final

from signaling.dialog.flow import Flow
from signaling.useragent.core import Core
from signaling.useragent.server import run

MAX_CHEAP: Final = 16
"""Of one request: timers A and E repeat it six and ten times. What comes more often is no retransmission."""
_DIGEST_BYTES: Final = 16


def absorb(core: Core, data: bytes, flow: Flow, now: float) -> bool:
    """Take a datagram if it repeats a request that has a transaction; False if it has to be looked at.

    The transaction that is opened for the datagram next is found by its bytes from then on.
    """
    core.fingerprint = b""
    if flow.reliable:
        return False
    core.fingerprint = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
    exchange = core.by_fingerprint.get(core.fingerprint)
    # By another way it may be a peer that lost the first one, which the response has to follow.
    if exchange is None or exchange.flow != flow or exchange.repetitions >= MAX_CHEAP:
        return False
    exchange.repetitions += 1
    core.traced_dialog = exchange.dialog_id
    position = core.pending_events()
    exchange.machine.receive_retransmission()
    run(core, exchange, now)
    if core.tracing:
        core.trace_arrival(position, flow, data)
    return True
