"""Errors of the media package; everything it raises on purpose is a `MediaError`.

Four branches: `LocalError` (we called it wrongly), `RemoteError` (bytes from outside are not what they claim to be),
`ResourceError` (full, refused, too low a limit), `LostError` (a file system or connection we depend on is gone).
"""

from __future__ import annotations


class MediaError(Exception):
    """Root of the errors of this package."""


class LocalError(MediaError):
    """We misused an interface; a defect in the recorder."""


class RemoteError(MediaError):
    """Bytes from outside (a peer, a file) break their format."""


class ResourceError(MediaError):
    """A limit was reached; the same request may succeed later or with a higher limit."""


class LostError(MediaError):
    """Something that was working is gone and is not to be used again."""


class CaptureUnreadable(RemoteError):
    """The file is not a capture, or has no whole SESSION block.

    Args:
        path: the file.
        reason: what is wrong with it.

    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: not a readable capture: {reason}")
        self.path = path
        self.reason = reason


class CaptureLost(LostError):
    """A capture could not be written or synced. The file, and the disk, are not to be trusted by this process again.

    Args:
        path: the file.
        error: what the system said, or that it took only a part.

    """

    def __init__(self, path: str, error: OSError | str) -> None:
        reason = error if isinstance(error, str) else error.strerror or str(error)
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.errno = None if isinstance(error, str) else error.errno
