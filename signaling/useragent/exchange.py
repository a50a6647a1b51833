"""Transactions as the user agent keeps them: the machine, and what is needed around it, RFC 3261 §17.

Records only. Does not process messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from signaling.dialog.flow import Destination, Flow
from signaling.dialog.session_timer import Agreement
from signaling.errors import LostError
from signaling.sip import Request, Via
from signaling.transaction import (
    InviteClientTransaction,
    InviteServerTransaction,
    MergeKey,
    NonInviteClientTransaction,
    NonInviteServerTransaction,
    TransactionKey,
)
from signaling.useragent.challenges import Protection
from signaling.useragent.responses import Echo
from signaling.useragent.timer_queue import Timer

ServerMachine: TypeAlias = InviteServerTransaction | NonInviteServerTransaction
ClientMachine: TypeAlias = InviteClientTransaction | NonInviteClientTransaction


@dataclass(frozen=True, slots=True)
class Draft:
    """A request of ours before it has a CSeq number, a branch and a way to go."""

    method: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str | None = None


class Arrival(msgspec.Struct):
    """A request that has just come and belongs to no transaction yet, with what was worked out about it."""

    request: Request
    """As it was received."""
    flow: Flow
    now: float
    key: TransactionKey
    merge: MergeKey | None
    """None if the request has a To-tag."""
    to_tag: str | None


class ServerExchange:
    """A request of the peer and our answer to it."""

    __slots__ = (
        "agreement",
        "dialog_id",
        "echo",
        "fingerprint",
        "flow",
        "guard",
        "initial",
        "key",
        "local_tag",
        "machine",
        "merge",
        "method",
        "offers",
        "repetitions",
        "request_id",
        "sequence",
        "timer",
        "via",
    )

    def __init__(
        self,
        request_id: str,
        echo: Echo,
        *,
        key: TransactionKey,
        merge: MergeKey | None,
        machine: ServerMachine,
        flow: Flow,
        local_tag: str,
        fingerprint: bytes = b"",
    ) -> None:
        self.request_id = request_id
        self.fingerprint = fingerprint
        """By which the request is known when it comes again; empty if it is not."""
        self.repetitions = 0
        """Times that it came again and was known by its bytes."""
        self.key = key
        self.merge = merge
        self.machine = machine
        self.echo: Echo | None = echo
        """None once the request is finally answered: an INVITE of 3 kB kept for 32 s costs more than its dialog."""
        self.method = echo.request.method
        self.sequence = echo.request.cseq.number
        self.via: Via = echo.via
        """Topmost Via, completed with the source: it leads the responses back."""
        self.flow = flow
        self.local_tag = local_tag
        self.dialog_id: str | None = None
        self.agreement: Agreement | None = None
        """Session timer that a 2xx will set, for an INVITE, re-INVITE or UPDATE."""
        self.offers = False
        """The request carries a session description."""
        self.initial = False
        """An INVITE that makes a dialog."""
        self.timer: Timer | None = None
        """Runs the machine."""
        self.guard: Timer | None = None
        """Ends the wait for the transaction user."""

    @property
    def answered(self) -> bool:
        """True once a final response has been sent."""
        return self.echo is None

    def asked(self) -> Echo:
        """Return the request that waits for its answer.

        Raises:
            LostError: it has been answered.

        """
        if self.echo is None:
            raise LostError("the request has been answered")
        return self.echo


class ClientExchange:
    """A request of ours and the peer's answer to it."""

    __slots__ = (
        "ack",
        "ack_target",
        "answered",
        "attempt",
        "cancelling",
        "carried_by",
        "credentials",
        "dialog_id",
        "draft",
        "guard",
        "internal",
        "key",
        "machine",
        "proved",
        "provisional",
        "request_id",
        "sequence",
        "targets",
        "timer",
    )

    def __init__(self, request_id: str, dialog_id: str, draft: Draft, *, sequence: int, internal: bool) -> None:
        self.request_id = request_id
        self.dialog_id = dialog_id
        self.draft = draft
        """What was asked for: a change of transport builds the request again."""
        self.sequence = sequence
        self.internal = internal
        """Sent by the user agent on its own account: the transaction user does not know of it."""
        self.machine: ClientMachine | None = None
        self.key = TransactionKey("", ("", 0), draft.method)
        """Without branch until the request is built."""
        self.targets: tuple[Flow | Destination, ...] = ()
        """Where the request may go, best first."""
        self.attempt = 0
        """Index into `targets`."""
        self.carried_by: Flow | None = None
        """The connection that the request went by, once it is known."""
        self.credentials: tuple[tuple[str, str], ...] = ()
        """Header fields that proved who we are, for the ACK of a 2xx."""
        self.proved: tuple[Protection, ...] = ()
        """Challenges to this request that were answered, a repeated one as often as it was."""
        self.provisional = False
        """A 1xx came."""
        self.answered = False
        """A final response came, or the wait for one is over."""
        self.cancelling = False
        self.ack = b""
        """The ACK of the 2xx, repeated for each repetition of it."""
        self.ack_target: Flow | Destination | None = None
        self.timer: Timer | None = None
        self.guard: Timer | None = None

    @property
    def method(self) -> str:
        """Method of the request."""
        return self.draft.method
