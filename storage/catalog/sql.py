"""Loads named statements from the `.sql` files beside the code.

A statement begins with `-- name: the_name` and ends at the next one; the comment lines after the name say what it does.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

_MARK: Final = "-- name:"


def load_statements(file_name: str) -> dict[str, str]:
    """Return the statements of a file of this package by name; a name used twice is an error."""
    statements: dict[str, str] = {}
    name = ""
    for line in files(__package__).joinpath(file_name).read_text("utf-8").splitlines(keepends=True):
        if line.startswith(_MARK):
            name = line.removeprefix(_MARK).strip()
            if name in statements:
                raise ValueError(f"{file_name}: statement {name!r} occurs twice")
            statements[name] = ""
        elif name:
            statements[name] += line
    return {name: statement.strip() for name, statement in statements.items()}
