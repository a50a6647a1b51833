"""What the parts of the user agent share: tables, timers and output queues.

No protocol rule lives here. The parts are functions over a `Core`, one module per section of RFC 3261; `UserAgent` is
their public face.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from signaling.dialog.dialog import Dialog
from signaling.dialog.flow import Destination, Flow, TransportName
from signaling.dialog.session_timer import Due
from signaling.dialog.state import Phase
from signaling.sip import Response, Via
from signaling.sip.via import MAGIC_COOKIE
from signaling.transaction import MergeKey, Timers, TransactionKey
from signaling.useragent.challenges import Logins, Proof, Protection
from signaling.useragent.events import Event, MessageDiscarded, Traced
from signaling.useragent.exchange import ClientExchange, ClientMachine, ServerExchange
from signaling.useragent.identity import Identity, Limits
from signaling.useragent.prepared import PreparedRequest
from signaling.useragent.responses import contact_of
from signaling.useragent.timer_queue import Timer, TimerQueue

Silence: TypeAlias = Literal["timeout", "transport"]
"""Why no answer came to a request of ours."""


class Outgoing(msgspec.Struct, frozen=True):
    """One message for the transport to send."""

    data: bytes
    flow: Flow | Destination
    """An existing way, or where to open one."""
    request_id: str = ""
    """The exchange it belongs to; the transport hands the value back to `UserAgent.undeliverable`."""


class AwaitedAck(msgspec.Struct):
    """A 2xx to an INVITE that is repeated until its ACK comes (RFC 3261 §13.3.1.4)."""

    request_id: str
    sequence: int
    data: bytes
    via: Via
    flow: Flow
    timer: Timer | None = None
    interval: float = 0.0
    gives_up_at: float = 0.0
    overdue: bool = False
    """It was advised to store that the ACK does not come."""

    @classmethod
    def of(cls, exchange: ServerExchange, data: bytes) -> AwaitedAck:
        """Make one for the 2xx `data` to the INVITE of `exchange`."""
        return cls(exchange.request_id, exchange.sequence, data, exchange.via, exchange.flow)


@dataclass(slots=True)
class RepeatedAnswer:
    """A final response that a process before us promised: what a retransmitted request gets."""

    dialog_id: str
    data: bytes


@dataclass(slots=True)
class ReliableProvisional:
    """A provisional response that is repeated until its PRACK comes (RFC 3262 §3)."""

    request_id: str
    rseq: int
    data: bytes
    described: bool
    """It carries a session description, so that no 2xx may overtake it."""
    timer: Timer | None = None
    interval: float = 0.0
    gives_up_at: float = 0.0
    acknowledged: bool = False


@dataclass(slots=True)
class DialogEntry:
    """A dialog and the exchanges of the user agent that belong to it."""

    dialog: Dialog
    awaited_acks: list[AwaitedAck] = field(default_factory=list)
    provisional: ReliableProvisional | None = None
    """The latest reliable provisional response to the INVITE under way."""
    byes: list[str] = field(default_factory=list)
    """Unanswered BYEs of the peer; requests that come after one are refused."""
    our_bye: str | None = None
    held_bye: PreparedRequest | None = None
    """A BYE of ours that waits for the ACK of our 2xx (RFC 3261 §15)."""
    acknowledged: int = 0
    """Highest CSeq number of an INVITE whose 2xx was acknowledged; 0 if there was none."""
    session_timer: Timer | None = None
    proofs: dict[Protection, Proof] = field(default_factory=dict)
    """Who wants to know who we are, and what we tell them."""

    @property
    def identifier(self) -> str:
        """The `dialog_id`."""
        return self.dialog.identifier

    @property
    def is_confirmed(self) -> bool:
        """True between our 2xx and the end."""
        return self.dialog.state.phase is Phase.CONFIRMED


class DialogTable:
    """Dialogs by identifier, and by what a peer names that leaves the To-tag out."""

    def __init__(self) -> None:
        self._entries: dict[str, DialogEntry] = {}
        self._by_peer: dict[tuple[str, str | None], dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, dialog_id: str | None) -> DialogEntry | None:
        """Return the dialog called `dialog_id`, or None."""
        return None if dialog_id is None else self._entries.get(dialog_id)

    def add(self, entry: DialogEntry) -> None:
        """Take a dialog in."""
        state = entry.dialog.state
        self._entries[entry.identifier] = entry
        self._by_peer.setdefault((state.call_id, state.remote_tag), {})[entry.identifier] = None

    def remove(self, entry: DialogEntry) -> None:
        """Let a dialog go."""
        del self._entries[entry.identifier]
        peer = (entry.dialog.state.call_id, entry.dialog.state.remote_tag)
        namesakes = self._by_peer[peer]
        del namesakes[entry.identifier]
        if not namesakes:
            del self._by_peer[peer]

    def only_one_of(self, call_id: str, remote_tag: str | None) -> DialogEntry | None:
        """Return the dialog with this Call-ID and remote tag if there is exactly one."""
        namesakes = self._by_peer.get((call_id, remote_tag), {})
        return self._entries[next(iter(namesakes))] if len(namesakes) == 1 else None

    def confirmed(self) -> list[str]:
        """Return the identifiers of the dialogs that are established."""
        return [identifier for identifier, entry in self._entries.items() if entry.is_confirmed]


def _nothing(*_: object) -> None:
    """Stand in for a hook that is not set, and for credentials that we do not have."""


@dataclass(slots=True)
class Hooks:
    """Calls from lower parts of the user agent up to higher ones, set by `UserAgent`; each takes the time last."""

    session_due: Callable[[DialogEntry, Due, float], None] = _nothing
    """The session timer of a dialog fired."""
    client_due: Callable[[ClientExchange, ClientMachine, float], None] = _nothing
    """The timer of a client transaction fired."""
    client_silent: Callable[[ClientExchange, Silence, float], None] = _nothing
    """Waiting for an answer to a request of ours is over."""
    refresh_answered: Callable[[DialogEntry, ClientExchange, Response, float], None] = _nothing
    """A session refresh of the user agent's own got its final response."""
    refresh_again: Callable[[DialogEntry, float], None] = _nothing
    """Its back-off is over."""


