"""Errors of finalising; all of them are `media.errors.MediaError`s."""

from __future__ import annotations

from media.errors import LocalError, ResourceError


class UnsupportedOutput(LocalError):
    """The options ask for something that the output format cannot hold."""


class OutputFailed(ResourceError):
    """The target could not be written; what is there of it is of no use.

    Args:
        path: the target.
        reason: what the operating system or the encoder said.

    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: not written: {reason}")
        self.path = path
        self.reason = reason


class TimelineTooLong(ResourceError):
    """The captures of one recording lie further apart than any recording can last."""
