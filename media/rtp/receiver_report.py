"""What a receiver sends: RR, SDES and BYE in one compound packet, and when; RFC 3550 §6.2, §6.3, §6.4.2, §6.5, §6.6.

Lays out bytes and computes intervals; counts nothing, sends nothing, and is given its random numbers.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.rtp.rtcp import PacketType, SdesItem

DEFAULT_BANDWIDTH_BPS: Final = 3200.0
"""Bits per second for RTCP of a session of 64 kbit/s: 5 % (RFC 3550 §6.2)."""
_MEMBERS: Final = 2
"""The sender and we."""
_COMPENSATION: Final = 1.21828
"""e - 3/2: reconsideration makes intervals longer than they were drawn (RFC 3550 §6.3.1)."""
_UDP_HEADERS: Final = 28
_HEADER: Final = struct.Struct("!BBHI")
BLOCK: Final = struct.Struct("!IIIIII")
"""Source; fraction and cumulative number lost; highest number; jitter; last SR; delay since then (§6.4.1)."""
BLOCK_START: Final = _HEADER.size


def compound(ssrc: int, cname: str, *, block: bool, leaving: bool = False) -> bytearray:
    """Return a compound packet; a report block, if wanted, is zero and lies at `BLOCK_START`.

    Args:
        ssrc: ours.
        cname: canonical name, at most 255 bytes (§6.5.1).
        block: report on one source; else the receiver report is empty.
        leaving: end with a BYE.

    """
    name = cname.encode()[:255]
    item = struct.pack("!IBB", ssrc, SdesItem.CNAME, len(name)) + name
    item += bytes(4 - len(item) % 4)  # §6.5: at least one null octet ends the list
    words = 1 + (BLOCK.size // 4 if block else 0)
    packet = bytearray(_HEADER.pack(0x80 | block, PacketType.RR, words, ssrc))
    packet += bytes(BLOCK.size if block else 0)
    packet += struct.pack("!BBH", 0x81, PacketType.SDES, len(item) // 4) + item
    if leaving:
        packet += _HEADER.pack(0x81, PacketType.BYE, 1, ssrc)
    return packet


def intervals(
    draws: NDArray[np.float64], packet_size: float, *, minimum_s: float, bandwidth_bps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return seconds from one report to the next, §6.3.1.

    Args:
        draws: uniform numbers from 0 to 1, one for each stream.
        packet_size: bytes of a report without its UDP header.
        minimum_s: shortest interval before it is spread; 5 s by the RFC.
        bandwidth_bps: bits per second for RTCP of each stream.

    """
    needed = _MEMBERS * (packet_size + _UDP_HEADERS) * 8 / bandwidth_bps
    spread: NDArray[np.float64] = np.maximum(needed, minimum_s) * (draws + 0.5) / _COMPENSATION
    return spread
