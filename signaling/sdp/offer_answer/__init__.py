"""Offer/answer for a recorder, which only ever receives (RFC 3264, RFC 7866 §7).

`plan` answers the peer's offers; `initial_offer`, `offer_again`, `offer_for_move` and `conclude` make our own. Pure
functions over immutable values: whoever calls them holds the `Negotiation` and replaces it when an exchange has
completed.
"""

from signaling.sdp.offer_answer.answering import MediaPlan, plan
from signaling.sdp.offer_answer.model import (
    DEFAULT_POLICY,
    AnswerPolicy,
    Change,
    Negotiation,
    Noted,
    Refusal,
    Remark,
    Slot,
    StreamPlan,
)
from signaling.sdp.offer_answer.offering import (
    Conclusion,
    conclude,
    initial_offer,
    initial_payload_types,
    offer_again,
    offer_for_move,
)

__all__ = [
    "DEFAULT_POLICY",
    "AnswerPolicy",
    "Change",
    "Conclusion",
    "MediaPlan",
    "Negotiation",
    "Noted",
    "Refusal",
    "Remark",
    "Slot",
    "StreamPlan",
    "conclude",
    "initial_offer",
    "initial_payload_types",
    "offer_again",
    "offer_for_move",
    "plan",
]
