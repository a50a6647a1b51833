"""Groups whose commands are imported when they are called: a command loads what it needs, and no other does."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup


def load(place: str) -> Any:
    """Return what `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def on_demand(places: Mapping[str, str]) -> type[TyperGroup]:
    """Return the class of a group that has, behind its own commands, those of `places`.

    Args:
        places: the place (see `load`) of each command by its name: a function, or a typer app.

    """

    class OnDemand(TyperGroup):
        def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
            return [*super().list_commands(ctx), *places]

        def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
            return _command(cmd_name, places[cmd_name]) if cmd_name in places else super().get_command(ctx, cmd_name)

    return OnDemand


@dataclass(frozen=True, slots=True)
class Group:
    """Commands under one name."""

    help: str
    places: Mapping[str, str]
    """As of `on_demand`."""

    def app(self) -> typer.Typer:
        """Return a typer app of it, for `add_typer`."""
        return typer.Typer(cls=on_demand(self.places), no_args_is_help=True, help=self.help)

    def having(self, places: Mapping[str, str]) -> Group:
        """Return the group with further commands behind its own."""
        return Group(self.help, {**self.places, **places})


def _command(name: str, place: str) -> Any:
    found = load(place)
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name)(found)
        found = app
    return typer.main.get_command(found)
