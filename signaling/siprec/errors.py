"""What can be wrong with a body or with recording metadata: the remote leaves of this package.

    signaling.errors.RemoteProtocolError
     +-- BodyError        a body cannot be taken apart (RFC 2046 §5.1, RFC 5621 §4)
     +-- MetadataError    a metadata document as a whole is unreadable (RFC 7865 §5)

A `MetadataError` flags the recording and is never a reason to refuse the call; smaller faults are not even errors,
they travel with the result (`model.Doubt`).
"""

from __future__ import annotations

from typing import Final

from signaling.errors import RemoteProtocolError

UNSUPPORTED_MEDIA_TYPE: Final = 415


class BodyError(RemoteProtocolError):
    """A message body cannot be taken apart.

    Args:
        reason: constant text.
        offset: bytes from the start of the body.

    """

    def __init__(self, reason: str, *, offset: int = 0) -> None:
        super().__init__(UNSUPPORTED_MEDIA_TYPE, "", offset, reason)


class MetadataError(RemoteProtocolError):
    """A metadata document cannot be read at all; the recording goes on without it.

    Args:
        reason: constant text; holds nothing of the document.
        line: line of the document from 1, 0 when unknown.

    """

    def __init__(self, reason: str, *, line: int = 0) -> None:
        super().__init__(UNSUPPORTED_MEDIA_TYPE, "", 0, reason)
        self.line = line
