"""Under which account PostgreSQL runs, and which capability it needs to reach its files.

Pure decisions over what `os` reports; nothing is changed here, least of all the permissions of directories that are
not ours.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.errors import EmbeddedPostgresFailed

CAP_DAC_OVERRIDE: Final = 1
CAP_DAC_READ_SEARCH: Final = 2

ACCOUNTS: Final = ("postgres", "nobody")
"""Unprivileged accounts to run as when the recorder is root; the first that exists."""


@dataclass(frozen=True, slots=True)
class Account:
    """The identity of the PostgreSQL processes."""

    uid: int
    gid: int
    switch: bool
    """True when the caller is root and has to become this account."""


def choose_account(data_dir: Path) -> Account:
    """Return the owner of an existing cluster, else the caller, else (as root) an unprivileged account."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    try:
        owner = data_dir.stat()
    except FileNotFoundError:
        owner = None
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, switch=True)
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, switch=True)
    raise EmbeddedPostgresFailed(
        f"PostgreSQL does not run as root and none of the accounts {', '.join(ACCOUNTS)} exists: "
        "start the recorder as an ordinary user, or set database.dsn"
    )


def capabilities_needed(account: Account, directories: Iterable[Path], executable: Path) -> list[int]:
    """Return the capabilities that `account` needs to enter `directories` and to run `executable`.

    Mode bits decide; an access control list can make the answer too large by one capability, never too small for
    what mode bits forbid.
    """
    if not account.switch:
        return []
    entered = {parent for directory in (*directories, executable.parent) for parent in (directory, *directory.parents)}
    executable_ok = _permits(executable, account, 0o1)
    if executable_ok and all(_permits(directory, account, 0o1) for directory in entered if directory.exists()):
        return []
    # Search permission is all it takes, except for binaries installed under a strict umask: executing a file whose
    # mode forbids it needs the wider capability. Containers often have only that one.
    for number in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if executable_ok else (CAP_DAC_OVERRIDE,):
        if _bounding_set() >> number & 1:
            return [number]
    raise EmbeddedPostgresFailed(
        f"uid {account.uid} cannot reach {executable} or the data directory, and root has neither CAP_DAC_READ_SEARCH "
        "nor CAP_DAC_OVERRIDE here: use a state directory below /var/lib, run as an ordinary user, or set database.dsn"
    )


def _permits(path: Path, account: Account, bit: int) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode >> 6 & bit)
    if status.st_gid == account.gid:
        return bool(status.st_mode >> 3 & bit)
    return bool(status.st_mode & bit)


def _bounding_set() -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "CapBnd":
            return int(value, 16)
    return 0
