"""RTP fixed header, RFC 3550 §5.1, over whole batches of packets.

Checks and takes apart headers with numpy. Does not order packets, knows no codec, and never loops over them.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                           timestamp                           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |           synchronization source (SSRC) identifier            |
    +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
    |            contributing source (CSRC) identifiers             |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FIXED_HEADER: Final = 12
"""Bytes of an RTP header without CSRC list and extension."""
MINIMUM_RTCP: Final = 8
"""Bytes of the shortest RTCP packet with an SSRC: an empty receiver report."""

HEADER: Final = np.dtype(
    [
        ("valid", np.bool_),
        ("marker", np.bool_),
        ("payload_type", np.uint8),
        ("sequence_number", np.uint16),
        ("rtp_timestamp", np.uint32),
        ("ssrc", np.uint32),
        ("payload_start", np.int64),
        ("payload_length", np.int64),
    ],
    align=True,
)
"""One parsed header; numbers in host order, `payload_start` counted in the array that was parsed."""


def is_rtp(first: NDArray[np.uint8], lengths: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Say for each packet whether its first octet and its length can be those of RTP (checklist R1).

    Args:
        first: first octet of each packet; anything where the length is 0.
        lengths: bytes of each packet.

    """
    # The CSRC list and the first word of an extension must fit; the rest needs bytes further in: see `parse_headers`.
    needed = FIXED_HEADER + 4 * (first & 0x0F).astype(np.int64) + ((first & 0x10) >> 2)
    possible: NDArray[np.bool_] = ((first & 0xC0) == 0x80) & (lengths >= needed)
    return possible


def is_rtcp(first: NDArray[np.uint8], second: NDArray[np.uint8], lengths: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Say for each packet whether it falls into the RTCP region of packet types, RFC 5761 §4 (checklist R8).

    A second octet of 192 to 223 is RTCP; RTP does not use payload types 64 to 95 where the two share a port.
    """
    region: NDArray[np.bool_] = ((first & 0xC0) == 0x80) & (second >= 192) & (second <= 223)
    return region & (lengths >= MINIMUM_RTCP)


def octets_at(data: NDArray[np.uint8], starts: NDArray[np.integer], length: int) -> NDArray[np.uint8]:
    """Return so many octets from each of some places, shape (places, length).

    Args:
        data: one dimension, in one piece.
        starts: all `length` octets of each are inside `data`.
        length: at least 1.

    """
    # Each place is one item, which numpy copies at once and not octet by octet.
    items = np.ndarray((max(len(data) - length + 1, 0),), np.dtype((np.void, length)), data, strides=(1,))
    octets: NDArray[np.uint8] = items[starts].view(np.uint8).reshape(len(starts), length)
    return octets


def parse_headers(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.integer]
) -> NDArray[np.void]:
    """Take the headers of a batch of packets apart.

    Args:
        data: the bytes that hold the packets; one dimension.
        offsets: start of each packet in `data`.
        lengths: bytes of each packet; all of them inside `data`.

    Returns:
        one `HEADER` per packet. Where `valid` is false (wrong version; a CSRC list, extension or padding that does not
        fit) the other fields mean nothing and `payload_length` is 0.

    """
    header = np.zeros(len(offsets), HEADER)
    sizes = lengths.astype(np.int64)
    whole = sizes >= FIXED_HEADER
    if not whole.all():
        # Too short to be read at all: parse the others, and put them back into their places.
        kept = np.flatnonzero(whole)
        header[kept] = parse_headers(data, offsets[kept], sizes[kept])
        return header
    octets = octets_at(data, offsets, FIXED_HEADER)
    first, second = octets[:, 0], octets[:, 1]
    header["marker"] = second >> 7
    header["payload_type"] = second & 0x7F
    header["sequence_number"] = octets[:, 2:4].copy().view(">u2")[:, 0]
    words = octets[:, 4:].copy().view(">u4")
    header["rtp_timestamp"] = words[:, 0]
    header["ssrc"] = words[:, 1]
    prefix = FIXED_HEADER + 4 * (first & 0x0F).astype(np.int64)
    valid = is_rtp(first, sizes)
    _add_extensions(data, offsets, valid & ((first & 0x10) != 0), prefix)
    trailer = _padding(data, offsets, sizes, valid & ((first & 0x20) != 0))
    valid &= prefix + trailer <= sizes
    header["valid"] = valid
    header["payload_start"] = offsets + prefix
    header["payload_length"] = np.where(valid, sizes - prefix - trailer, 0)
    return header


def contributing_sources(
    data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.uint32]]:
    """Return the entries of all CSRC lists of a batch, RFC 3550 §5.1: whom a mixer names as heard in a packet.

    Args:
        data: the bytes that hold the packets; one dimension.
        offsets: start of each packet in `data`; `parse_headers` has found all of them valid.

    Returns:
        the position in `offsets` of the packet of each entry, rising, and the identifiers in host order.

    """
    counts = data[offsets] & 0x0F
    packets = np.flatnonzero(counts)
    lengths = counts[packets].astype(np.int64)
    entries = np.repeat(packets, lengths)
    if not entries.size:
        return entries, np.zeros(0, np.uint32)
    place_in_list = np.arange(len(entries)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    words = octets_at(data, offsets[entries] + FIXED_HEADER + 4 * place_in_list, 4)
    return entries, words.copy().view(">u4")[:, 0].astype(np.uint32)


def _add_extensions(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], extended: NDArray[np.bool_], prefix: NDArray[np.int64]
) -> None:
    """Lengthen `prefix` by the header extensions, RFC 3550 §5.3.1; rare, so only their rows are touched."""
    rows = np.flatnonzero(extended)
    if rows.size:
        # Profile word (16 bits), then the count of 32-bit words that follow.
        count = offsets[rows] + prefix[rows] + 2
        prefix[rows] += 4 + 4 * (data[count].astype(np.int64) << 8 | data[count + 1])


def _padding(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], sizes: NDArray[np.int64], padded: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the bytes of padding; a count of 0 is impossible and makes the packet too long for itself."""
    trailer = np.zeros(len(offsets), np.int64)
    rows = np.flatnonzero(padded)
    if rows.size:
        # "The last octet of the padding contains a count of how many padding octets should be ignored, including
        # itself"
        count = data[offsets[rows] + sizes[rows] - 1].astype(np.int64)
        trailer[rows] = np.where(count == 0, sizes[rows] + 1, count)
    return trailer
