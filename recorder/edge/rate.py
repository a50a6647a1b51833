"""Token buckets by source: how much a stranger may ask before it gets 503, and before it gets nothing. Pure."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

MAX_SOURCES: Final = 8192
"""Buckets kept; the one used longest ago goes first. A flood from more addresses than this meets the total limit."""


class Verdict(enum.Enum):
    """What to do with a request."""

    PASS = enum.auto()
    REFUSE = enum.auto()
    """Answer 503 with Retry-After."""
    IGNORE = enum.auto()
    """Say nothing: an answer would cost more than it tells anybody."""


@dataclass(slots=True)
class _Bucket:
    """What one source may still do, and when that was counted."""

    tokens: float
    """Requests that may pass."""
    patience: float
    """Requests that may be refused in words."""
    counted: float
    """Monotonic seconds."""
    muted: bool = False


class RateLimit:
    """One limit for each source.

    Whoever sends up to twice the rate gets the rate served and the rest refused. Whoever keeps sending more is
    ignored altogether, until the sending falls below the rate again: a flood costs nothing but this count.

    Args:
        rate: requests per second; 0 is no limit.
        burst: requests at once after a pause, and as many refusals.

    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Return how many sources are remembered."""
        return len(self._buckets)

    def take(self, source: str, now: float) -> Verdict:
        """Count a request of `source` at `now`, monotonic seconds."""
        if not self._rate:
            return Verdict.PASS
        bucket = self._bucket(source, now)
        if bucket.muted and bucket.patience < self._burst / 2:
            bucket.patience = max(bucket.patience - 1, 0.0)
            return Verdict.IGNORE
        bucket.muted = False
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return Verdict.PASS
        if bucket.patience >= 1:
            bucket.patience -= 1
            return Verdict.REFUSE
        bucket.muted = True
        return Verdict.IGNORE

    def retry_after_s(self, source: str) -> int:
        """Return the whole seconds after which a refused `source` may ask again, at least 1."""
        bucket = self._buckets.get(source)
        missing = 1 - bucket.tokens if bucket else 0.0
        return max(1, math.ceil(missing / self._rate)) if self._rate else 1

    def _bucket(self, source: str, now: float) -> _Bucket:
        """Return the bucket of `source`, filled up to now and moved to the end."""
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = _Bucket(self._burst, self._burst, now)
            if len(self._buckets) > MAX_SOURCES:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(source)
        regained = (now - bucket.counted) * self._rate
        bucket.tokens = min(self._burst, bucket.tokens + regained)
        bucket.patience = min(self._burst, bucket.patience + regained)
        bucket.counted = now
        return bucket
