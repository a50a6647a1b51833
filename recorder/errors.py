"""What can go wrong in the composition root; each error carries the exit code of the command that meets it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class RecorderError(Exception):
    """Root of this package's errors. The text says what happened and what to do."""

    exit_code: ClassVar[int] = 1


class ConfigError(RecorderError):
    """Local: the settings are wrong."""

    exit_code = 2

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


class SettingsMissingError(ConfigError):
    """Local: the file of the settings cannot be opened."""

    exit_code = 3


class SetupError(RecorderError):
    """Resource: the machine does not give what the settings ask for (a port, a directory, descriptors)."""

    exit_code = 4


class NotRunningError(RecorderError):
    """Lost: no recorder answers at this state directory."""

    exit_code = 6


class ChannelLostError(RecorderError):
    """Lost: the other process of a control connection is gone."""


class ForkServerLostError(RecorderError):
    """Lost: the fork server is dead, or does not answer."""


class LeaseExpiredError(RecorderError):
    """Lost: nobody has confirmed in time that this host is still the active one."""


class WriterRefusedError(RecorderError):
    """Remote: a writer did not do as it was told."""

    def __init__(self, writer: str, reason: str, detail: str) -> None:
        self.writer, self.reason, self.detail = writer, reason, detail
        super().__init__(f"writer {writer} refused: {reason}: {detail}")


class NoWriterError(RecorderError):
    """Resource: no writer of the pool can take this session."""
