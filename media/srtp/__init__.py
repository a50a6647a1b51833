"""SRTP (RFC 3711) by libsrtp, as the wheel of pylibsrtp brings it: crypto-suites, and contexts of one master key each.

Imports nothing of the package but its errors. Knows packets as bytes or addresses; no socket, no stream, no SDP.
"""

from media.srtp.context import (
    REPLAYED,
    Context,
    Failure,
    open_rtp_at,
)
from media.srtp.suites import SUITES, Suite

__all__ = ["REPLAYED", "SUITES", "Context", "Failure", "Suite", "open_rtp_at"]
