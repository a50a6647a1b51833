"""Where a recording's files go: pure, with safe characters only, and no collision whatever template and values say.

The template is for people. The recording's id and the digest of the content, which every name ends with, make it
unique, so that a file is never replaced: another content gets another name.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final
from uuid import UUID

READABLE_LIMIT: Final = 80
"""Characters of a folder, and of the readable part of a name; a name may have 255 bytes, and ours needs 70 more."""

DEFAULT_TEMPLATE: Final = "{year}/{month}/{day}/{identifier}"

FACTS: Final = (
    "identifier",
    "door",
    "call_uuid",
    "conn_id",
    "ani",
    "dnis",
    "dn",
    "other_dn",
    "record_dn",
    "agent_id",
    "sips_app_name",
    "tenant",
)
"""What a template may name besides the time (UTC): year, month, day, hour."""

_TIMES: Final = ("year", "month", "day", "hour")
_FOLDERS_LIMIT: Final = 12
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_SUFFIX: Final = re.compile(r"(\.[a-z0-9]{1,8}){1,2}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recording's files go."""

    directory: PurePosixPath
    readable: str
    """The part of the name that is for people."""


class Layout:
    """A template such as `{year}/{month}/{day}/{identifier}`: folders, and the readable part of the name.

    `ValueError` for a template that cannot be used; the message says why.
    """

    def __init__(self, template: str = DEFAULT_TEMPLATE) -> None:
        known = (*_TIMES, *FACTS)
        try:
            parts = list(string.Formatter().parse(template))
        except ValueError as error:
            raise ValueError(f"{error}; write braces only around names") from None
        for _, name, form, conversion in parts:
            if name is not None and (name not in known or form or conversion):
                raise ValueError(f"{{{name}}} is not known; use {', '.join(known)}")
        self._components = template.strip("/").split("/")
        if len(self._components) > _FOLDERS_LIMIT or not all(self._components):
            raise ValueError(f"it needs 1 to {_FOLDERS_LIMIT} parts between single slashes, the last one for the name")

    def place(self, started_at: datetime, facts: Mapping[str, str | None]) -> Place:
        """Return where a recording goes.

        Args:
            started_at: when it began.
            facts: values by the names of `FACTS`, hostile or not; what is not known becomes `none`.

        """
        at = started_at.astimezone(UTC)
        values = {
            "year": f"{at.year:04d}",
            "month": f"{at.month:02d}",
            "day": f"{at.day:02d}",
            "hour": f"{at.hour:02d}",
            **{name: facts.get(name) or "none" for name in FACTS},
        }
        *folders, readable = (_safe(component.format_map(values)) for component in self._components)
        return Place(PurePosixPath(*folders), readable)


def directory_of(started_at: datetime) -> PurePosixPath:
    """Return the folder of the default template: the day (UTC) on which a recording began, `2026/11/22`."""
    return Layout().place(started_at, {}).directory


def is_suffix(text: str) -> bool:
    """Whether a text may end the name of a file."""
    return _SUFFIX.fullmatch(text) is not None


def file_name(readable: str, recording_id: UUID, digest: bytes, suffix: str) -> str:
    """Return `<readable, made safe>_<recording id>_<digest><suffix>`.

    Args:
        readable: any text, hostile or not; what is not a letter, digit, `.`, `_` or `-` becomes `_`.
        recording_id: makes names of different recordings differ.
        digest: SHA-256 of the content; makes names of different contents differ (48 bits of it are shown).
        suffix: such as `.wav` or `.wav.enc`.

    """
    if not is_suffix(suffix):
        raise ValueError(f"suffix {suffix!r} is not one or two dots with up to eight small letters or digits each")
    return f"{_safe(readable)}_{recording_id.hex}_{digest[:6].hex()}{suffix}"


def _safe(text: str) -> str:
    """Return text that is a name: never empty, hidden, an option or a step upwards."""
    return _UNSAFE.sub("_", text)[:READABLE_LIMIT].lstrip(".-") or "recording"
