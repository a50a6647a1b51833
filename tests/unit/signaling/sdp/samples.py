"""Session descriptions that several tests start from."""

from __future__ import annotations

from signaling.sdp import Origin, SessionDescription, parse_sdp

HOST = "192.0.2.50"
ORIGIN = Origin.ours(7001, HOST, username="srs")

TWO_STREAMS = """\
v=0
o=SRC 100 1 IN IP4 198.51.100.1
s=-
c=IN IP4 198.51.100.1
t=0 0
m=audio 12240 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendonly
a=label:96
m=audio 12242 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendonly
a=label:97
"""

KEY = bytes(range(30))
OTHER_KEY = bytes(range(100, 130))
OFFERED_KEY = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e"

SECURE = f"""\
v=0
o=SRC 200 1 IN IP4 198.51.100.1
s=-
c=IN IP4 198.51.100.1
t=0 0
m=audio 12240 RTP/SAVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{OFFERED_KEY}|2^20|1:4
a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{OFFERED_KEY}
a=sendonly
a=label:96
"""


def body(text: str) -> bytes:
    """Return the text with the line ends of SDP."""
    return text.replace("\n", "\r\n").encode()


def sdp(text: str) -> SessionDescription:
    """Parse a description written with plain line ends."""
    return parse_sdp(body(text))


def text_of(description: SessionDescription) -> str:
    """Return a description with plain line ends, to be compared with a literal."""
    encoded = description.encode().decode()
    assert encoded.count("\r\n") == encoded.count("\n")
    return encoded.replace("\r\n", "\n")
