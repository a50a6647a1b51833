"""What an RTP payload type means: rtpmap and fmtp, else the static table of RFC 3551 §6.

Does not decide which codec is used (see `offer_answer`) and does not know how to decode one.
"""

from __future__ import annotations

import functools
import re
from typing import Final

import msgspec

from signaling.sdp.description import Attribute, MediaDescription
from signaling.sdp.grammar import number

MAX_PAYLOAD_TYPE: Final = 127

TELEPHONE_EVENT: Final = "TELEPHONE-EVENT"
COMFORT_NOISE: Final = "CN"

# RFC 5761 §4: these numbers look like RTCP packet types when RTP and RTCP share a port.
MUX_CONFLICTS: Final = range(64, 96)


class Codec(msgspec.Struct, frozen=True, gc=False):
    """What one payload type carries."""

    name: str
    """Encoding name in upper case."""
    clock_rate: int
    """Hz; RTP timestamp units per second."""
    channels: int = 1
    fmtp: str = ""
    """Format parameters exactly as written."""

    def same_encoding(self, other: Codec) -> bool:
        """Whether both are one codec; parameters may differ (RFC 3264 §8.3.2 fixes the mapping, not the fmtp)."""
        return self.name == other.name and self.clock_rate == other.clock_rate and self.channels == other.channels

    @property
    def rtpmap(self) -> str:
        """Value of an rtpmap attribute after the payload type."""
        channels = f"/{self.channels}" if self.channels != 1 else ""
        return f"{_SPELLING.get(self.name, self.name)}/{self.clock_rate}{channels}"


# Names that the registry does not write in capitals (RFC 4733, 7587, 5574, 3952, 4298).
_SPELLING: Final = {
    "TELEPHONE-EVENT": "telephone-event",
    "OPUS": "opus",
    "SPEEX": "speex",
    "ILBC": "iLBC",
    "RED": "red",
}

# Annexes of one codec that clients write as names of their own; the payload is the same (RFC 3551 §4.5.6).
_ALIASES: Final = {"G729A": "G729", "G729B": "G729", "G729AB": "G729"}

# RFC 3551 tables 4 and 5. G722 is 16 kHz audio with an 8000 Hz clock, by an old mistake that became law (§4.5.2).
# 19 is reserved there because older implementations used it for comfort noise; Cisco still does.
STATIC: Final[dict[int, Codec]] = {
    0: Codec("PCMU", 8000),
    3: Codec("GSM", 8000),
    4: Codec("G723", 8000),
    5: Codec("DVI4", 8000),
    6: Codec("DVI4", 16000),
    7: Codec("LPC", 8000),
    8: Codec("PCMA", 8000),
    9: Codec("G722", 8000),
    10: Codec("L16", 44100, 2),
    11: Codec("L16", 44100),
    12: Codec("QCELP", 8000),
    13: Codec("CN", 8000),
    14: Codec("MPA", 90000),
    15: Codec("G728", 8000),
    16: Codec("DVI4", 11025),
    17: Codec("DVI4", 22050),
    18: Codec("G729", 8000),
    19: Codec("CN", 8000),
    25: Codec("CELB", 90000),
    26: Codec("JPEG", 90000),
    28: Codec("NV", 90000),
    31: Codec("H261", 90000),
    32: Codec("MPV", 90000),
    33: Codec("MP2T", 90000),
    34: Codec("H263", 90000),
}

# Clock rates of dynamic encodings whose rtpmap lacks a readable one.
_CLOCK_RATES: Final = {"OPUS": 48000, "AMR-WB": 16000, "EVS": 16000, "G7221": 16000, "MPEG4-GENERIC": 48000}
_DEFAULT_CLOCK_RATE: Final = 8000
_MAX_CLOCK_RATE: Final = 1_000_000
_MAX_CHANNELS: Final = 255
_MAX_KNOWN_MAPPINGS: Final = 1024
"""Distinct rtpmap values kept interpreted; a site uses a few dozen, and strangers must not grow the table."""

_MAX_KNOWN_FORMATS: Final = 256
"""Sets of formats kept interpreted; a kind of client has one or two."""
_MEANINGS: Final = ("rtpmap", "fmtp")

_TOKEN: Final = re.compile(r"\s*([0-9A-Za-z!#$%&'*+.^_`{|}~-]+)")
_NUMBER: Final = re.compile(r"\s*([0-9]{1,9})")


def payload_map(media: MediaDescription) -> dict[int, Codec]:
    """Return payload type to codec for every format of an RTP m-line that can be understood, in the m-line's order.

    Tolerates any case, rubbish after the clock rate (`pcmu/8000a`) and a missing rtpmap of a static type.
    """
    meanings = tuple([attribute for attribute in media.attributes if attribute.name in _MEANINGS])
    return dict(_meant(media.formats, meanings))


@functools.lru_cache(maxsize=_MAX_KNOWN_FORMATS)
def _meant(formats: tuple[str, ...], meanings: tuple[Attribute, ...]) -> dict[int, Codec]:
    """Return what formats mean; clients of one kind offer the same in every call."""
    maps: dict[str, str] = {}
    parameters: dict[str, str] = {}
    for attribute in meanings:
        payload_type, _, text = (attribute.value or "").strip().partition(" ")
        (maps if attribute.name == "rtpmap" else parameters).setdefault(payload_type, text.strip())
    result: dict[int, Codec] = {}
    for text in formats:
        payload = number(text, MAX_PAYLOAD_TYPE)
        if payload is None or payload in result:
            continue
        codec = _codec(payload, maps.get(text))
        if codec is not None:
            fmtp = parameters.get(text)
            result[payload] = msgspec.structs.replace(codec, fmtp=fmtp) if fmtp else codec
    return result


@functools.lru_cache(maxsize=_MAX_KNOWN_MAPPINGS)
def _codec(payload_type: int, rtpmap: str | None) -> Codec | None:
    static = STATIC.get(payload_type)
    if not rtpmap:
        return static
    fields = rtpmap.split("/")
    token = _TOKEN.match(fields[0])
    if token is None:
        return static
    name = token[1].upper()
    name = _ALIASES.get(name, name)
    clock_rate = _leading_number(fields[1], _MAX_CLOCK_RATE) if len(fields) > 1 else 0
    channels = _leading_number(fields[2], _MAX_CHANNELS) if len(fields) > 2 else 1
    if static is not None and name == static.name and clock_rate in (0, static.clock_rate) and channels <= 1:
        return static
    return Codec(name, clock_rate or _CLOCK_RATES.get(name, _DEFAULT_CLOCK_RATE), channels or 1)


def _leading_number(text: str, maximum: int) -> int:
    """Return the number that `text` begins with, 0 when there is none or it is out of range."""
    match = _NUMBER.match(text)
    value = int(match[1]) if match else 0
    return value if value <= maximum else 0
