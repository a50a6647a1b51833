"""Exit codes of `recorder-admin` and `python -m storage.verify`: the one table for scripts (docs/admin-cli.md)."""

from __future__ import annotations

import enum

from storage.errors import (
    AlreadyPublished,
    CatalogUnreachable,
    InputMissing,
    IntegrityBroken,
    RecordingErased,
    SchemaMismatch,
    StorageError,
    StorageMisused,
    StoreForbidden,
    StoreFull,
    StoreUnreachable,
    UnderLegalHold,
    WrongKey,
)


class ExitCode(enum.IntEnum):
    """What a command's exit status means."""

    OK = 0
    UNEXPECTED = 1
    """A defect, or an error without a code of its own: the message says more."""
    USAGE = 2
    """The command line is wrong: an unknown option, an unreadable time, an ambiguous id, a file of another kind."""
    NOT_FOUND = 3
    """No such recording or job, or it has no audio at all; a file or folder that was named cannot be opened."""
    NOT_READY = 4
    """It exists but is not finished; the message says in which state it is."""
    INTEGRITY = 5
    """A file is missing, or is not what the catalog says."""
    UNREACHABLE = 6
    """No running recorder, or its catalog or object store does not answer."""
    REFUSED = 7
    """Refused: the target exists, is not writable or full, or the option is not offered."""


_CODES: dict[type[StorageError], ExitCode] = {
    IntegrityBroken: ExitCode.INTEGRITY,
    CatalogUnreachable: ExitCode.UNREACHABLE,
    SchemaMismatch: ExitCode.UNREACHABLE,
    StoreUnreachable: ExitCode.UNREACHABLE,
    AlreadyPublished: ExitCode.REFUSED,
    StoreForbidden: ExitCode.REFUSED,
    StoreFull: ExitCode.REFUSED,
    WrongKey: ExitCode.REFUSED,
    UnderLegalHold: ExitCode.REFUSED,
    RecordingErased: ExitCode.REFUSED,
    InputMissing: ExitCode.NOT_FOUND,
    StorageMisused: ExitCode.USAGE,
}


def exit_code_of(error: BaseException) -> ExitCode | int:
    """Return the code of an error: its own `exit_code` attribute, else by its class."""
    own = getattr(error, "exit_code", None)
    if isinstance(own, int):
        return own
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    return ExitCode.UNEXPECTED
