"""Every command of `recorder-admin` or `recorder`, found by walking the tree, as typer has it when it is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from recorder.admin.app import app


def root(program: typer.Typer = app) -> TyperGroup:
    """Return the program itself."""
    found = typer.main.get_command(program)
    assert isinstance(found, TyperGroup)
    return found


def commands_of(group: TyperGroup) -> Iterator[tuple[str, Any]]:
    """Yield what stands in a group: commands and groups by their names."""
    context = group.make_context("recorder-admin", ["x"], resilient_parsing=True)
    for name in sorted(group.list_commands(context)):
        yield name, group.get_command(context, name)


def tree(program: typer.Typer = app) -> list[tuple[str, TyperCommand]]:
    """Return all commands by their names, such as `recordings list`."""
    return list(_below(root(program), ()))


def _below(group: TyperGroup, path: tuple[str, ...]) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in commands_of(group):
        if isinstance(command, TyperGroup):
            yield from _below(command, (*path, name))
        else:
            assert isinstance(command, TyperCommand)
            yield " ".join((*path, name)), command
