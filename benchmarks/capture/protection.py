"""The same load as SRTP: every packet sealed beforehand, so that the generator's work stays what it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media.srtp import SUITES, Context
from media.writer.protocol import MasterKey, Protection

PAYLOAD_WORDS = 40
HEADER = 12
SIZE = HEADER + 4 * PAYLOAD_WORDS


def protection_of(suite: str, stream: int) -> Protection:
    """Keys of one stream; the same in the writer and in the load."""
    seed = hashlib.blake2b(f"{suite} {stream}".encode()).digest()
    return Protection(keys=(MasterKey(suite, seed[: SUITES[suite].key_salt_length]),))


def seal_load(path: Path, suite: str, streams: int, seconds: float) -> int:
    """Write all packets that generator.c would send, sealed, those of stream 0 first; return the bytes of one."""
    numbers = np.arange(int(seconds * 50), dtype=np.uint32)
    size = 0
    with path.open("wb") as file:
        for stream in range(streams):
            packets = _plain(stream, numbers)
            context = Context(suite, protection_of(suite, stream).keys[0].key_salt, outbound=True)
            sealed = [context.seal_rtp(packet.tobytes()) for packet in packets]
            size = len(sealed[0]) if sealed else SIZE
            file.write(b"".join(sealed))
    return size


def _plain(stream: int, sequence: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """As `compose` of generator.c."""
    with np.errstate(over="ignore"):
        mixed = np.uint32(stream) * np.uint32(2654435761) ^ (sequence + np.uint32(0x9E3779B9)) * np.uint32(2246822519)
        mixed ^= mixed >> 15
        mixed *= np.uint32(2246822519)
        mixed ^= mixed >> 13
        words = np.empty((len(sequence), 3 + PAYLOAD_WORDS), np.uint32)
        words[:, 0] = np.uint32(0x80) | (sequence >> 8 & 0xFF) << 16 | (sequence & 0xFF) << 24
        words[:, 1] = (sequence * np.uint32(4 * PAYLOAD_WORDS)).byteswap()
        words[:, 2] = np.uint32(0x10000000 + stream).byteswap()
        words[:, 3], words[:, 4], words[:, 5] = stream // 2, stream, sequence
        words[:, 6:] = mixed[:, None] + np.arange(3, PAYLOAD_WORDS, dtype=np.uint32)
    return words.view(np.uint8)
