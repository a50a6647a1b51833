"""Opus over RTP, RFC 7587, decoded by the libopus inside libsndfile; RFC 6716 §3.1 tells how long a packet is.

libsndfile reads files, not packets, so packets are put into an Ogg stream in memory (RFC 7845). A stretch begins with
the last packets of the one before, whose output is thrown away, so that the decoder has converged (RFC 7845 §4.6).
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from media.container import Codec
from media.pipeline.codec.base import Payloads, Samples
from media.pipeline.output.ogg import MAX_SEGMENTS, page, segments

CLOCK_RATE: Final = 48_000
"""Hz of the RTP timestamps, whatever the audio is (RFC 7587 §4.1)."""
LONGEST: Final = 5760
"""Units of 120 ms, the longest packet (RFC 6716 §3.2.5)."""
_RATES: Final = (8000, 12_000, 16_000, 24_000, 48_000)
_PREROLL: Final = CLOCK_RATE
"""Units of a second. RFC 7845 asks for 80 ms; with steady tones the difference was still -11 dB then, and -32 dB, where
it stays, after half a second."""

# RFC 6716 table 2: units of 1/48000 s for each of the 32 configurations.
_FRAME_UNITS: Final = np.array(
    [*([480, 960, 1920, 2880] * 3), *([480, 960] * 2), *([120, 240, 480, 960] * 4)], dtype=np.int64
)


@dataclass(frozen=True, slots=True)
class Opus:
    """Opus decoded to mono at the rate that the sender named, or 48 kHz."""

    sample_rate: int

    def durations(self, payloads: Payloads) -> NDArray[np.int64]:
        """Return the length that the first octets tell; 0 for what is no Opus packet."""
        return _durations(payloads.lengths, payloads.octet(0), payloads.octet(1))

    def decoder(self) -> OpusDecoder:
        """Return a decoder."""
        return OpusDecoder(self.sample_rate)


def opus_format(codec: Codec) -> Opus | None:
    """Return the format of an Opus codec; `sprop-maxcapturerate` says that nothing lies above (RFC 7587 §6.1)."""
    told = re.search(r"sprop-maxcapturerate\s*=\s*(\d+)", codec.fmtp)
    highest = int(told[1]) if told else CLOCK_RATE
    rate = next((rate for rate in _RATES if rate >= highest), CLOCK_RATE)
    return Opus(rate) if codec.clock_rate == CLOCK_RATE else None


class OpusDecoder:
    """Decodes stretches of packets.

    Args:
        sample_rate: Hz; one that Opus knows.

    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._before: list[bytes] = []

    def decode(self, payloads: Sequence[bytes]) -> list[Samples | None]:
        """Return the audio of each payload; None for one that is not Opus."""
        units = _units(payloads)
        valid = [payload for payload, length in zip(payloads, units, strict=True) if length]
        decoded = iter(self._stretch(valid))
        return [next(decoded) if length else None for length in units]

    def _stretch(self, payloads: list[bytes]) -> list[Samples | None]:
        """Decode valid packets; where libopus refuses the stretch, look for the packet that it refuses."""
        if not payloads:
            return []
        whole = self._before + payloads
        lengths = [length * self._rate // CLOCK_RATE for length in _units(whole)]
        audio = _decoded(whole, self._rate)
        if audio is None or len(audio) != sum(lengths):
            if len(payloads) == 1:
                self._before = []
                return [None]
            half = len(payloads) // 2
            return self._stretch(payloads[:half]) + self._stretch(payloads[half:])
        self._before = _tail(whole)
        parts: list[Samples | None] = list(np.split(audio, np.cumsum(lengths)[:-1]))
        return parts[len(whole) - len(payloads) :]


def _tail(payloads: list[bytes]) -> list[bytes]:
    """Return the last packets that together last as long as the decoder needs to converge."""
    total = 0
    for count, length in enumerate(reversed(_units(payloads)), 1):
        total += length
        if total >= _PREROLL:
            return payloads[-count:]
    return payloads


def _units(payloads: Sequence[bytes]) -> list[int]:
    lengths = np.array([len(payload) for payload in payloads], np.int64)
    heads = np.array([(*payload[:2], 0, 0)[:2] for payload in payloads], np.int64).reshape(-1, 2)
    return [int(length) for length in _durations(lengths, heads[:, 0], heads[:, 1])]


def _durations(lengths: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return RTP timestamp units: the configuration's frame length times the number of frames."""
    code = first & 0x03
    frames = np.where(code == 0, 1, np.where(code < 3, 2, second & 0x3F))
    units = _FRAME_UNITS[first >> 3] * frames
    # RFC 6716 §3.4: at least one octet, code 3 at least two, 120 ms at most; equal frames share the octets evenly.
    valid = (lengths > 0) & ((code < 3) | (lengths > 1)) & (units <= LONGEST) & ((code != 1) | (lengths % 2 == 1))
    return np.where(valid, units, 0)


def _decoded(payloads: Sequence[bytes], sample_rate: int) -> Samples | None:
    try:
        samples, _ = soundfile.read(io.BytesIO(_ogg(payloads, sample_rate)), dtype="int16")
    except (soundfile.LibsndfileError, RuntimeError):
        return None
    found: Samples = samples
    return found


def _ogg(payloads: Sequence[bytes], sample_rate: int) -> bytes:
    """Return an Ogg Opus stream of one channel, RFC 7845 §5."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, sample_rate, 0, 0)
    tags = b"OpusTags" + struct.pack("<II", 0, 0)
    pages = [page([head], 0, 0, 2, 0), page([tags], 0, 1, 0, 0)]
    taken: list[bytes] = []
    room, granule = MAX_SEGMENTS, 0
    for payload, units in zip(payloads, _units(payloads), strict=True):
        if room < segments(payload):
            pages.append(page(taken, granule, len(pages), 0, 0))
            taken, room = [], MAX_SEGMENTS
        taken.append(payload)
        room -= segments(payload)
        granule += units
    pages.append(page(taken, granule, len(pages), 4, 0))
    return b"".join(pages)
