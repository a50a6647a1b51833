"""Session descriptions (RFC 8866) and offer/answer for a receive-only recorder (RFC 3264).

`grammar` reads tolerantly, `description` holds and writes strictly, `payloads` and `crypto` interpret attributes,
`offer_answer` negotiates. Imports `signaling.errors` and nothing else of the project.
"""

from signaling.sdp.description import (
    Attribute,
    Connection,
    Direction,
    Fault,
    Forgiven,
    Line,
    MediaDescription,
    Origin,
    SessionDescription,
)
from signaling.sdp.errors import SdpSyntaxError
from signaling.sdp.grammar import parse_sdp
from signaling.sdp.payloads import Codec, payload_map

__all__ = [
    "Attribute",
    "Codec",
    "Connection",
    "Direction",
    "Fault",
    "Forgiven",
    "Line",
    "MediaDescription",
    "Origin",
    "SdpSyntaxError",
    "SessionDescription",
    "parse_sdp",
    "payload_map",
]
