"""The state directory: what lives where, and how commands find the recorder that uses it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from recorder.errors import NotRunningError, SetupError
from recorder.settings import Settings
from storage.files.object_store import S3Options


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of the running recorder that its commands need."""

    dsn: str
    recordings_root: str
    retention: dict[str, Any] = {}
    """The `[retention]` table that it runs with."""
    node: str = ""
    directories: dict[str, str] = {}
    """Of finished files, by the names of their stores; the first is `recordings_root`."""
    object_store: S3Options | None = None
    """With its secret: the run file is readable by its owner only."""


@dataclass(frozen=True, slots=True)
class StateDir:
    """Names inside one state directory."""

    root: Path

    @property
    def run(self) -> Path:
        """Sockets and the run file of the running recorder; meaningless after it has stopped."""
        return self.root / "run"

    @property
    def control_socket(self) -> Path:
        """Unix stream socket of the supervisor."""
        return self.run / "control.sock"

    @property
    def lock_file(self) -> Path:
        """Locked by the supervisor for its lifetime, so that two never share a state directory."""
        return self.run / "lock"

    @property
    def running_file(self) -> Path:
        """What commands need to know of the running recorder; holds the DSN, readable by the owner only."""
        return self.run / "running.json"

    def write_running(self, running: Running) -> None:
        """Tell commands where the running recorder keeps things."""
        self.running_file.touch(mode=0o600)
        self.running_file.chmod(0o600)
        self.running_file.write_bytes(msgspec.json.encode(running))

    def read_running(self) -> Running | None:
        """Return what the running recorder told; None when none runs here.

        Errors: `NotRunningError` when the directory is another user's.
        """
        try:
            return msgspec.json.decode(self.running_file.read_bytes(), type=Running)
        except PermissionError as error:
            raise NotRunningError(
                f"{self.running_file}: {error.strerror}: only the recorder's own user and root may administer it"
            ) from None
        except (OSError, msgspec.MsgspecError):
            return None

    @property
    def postgres(self) -> Path:
        """Data directory of the embedded PostgreSQL server."""
        return self.root / "postgres"

    @property
    def captures(self) -> Path:
        """What writers append to (docs/storage-format.md)."""
        return self.root / "captures"

    @property
    def fetched(self) -> Path:
        """Captures of other hosts while a curator reads them; what is found there at a start is rubbish."""
        return self.root / "fetched"

    @property
    def recordings(self) -> Path:
        """Finished recordings, unless `recordings.root` says otherwise."""
        return self.root / "recordings"

    @property
    def journal(self) -> Path:
        """Checkpoints that the catalog has not taken yet; outlives the processes."""
        return self.root / "journal"

    @property
    def state_socket(self) -> Path:
        """Unix stream socket on which the active frontend tells standbys of its dialogs."""
        return self.run / "state.sock"

    def writer_socket(self, writer: str) -> Path:
        """Return the Unix stream socket on which this writer takes commands."""
        return self.run / f"{writer}.sock"

    def create(self) -> None:
        """Make the directories, closed to other users except for what they are told.

        Raises:
            SetupError: the directory cannot be made or written.

        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for directory in (self.run, self.captures):
                directory.mkdir(mode=0o700, exist_ok=True)
            probe = self.run / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise SetupError(
                f"state directory {self.root}: {error.strerror}; make it writable for this user"
                " or choose another with --state-dir"
            ) from None


def key_file(settings: Settings) -> Path:
    """Return the file of the keys that seal checkpoints."""
    return settings.checkpoints.key_file or StateDir(settings.state_dir).root / "site.key"


def recordings_root(settings: Settings) -> Path:
    """Return the directory of the finished recordings."""
    return settings.recordings.root or StateDir(settings.state_dir).recordings
