"""What finalising must know of a payload format, and the ports that decoders implement. Decodes nothing itself."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from media.container import Codec

Samples = NDArray[np.int16]
"""Linear 16-bit audio."""


class Law(enum.StrEnum):
    """Companding laws of G.711."""

    MULAW = "PCMU"
    ALAW = "PCMA"


@dataclass(frozen=True, slots=True, eq=False)
class Payloads:
    """Payloads of a batch of packets, where they lie; arrays of shape (n,)."""

    octets: NDArray[np.uint8]
    """The bytes that hold them."""
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def octet(self, position: int) -> NDArray[np.int64]:
        """Return one octet of each payload; 0 where it is shorter."""
        there = self.lengths > position
        found = self.octets[np.where(there, self.starts + position, 0)] if there.any() else 0
        return np.where(there, found, 0).astype(np.int64)


class PayloadFormat(Protocol):
    """What one negotiated payload type carries."""

    @property
    def sample_rate(self) -> int:
        """Hz of the decoded audio; it divides the RTP clock rate or is a multiple of it."""

    def durations(self, payloads: Payloads) -> NDArray[np.int64]:
        """Return the RTP timestamp units that each payload covers; shape (n,). 0 for one that holds no whole frame."""


@runtime_checkable
class SampleFormat(PayloadFormat, Protocol):
    """A format in which every sample stands for itself: whole batches are decoded at once."""

    @property
    def law(self) -> Law | None:
        """The companding law if a payload octet is a sample of it, so that it can be copied unchanged."""

    def samples(self, payloads: NDArray[np.uint8]) -> Samples:
        """Decode payloads of equal length, shape (n, octets), to mono, shape (n, samples)."""


class FrameDecoder(Protocol):
    """Decodes the packets of one run, in order; keeps state from one call to the next."""

    def decode(self, payloads: Sequence[bytes]) -> list[Samples | None]:
        """Return the mono audio of each payload, shape (samples,); None for one that is not of the format."""


@runtime_checkable
class FrameFormat(PayloadFormat, Protocol):
    """A format whose frames lean on those before them."""

    def decoder(self) -> FrameDecoder:
        """Return a decoder at its initial state."""


FormatFactory = Callable[[Codec], PayloadFormat | None]
"""Returns the format of a negotiated codec, or None if its parameters are not supported."""


class CodecRegistry:
    """Payload formats by encoding name.

    Add a codec with `register`; captures hold whole payloads, so audio recorded before its decoder existed is decoded
    by rendering it again.
    """

    def __init__(self) -> None:
        self._factories: dict[str, FormatFactory] = {}

    def register(self, name: str, factory: FormatFactory) -> None:
        """Make `factory` the one for encoding `name` (RFC 3551 §3; case does not count)."""
        self._factories[name.upper()] = factory

    def find(self, codec: Codec) -> PayloadFormat | None:
        """Return the format of `codec`, or None if nothing here decodes it."""
        factory = self._factories.get(codec.name.upper())
        return factory(codec) if factory is not None and codec.clock_rate > 0 else None
