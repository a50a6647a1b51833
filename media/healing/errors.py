"""Errors of healing; all of them are `media.errors.MediaError`s."""

from __future__ import annotations

from media.errors import RemoteError


class SoundUnreadable(RemoteError):
    """A finished file is not a WAV file that can be compared sample by sample.

    Args:
        path: the file.
        reason: what is wrong with it.

    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
