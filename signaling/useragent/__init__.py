"""The SIP user agent of the recorder: UAS core, and UAC inside dialogs (RFC 3261 §8, §9, §11 to §15).

Sans-IO, over `signaling.transaction` and `signaling.dialog`. One module per section of the RFC; `UserAgent` is the
interface, `events` what it tells. Knows nothing of SDP content, metadata, recordings, sockets or clocks.
"""

from signaling.dialog.flow import Destination, Flow
from signaling.dialog.session_timer import SessionTimerPolicy
from signaling.transaction.timers import Timers
from signaling.useragent.agent import UserAgent
from signaling.useragent.challenges import Login, Logins
from signaling.useragent.core import Outgoing
from signaling.useragent.events import (
    AckReceived,
    AckTimedOut,
    ByeReceived,
    CancelReceived,
    CheckpointAdvised,
    DialogDoubted,
    DialogEnded,
    Event,
    InfoReceived,
    InviteReceived,
    MessageDiscarded,
    OptionsReceived,
    PrackReceived,
    RefreshDue,
    ReinviteReceived,
    RequestTimedOut,
    ResponseReceived,
    RetryDue,
    SessionExpired,
    SessionRefreshed,
    Traced,
    UpdateReceived,
)
from signaling.useragent.identity import Identity, Limits, stamp_of
from signaling.useragent.prepared import Prepared, PreparedRequest

__all__ = [
    "AckReceived",
    "AckTimedOut",
    "ByeReceived",
    "CancelReceived",
    "CheckpointAdvised",
    "Destination",
    "DialogDoubted",
    "DialogEnded",
    "Event",
    "Flow",
    "Identity",
    "InfoReceived",
    "InviteReceived",
    "Limits",
    "Login",
    "Logins",
    "MessageDiscarded",
    "OptionsReceived",
    "Outgoing",
    "PrackReceived",
    "Prepared",
    "PreparedRequest",
    "RefreshDue",
    "ReinviteReceived",
    "RequestTimedOut",
    "ResponseReceived",
    "RetryDue",
    "SessionExpired",
    "SessionRefreshed",
    "SessionTimerPolicy",
    "Timers",
    "Traced",
    "UpdateReceived",
    "UserAgent",
    "stamp_of",
]
