"""Which source a stream accepts, RFC 3550 §8.2 (checklist R3): a lock with controlled switch.

Pure decisions about addresses and times; no packets, no sockets.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from media.writer.kernel import Address


class Cause(enum.StrEnum):
    """Why a source was accepted; the `cause` of a SOURCE event."""

    ANNOUNCED = "announced"
    LEARNED = "learned"
    MOVED = "moved"
    SWITCHED = "switched"


@dataclass(frozen=True, slots=True)
class SwitchPolicy:
    """After how much silence of the accepted source another one may follow it unannounced; nanoseconds."""

    same_host_ns: int
    same_ssrc_ns: int
    other_host_ns: int


@dataclass(frozen=True, slots=True)
class Stranger:
    """Packets from a source that is not the accepted one."""

    address: Address
    first_ns: int
    """Arrival of the first of them."""
    last_ns: int
    known_payload_type: bool
    """The session negotiated what they carry."""
    same_ssrc: bool
    """They continue the accepted SSRC."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Accept the stranger's packets that arrived at `from_ns` or later."""

    cause: Cause
    from_ns: int
    provisional: bool
    """It is not the announced source, and makes room as soon as that one is heard."""


class SourceLock:
    """The accepted source of one stream.

    Args:
        announced: the address in the SDP, None when it names none.

    """

    __slots__ = ("_moving", "accepted", "announced", "provisional")

    def __init__(self, announced: Address | None) -> None:
        self.announced = announced
        self.accepted: Address | None = None
        self.provisional = False
        self._moving = False

    def announce(self, announced: Address | None) -> None:
        """Take over the address of a new SDP; the old source stays accepted until the new one is heard (O6)."""
        before = self.announced.key if self.announced else 0
        if (announced.key if announced else 0) == before:
            return
        self.announced = announced
        self._moving = announced is not None
        if announced and self.accepted and self.accepted.host_key == announced.host_key:
            # It had moved before it said so.
            self.provisional = False
            self._moving = self.accepted.key != announced.key

    def judge(self, stranger: Stranger, heard_ns: int, policy: SwitchPolicy) -> Acceptance | None:
        """Say whether and from when on a stranger is accepted; changes nothing.

        Args:
            stranger: who it is.
            heard_ns: last arrival from the accepted source, 0 if never.
            policy: silences.

        """
        announced_host = self.announced is not None and stranger.address.host_key == self.announced.host_key
        if announced_host and (self.accepted is None or self.provisional):
            return Acceptance(Cause.ANNOUNCED, stranger.first_ns, provisional=False)
        if announced_host and self._moving:
            return Acceptance(Cause.MOVED, stranger.first_ns, provisional=False)
        if not stranger.known_payload_type:
            return None
        if self.accepted is None:
            return Acceptance(Cause.LEARNED, stranger.first_ns, provisional=self.announced is not None)
        if stranger.address.host_key == self.accepted.host_key:
            silence = policy.same_host_ns
        elif stranger.same_ssrc:
            silence = policy.same_ssrc_ns
        else:
            silence = policy.other_host_ns
        from_ns = max(stranger.first_ns, heard_ns + silence)
        if from_ns > stranger.last_ns:
            return None
        return Acceptance(Cause.SWITCHED, from_ns, provisional=self.announced is not None and not announced_host)

    def accept(self, address: Address, acceptance: Acceptance) -> None:
        """Make the judged stranger the accepted source."""
        self.accepted = address
        self.provisional = acceptance.provisional
        if not acceptance.provisional:
            self._moving = False
