"""What can be wrong with a session description: the remote leaf of this package (RFC 8866, RFC 3264 §6).

    signaling.errors.RemoteProtocolError
     +-- SdpSyntaxError    the body cannot be read as a session description

Local misuse (a port missing for an accepted stream) raises `signaling.errors.LocalProtocolError`.
"""

from __future__ import annotations

from typing import Final

from signaling.errors import RemoteProtocolError

NOT_ACCEPTABLE_HERE: Final = 488
"""A body that cannot be read gets 488, never 400: a 400 to a re-INVITE crashed one client."""


class SdpSyntaxError(RemoteProtocolError):
    """A session description, or one attribute of it, cannot be used.

    Args:
        reason: constant text; never holds anything the peer sent, because a line may hold a key.
        offset: bytes from the start of the body, or characters from the start of the attribute value.
        line: line number from 1; 0 when the fault is not in one line.

    """

    def __init__(self, reason: str, *, offset: int = 0, line: int = 0) -> None:
        super().__init__(NOT_ACCEPTABLE_HERE, "", offset, reason)
        self.line = line
