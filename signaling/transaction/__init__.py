"""The four transaction machines and the keys that find them, RFC 3261 §17 with RFC 6026 and RFC 4320.

Sans-IO: bytes or messages and `now` go in; drain `outgoing()` and `events()`, and call `handle_timer` at `deadline`.
Transitions are tables keyed by (state, input). Knows no dialogs, no routes, no sockets. A 2xx to an INVITE is repeated
by the user agent core, not here. May import `signaling.sip` and `signaling.errors`.
"""

from signaling.transaction.invite_client import InviteClientTransaction
from signaling.transaction.invite_server import InviteServerSnapshot, InviteServerTransaction
from signaling.transaction.key import MergeKey, TransactionKey, cancelled_key, client_key, merge_key, server_key
from signaling.transaction.machine import Acknowledged, Responded, TimedOut, TransactionEvent, TransportFailed
from signaling.transaction.non_invite_client import NonInviteClientTransaction
from signaling.transaction.non_invite_server import NonInviteServerSnapshot, NonInviteServerTransaction
from signaling.transaction.timers import Timers

__all__ = [
    "Acknowledged",
    "InviteClientTransaction",
    "InviteServerSnapshot",
    "InviteServerTransaction",
    "MergeKey",
    "NonInviteClientTransaction",
    "NonInviteServerSnapshot",
    "NonInviteServerTransaction",
    "Responded",
    "TimedOut",
    "Timers",
    "TransactionEvent",
    "TransactionKey",
    "TransportFailed",
    "cancelled_key",
    "client_key",
    "merge_key",
    "server_key",
]