class Core:
    """Shared state of the user agent.

    Args:
        identity: who we are.
        timers: T1, T2 and T4 in seconds.
        token: returns a fresh random token of at least 64 bits each time (RFC 3261 §19.3 asks for 32).
        limits: what is taken on.
        uniform: returns a fresh random number in [0, 1); by default made from `token`.
        logins: what challenges to our own requests are answered with; nothing by default.

    """

    def __init__(
        self,
        identity: Identity,
        *,
        timers: Timers,
        token: Callable[[], str],
        limits: Limits,
        uniform: Callable[[], float] | None,
        logins: Logins | None = None,
    ) -> None:
        self.identity = identity
        self.timers = timers
        self.limits = limits
        self.token = token
        self.uniform = uniform or self._uniform_of_token
        self.logins: Logins = logins or _nothing
        self.tracing = False
        self.hooks = Hooks()
        self.queue = TimerQueue()
        self.dialogs = DialogTable()
        self.server: dict[TransactionKey, ServerExchange] = {}
        self.server_by_id: dict[str, ServerExchange] = {}
        self.merged: dict[MergeKey, TransactionKey] = {}
        self.by_fingerprint: dict[bytes, ServerExchange] = {}
        """Transactions by the bytes of their request, where it came by UDP."""
        self.client: dict[TransactionKey, ClientExchange] = {}
        self.client_by_id: dict[str, ClientExchange] = {}
        self.client_by_flow: dict[Flow, set[str]] = {}
        self.repeated: dict[TransactionKey, RepeatedAnswer] = {}
        self.repeated_merges: set[MergeKey] = set()
        self.open_flows: set[Flow] = set()
        """Connections on which something was received and that have not been reported closed."""
        self.traced_dialog: str | None = None
        """The dialog of the message in hand."""
        self.received = b""
        """The message in hand, as it came."""
        self.fingerprint = b""
        """Of the bytes of the message in hand; empty if it is not to be known by them."""
        self._writes: list[Outgoing] = []
        self._events: list[Event] = []
        self._numbered = 0
        self._contacts: dict[tuple[TransportName, str, bool, bool], str] = {}

    def next_identifier(self, prefix: str) -> str:
        """Return a fresh `request_id`."""
        self._numbered += 1
        # The stamp keeps it apart from those of other processes, which a snapshot may hold.
        return f"{self.identity.stamp}-{prefix}{self._numbered}"

    def branch(self) -> str:
        """Return a fresh branch (RFC 3261 §8.1.1.7)."""
        return MAGIC_COOKIE + self.token()

    def contact(self, flow: Flow, *, secure: bool, recording: bool) -> str:
        """Return our Contact value for the peer of `flow`; there are few, and each is built once."""
        key = (flow.transport, flow.local[0], secure, recording)
        text = self._contacts.get(key)
        if text is None:
            text = self._contacts[key] = contact_of(self.identity, flow, secure=secure, recording=recording)
        return text

    def is_open(self, flow: Flow) -> bool:
        """Say whether messages can still go by `flow`; UDP never closes."""
        return not flow.reliable or flow in self.open_flows

    def emit(self, event: Event) -> None:
        """Tell the transaction user."""
        self._events.append(event)

    def discard(self, flow: Flow, reason: str, detail: str = "") -> None:
        """Tell the transaction user that a message went no further."""
        self._events.append(MessageDiscarded(flow, reason, detail))

    def transmit(self, data: bytes, flow: Flow | Destination, *, dialog_id: str | None, request_id: str = "") -> None:
        """Queue a message for the transport."""
        self._writes.append(Outgoing(data, flow, request_id))
        if self.tracing:
            self._events.append(Traced("out", flow, data, dialog_id))

    def trace_arrival(self, position: int, flow: Flow, data: bytes) -> None:
        """Put the trace of a received message in front of everything that it caused."""
        self._events.insert(position, Traced("in", flow, data, self.traced_dialog))

    def pending_events(self) -> int:
        """Return how many events wait to be drained."""
        return len(self._events)

    def drain_writes(self) -> list[Outgoing]:
        """Return and forget the messages to send."""
        writes, self._writes = self._writes, []
        return writes

    def drain_events(self) -> list[Event]:
        """Return and forget the events."""
        events, self._events = self._events, []
        return events

    def rearm(self, timer: Timer | None, at: float | None, action: Callable[[float], None]) -> Timer | None:
        """Move a timer to `at`; None stops it. Return the timer that runs now."""
        if timer is not None and timer.action is not None and timer.at == at:
            return timer
        self.queue.cancel(timer)
        return None if at is None else self.queue.arm(at, action)

    def _uniform_of_token(self) -> float:
        return zlib.crc32(self.token().encode()) / 2**32
