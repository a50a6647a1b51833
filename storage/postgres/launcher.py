"""Run a PostgreSQL program as an unprivileged account, tied to the life of its parent; a script of its own.

    python -I -S launcher.py PARENT_PID UID GID CAPABILITIES PROGRAM ARGUMENT...

PostgreSQL refuses to run as root. With UID 0 or more the process becomes that account first ("-" keeps the caller's);
CAPABILITIES is a comma-separated list of Linux capability numbers that it keeps *only* to pass directories which the
account could not enter (the state directory below /root, say), so that no directory of others has to be opened up.
In any case the kernel sends SIGINT, PostgreSQL's fast shutdown, when the parent dies. It imports nothing of this
project: it runs without site-packages so that it costs some 15 ms.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final, NoReturn

PR_SET_PDEATHSIG: Final = 1
PR_SET_SECUREBITS: Final = 28
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2

# Keeps capabilities across setuid(), and lets access() of a non-root user count them, which initdb relies on.
SECBIT_NO_SETUID_FIXUP: Final = 1 << 2

CAPABILITY_VERSION_3: Final = 0x20080522
CANNOT_LAUNCH: Final = 126
"""Exit status, as a shell uses it for "found but cannot be run"."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _become(libc: ctypes.CDLL, uid: int, gid: int, capabilities: list[int]) -> None:
    if capabilities:
        _check(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "prctl(PR_SET_SECUREBITS)")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capabilities:
        kept = sum(1 << number for number in capabilities)
        sets = (_Sets * 2)(_Sets(kept, kept, kept), _Sets(0, 0, 0))
        _check(libc.capset(ctypes.byref(_Header(CAPABILITY_VERSION_3, 0)), sets), "capset")
        for number in capabilities:
            _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0), "prctl(PR_CAP_AMBIENT_RAISE)")


def main(arguments: list[str]) -> NoReturn:
    """Change identity, bind the process to its parent, and become the program."""
    parent, uid, gid, numbers, *program = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if uid != "-":
            _become(libc, int(uid), int(gid), [int(number) for number in numbers.split(",") if number])
        # After the change of identity: the kernel forgets the signal when credentials change.
        _check(libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != int(parent):
            sys.exit(CANNOT_LAUNCH)  # the parent died before the line above took effect
        os.umask(0o077)
        os.execv(program[0], program)  # noqa: S606  - the point of this script; no shell wanted
    except OSError as error:
        sys.stderr.write(f"cannot run {program[0]} as uid {uid}: {error}\n")
        sys.exit(CANNOT_LAUNCH)


if __name__ == "__main__":
    main(sys.argv[1:])
