"""One sample rate turned into another, in integers: the same result on every machine.

A windowed-sinc polyphase filter with 14-bit coefficients. It has no state: the caller gives enough samples on both
sides of what is wanted, so parts of a recording join without a seam. Used only where the codecs differ in rate.
"""

from __future__ import annotations

import functools
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.pipeline.codec import Samples

_LOBES: Final = 16
"""Zero crossings of the sinc on either side; with the window below, images and aliases lie 70 dB down."""
_SHAPE: Final = 7.5
"""Of the Kaiser window."""
_BITS: Final = 14
"""Of the coefficients: the sum of their magnitudes times a 16-bit sample stays inside 32 bits."""
_PASSBAND: Final = 0.92
"""Cut-off, as a part of the lower Nyquist frequency: room for the transition."""


def reach(source_rate: int, target_rate: int) -> int:
    """Return how many source samples on either side of an instant its value depends on."""
    return math.ceil(_LOBES * max(1.0, source_rate / target_rate)) + 1


def resample(samples: Samples, source_rate: int, target_rate: int) -> Samples:
    """Return samples at the target rate for the middle of `samples`.

    Args:
        samples: `reach(...)` samples of context, then those whose time is wanted (a whole number of seconds, or the
            last part), then `reach(...)` of context.
        source_rate: Hz.
        target_rate: Hz.

    """
    divisor = math.gcd(source_rate, target_rate)
    up, down = target_rate // divisor, source_rate // divisor
    side = reach(source_rate, target_rate)
    count = (len(samples) - 2 * side) * up // down
    filters = _filters(source_rate, target_rate)
    wide = samples.astype(np.int32)
    result = np.empty(count, np.int16)
    for phase in range(min(up, count)):
        wanted = len(result[phase::up])
        first = phase * down // up
        total = np.full(wanted, 1 << _BITS - 1, np.int32)
        for tap, coefficient in enumerate(filters[phase * down % up].tolist()):
            if coefficient:
                start = first + tap
                total += wide[start : start + (wanted - 1) * down + 1 : down] * np.int32(coefficient)
        result[phase::up] = np.clip(total >> _BITS, -32768, 32767)
    return result


@functools.lru_cache(maxsize=16)
def _filters(source_rate: int, target_rate: int) -> NDArray[np.int32]:
    """Return the coefficients for each sub-sample position, shape (positions, taps), each row with the sum 1."""
    divisor = math.gcd(source_rate, target_rate)
    up = target_rate // divisor
    side = reach(source_rate, target_rate)
    cutoff = _PASSBAND * min(1.0, target_rate / source_rate)
    distance = np.arange(-side, side + 1)[None, :] - (np.arange(up) / up)[:, None]
    inside = np.clip(1.0 - (distance / side) ** 2, 0.0, None)
    taps = np.sinc(cutoff * distance) * np.i0(_SHAPE * np.sqrt(inside)) * (inside > 0)
    taps /= taps.sum(axis=1, keepdims=True)
    fixed = np.rint(taps * (1 << _BITS)).astype(np.int32)
    # What rounding took goes to the middle: a constant stays the same constant.
    fixed[:, side] += (1 << _BITS) - fixed.sum(axis=1)
    return fixed
