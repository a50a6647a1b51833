"""Uncompressed linear audio L16, RFC 3551 §4.5.11; channels are averaged to one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.container import Codec
from media.pipeline.codec.base import Payloads, Samples


@dataclass(frozen=True, slots=True)
class Linear16:
    """16-bit samples in network byte order, channels interleaved."""

    sample_rate: int
    channels: int

    @property
    def law(self) -> None:
        """Linear samples have no law."""

    def durations(self, payloads: Payloads) -> NDArray[np.int64]:
        """Return the whole sample instants in each payload."""
        return payloads.lengths // (2 * self.channels)

    def samples(self, payloads: NDArray[np.uint8]) -> Samples:
        """Swap bytes and average the channels; octets behind the last whole instant are left out."""
        instants = payloads.shape[1] // (2 * self.channels)
        octets = np.ascontiguousarray(payloads[:, : instants * 2 * self.channels])
        wide = octets.view(">i2").reshape(len(payloads), instants, self.channels)
        if self.channels == 1:
            return wide[:, :, 0].astype(np.int16)
        # Rounded down, as an integer mixer does; the same on every machine.
        averaged: Samples = (wide.sum(axis=2, dtype=np.int32) // self.channels).astype(np.int16)
        return averaged


def linear16_format(codec: Codec) -> Linear16 | None:
    """Return the format of an L16 codec."""
    return Linear16(codec.clock_rate, codec.channels) if 1 <= codec.channels <= 8 else None
