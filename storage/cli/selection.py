"""Which recordings a command acts on: named one by one, or by the filter of `recordings list`.

Never both, and never everything by accident: without a name and without a filter a command refuses to act.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Annotated, Any, Final, get_type_hints

import typer

from storage.catalog import Catalog
from storage.catalog.reading import MAX_PAGE
from storage.catalog.records import Door, RecordingState
from storage.catalog.views import RecordingFilter, RecordingSummary
from storage.cli.context import CommandFailed
from storage.cli.exit_codes import ExitCode
from storage.cli.lookup import find_recording
from storage.cli.times import parse_time

PAGE: Final = 2000
"""Recordings read at once."""

_OPTIONS: Final[dict[str, Any]] = {
    "references": Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Recording ids, beginnings of them, or record identifiers."),
    ],
    "started_from": Annotated[str | None, typer.Option("--from", metavar="TIME", help="Started at or after.")],
    "started_to": Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Started before; a day without a time is included.")
    ],
    "record_identifier": Annotated[
        str | None, typer.Option("--record-identifier", help="Exact, or the beginning followed by *.")
    ],
    "call_uuid": Annotated[str | None, typer.Option("--call-uuid", help="Genesys call UUID.")],
    "dn": Annotated[str | None, typer.Option("--dn", help="DN of either party.")],
    "ani": Annotated[str | None, typer.Option("--ani", help="Calling number.")],
    "dnis": Annotated[str | None, typer.Option("--dnis", help="Called number.")],
    "state": Annotated[RecordingState | None, typer.Option("--state", help="Only this state.")],
    "door": Annotated[Door | None, typer.Option("--door", help="Only sessions that came in this way.")],
}
"""By field of `Selection`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The recordings as typed: references, or filter options."""

    references: tuple[str, ...] = ()
    started_from: str | None = None
    started_to: str | None = None
    record_identifier: str | None = None
    call_uuid: str | None = None
    dn: str | None = None
    ani: str | None = None
    dnis: str | None = None
    state: RecordingState | None = None
    door: Door | None = None

    @property
    def by_filter(self) -> bool:
        """Whether any filter option was given."""
        return any(getattr(self, field.name) is not None for field in fields(self) if field.name != "references")


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments and options of a selection in place of its parameter `selection`."""

    def with_options(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in _OPTIONS}
        chosen["references"] = tuple(chosen["references"] or ())
        command(selection=Selection(**chosen), **given)

    hints = get_type_hints(command, include_extras=True)
    kept = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "selection"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    with_options.__doc__ = command.__doc__
    # What typer reads: the context first, then the selection, then the command's own options.
    with_options.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            parameter.replace(
                kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints.get(parameter.name, parameter.annotation)
            )
            for parameter in (kept[0], *added, *kept[1:])
        ]
    )
    with_options.__annotations__ = {**_OPTIONS, **{parameter.name: hints[parameter.name] for parameter in kept}}
    return with_options


async def select(selection: Selection, catalog: Catalog, *, now: datetime) -> list[RecordingSummary]:
    """Return the recordings meant, each once; named ones in the order given, else newest first.

    Errors: `CommandFailed` with `USAGE` for neither or both, `NOT_FOUND` for a name that fits nothing.
    """
    if selection.references and selection.by_filter:
        raise CommandFailed("name recordings, or give a filter: not both", ExitCode.USAGE)
    if selection.references:
        named = [(await find_recording(catalog, reference)).summary for reference in selection.references]
        return list({recording.recording_id: recording for recording in named}.values())
    if not selection.by_filter:
        raise CommandFailed(
            "which recordings? name them, or give a filter such as --from, --dn or --call-uuid", ExitCode.USAGE
        )
    return await _all_pages(_filter(selection, now), catalog)


def _filter(selection: Selection, now: datetime) -> RecordingFilter:
    return RecordingFilter(
        started_from=parse_time(selection.started_from, now=now) if selection.started_from else None,
        started_to=parse_time(selection.started_to, now=now, end_of_day=True) if selection.started_to else None,
        record_identifier=selection.record_identifier,
        call_uuid=selection.call_uuid,
        dn=selection.dn,
        ani=selection.ani,
        dnis=selection.dnis,
        state=selection.state,
        door=selection.door,
        limit=min(PAGE, MAX_PAGE),
    )


async def _all_pages(wanted: RecordingFilter, catalog: Catalog) -> list[RecordingSummary]:
    found: list[RecordingSummary] = []
    while True:
        page = await catalog.list_recordings(wanted)
        found += page
        if len(page) < wanted.limit:
            return found
        wanted = replace(wanted, after=page[-1].key)
