"""SIP messages: grammar, header values, parsing, framing and building (RFC 3261 §7, §19, §20, §25).

Bytes in, immutable messages out, and back. Tolerant in, strict out. Pure: no socket, no clock, no state but that of
`StreamFramer`. May import `signaling.errors` only; transactions and everything above build on it.

The names below are the interface; modules may be imported directly for what is rarely needed (digest, values).
"""

from signaling.sip.address import NameAddr
from signaling.sip.build import build_ack, build_cancel, build_request, build_response, reject_malformed
from signaling.sip.framing import PING, PONG, StreamFramer
from signaling.sip.headers import Headers
from signaling.sip.message import Message, Request, Response, encode
from signaling.sip.parser import parse_message
from signaling.sip.reasons import REASONS
from signaling.sip.syntax import Params
from signaling.sip.uri import Uri
from signaling.sip.values import CSeq, Disposition, MediaType, RAck, SessionExpires, SessionId
from signaling.sip.via import Via

__all__ = [
    "PING",
    "PONG",
    "REASONS",
    "CSeq",
    "Disposition",
    "Headers",
    "MediaType",
    "Message",
    "NameAddr",
    "Params",
    "RAck",
    "Request",
    "Response",
    "SessionExpires",
    "SessionId",
    "StreamFramer",
    "Uri",
    "Via",
    "build_ack",
    "build_cancel",
    "build_request",
    "build_response",
    "encode",
    "parse_message",
    "reject_malformed",
]
