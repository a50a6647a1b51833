"""Which offers and INVITEs are under way in a dialog, and what that allows: RFC 3261 §14, RFC 3311 §5, RFC 6141 §3.5.

Pure flags and verdicts. Does not look into session descriptions and sends nothing.
"""

from __future__ import annotations

import enum


class Verdict(enum.Enum):
    """What becomes of a re-INVITE or UPDATE that just arrived."""

    PROCEED = enum.auto()
    REQUEST_PENDING = enum.auto()
    """491: our own request or offer is under way."""
    RETRY_LATER = enum.auto()
    """500 with Retry-After: the peer's previous one is not answered yet."""


class Negotiation:
    """INVITE and UPDATE transactions of one dialog that are not finished, by request identifier.

    Set the attributes as requests come and go; ask the methods before a new one starts.
    """

    __slots__ = (
        "awaiting_ack",
        "our_invite",
        "our_offer_in_answer",
        "our_update",
        "our_update_offers",
        "their_invite",
        "their_invite_offers",
        "their_update",
        "their_update_offers",
    )

    def __init__(self) -> None:
        self.their_invite: str | None = None
        """INVITE or re-INVITE of the peer that we have not finally answered."""
        self.their_invite_offers = False
        self.their_update: str | None = None
        self.their_update_offers = False
        self.our_invite: str | None = None
        """re-INVITE of ours without a final response."""
        self.our_update: str | None = None
        self.our_update_offers = False
        self.our_offer_in_answer = False
        """We made an offer in a 2xx to an INVITE without one; its answer is due in the ACK."""
        self.awaiting_ack = False
        """We sent a 2xx to an INVITE and have not seen the ACK."""

    def judge_invite(self, *, offers: bool) -> Verdict:
        """Say what to do with a re-INVITE of the peer (RFC 3261 §14.2)."""
        # "A UAS that receives an INVITE on a dialog while an INVITE it had sent on that dialog is in progress MUST
        # return a 491 (Request Pending) response to the received INVITE."
        if self.our_invite is not None or (offers and self._our_offer_is_open()):
            return Verdict.REQUEST_PENDING
        # "A UAS that receives a second INVITE before it sends the final response to a first INVITE with a lower CSeq
        # sequence number on the same dialog MUST return a 500 [...] and MUST include a Retry-After header field"
        if self.their_invite is not None or (offers and self._their_offer_is_open()):
            return Verdict.RETRY_LATER
        return Verdict.PROCEED

    def judge_update(self, *, offers: bool) -> Verdict:
        """Say what to do with an UPDATE of the peer (RFC 3311 §5.2)."""
        if self.their_update is not None:
            return Verdict.RETRY_LATER
        if offers and (self.our_invite is not None or self._our_offer_is_open()):
            return Verdict.REQUEST_PENDING
        if offers and self._their_offer_is_open():
            return Verdict.RETRY_LATER
        return Verdict.PROCEED

    def may_send_invite(self) -> bool:
        """Say whether we may send a re-INVITE now (RFC 3261 §14.1).

        "a UAC MUST NOT initiate a new INVITE transaction within a dialog while another INVITE transaction is in
        progress in either direction"; a 2xx of ours counts as in progress until its ACK is seen.
        """
        return (
            self.our_invite is None
            and self.their_invite is None
            and not self.awaiting_ack
            and not self._our_offer_is_open()
            and not self._their_offer_is_open()
        )

    def may_send_update(self, *, offers: bool) -> bool:
        """Say whether we may send an UPDATE now (RFC 3311 §5.1): one at a time, and no offer beside another."""
        if self.our_update is not None:
            return False
        another = self.our_invite is not None or self._our_offer_is_open() or self._their_offer_is_open()
        return not (offers and another)

    def _our_offer_is_open(self) -> bool:
        return self.our_offer_in_answer or (self.our_update is not None and self.our_update_offers)

    def _their_offer_is_open(self) -> bool:
        return (self.their_invite is not None and self.their_invite_offers) or (
            self.their_update is not None and self.their_update_offers
        )
