"""Where a recording's files go: pure, with safe characters only, and no collision whatever the identifiers say.

The date and the readable part are for people; the recording's id and the digest of the content make the name unique,
so that a file is never replaced: another content gets another name.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final
from uuid import UUID

READABLE_LIMIT: Final = 80
"""Characters of the identifier that go into the name; a name may have 255 bytes, and ours needs 60 more."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_SUFFIX: Final = re.compile(r"\.[a-z0-9]{1,8}")


def directory_of(started_at: datetime) -> PurePosixPath:
    """Return the folder of the day (UTC) on which a recording began: `2026/11/22`."""
    at = started_at.astimezone(UTC)
    return PurePosixPath(f"{at.year:04d}", f"{at.month:02d}", f"{at.day:02d}")


def file_name(record_identifier: str, recording_id: UUID, digest: bytes, suffix: str) -> str:
    """Return `<identifier, made safe>_<recording id>_<digest><suffix>`.

    Args:
        record_identifier: any text, hostile or not; what is not a letter, digit, `.`, `_` or `-` becomes `_`.
        recording_id: makes names of different recordings differ.
        digest: SHA-256 of the content; makes names of different contents differ (48 bits of it are shown).
        suffix: such as `.wav`.

    """
    if not _SUFFIX.fullmatch(suffix):
        raise ValueError(f"suffix {suffix!r} is not a dot and up to eight small letters or digits")
    readable = _UNSAFE.sub("_", record_identifier)[:READABLE_LIMIT].lstrip(".-") or "recording"
    return f"{readable}_{recording_id.hex}_{digest[:6].hex()}{suffix}"
