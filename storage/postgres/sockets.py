"""Where the server's Unix socket lives: beside the state if the path fits, else in a private directory below /tmp.

A Unix socket address holds 107 bytes (unix(7)); a state directory may be deeper than that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Final

from storage.postgres.account import Account

SOCKET_NAME: Final = ".s.PGSQL.5432"
ADDRESS_LIMIT: Final = 107
"""Bytes of a path that sun_path can hold, without the terminating zero."""

SHORT_BASE: Final = Path("/tmp")  # noqa: S108  - made by mkdtemp: unpredictable, and private to us


def make_socket_directory(run_dir: Path, data_dir: Path, account: Account) -> Path:
    """Create the directory of the socket, owned by `account`, that only it and the caller's group may enter.

    A directory that an earlier server of the same cluster left behind is reclaimed. Obligation: hand the result to
    `remove_socket_directory` after the server has stopped.
    """
    discard_stale(data_dir, account)
    directory = run_dir / "postgresql"
    # A comma would separate two hosts in a DSN, however it is quoted.
    if len(os.fsencode(directory / SOCKET_NAME)) <= ADDRESS_LIMIT and "," not in str(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    else:
        directory = Path(tempfile.mkdtemp(prefix=_prefix(data_dir), dir=SHORT_BASE))
    if account.switch:
        # Root without CAP_DAC_OVERRIDE (a hardened container) still gets in through its group.
        os.chown(directory, account.uid, os.getegid())
        directory.chmod(0o710)
    return directory


def remove_socket_directory(directory: Path) -> None:
    """Remove the directory and what a killed server left in it."""
    shutil.rmtree(directory, ignore_errors=True)


def discard_stale(data_dir: Path, account: Account) -> None:
    """Remove short directories that an earlier server of this cluster left below /tmp, if they are ours."""
    for candidate in SHORT_BASE.glob(f"{_prefix(data_dir)}*"):
        status = candidate.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid in (account.uid, os.geteuid()):
            remove_socket_directory(candidate)


def _prefix(data_dir: Path) -> str:
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
    return f"tandem-pg-{digest}-"
