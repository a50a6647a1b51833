"""Which recordings a command acts on: named one by one, or by the filter of `recordings list`.

Never both, and never everything by accident: without a name and without a filter a command refuses to act.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Annotated, Any, Final, get_type_hints

import typer

from storage.catalog import Catalog
from storage.catalog.records import Door, RecordingState
from storage.catalog.search import MAX_PAGE
from storage.catalog.views import RecordingFilter, RecordingSummary
from storage.cli.context import CommandFailed
from storage.cli.lookup import find_recording
from storage.cli.times import parse_length, parse_window
from storage.exit_codes import ExitCode

PAGE: Final = 2000
"""Recordings read at once."""

_OPTIONS: Final[dict[str, Any]] = {
    "references": Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Recording ids, beginnings of them, or record identifiers."),
    ],
    "started_from": Annotated[str | None, typer.Option("--from", metavar="TIME", help="Started at or after.")],
    "started_to": Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Started before; a day without a time is included.")
    ],
    "record_identifier": Annotated[
        str | None, typer.Option("--record-identifier", help="Exact, or the beginning followed by *.")
    ],
    "call_uuid": Annotated[str | None, typer.Option("--call-uuid", help="Genesys call UUID.")],
    "dn": Annotated[str | None, typer.Option("--dn", help="DN of either party; or its beginning followed by *.")],
    "ani": Annotated[str | None, typer.Option("--ani", help="Calling number, or its beginning followed by *.")],
    "dnis": Annotated[str | None, typer.Option("--dnis", help="Called number, or its beginning followed by *.")],
    "agent": Annotated[str | None, typer.Option("--agent", help="Agent id, or its beginning followed by *.")],
    "participant": Annotated[
        str | None, typer.Option("--participant", help="Name, address or DN of anybody in the call; * as above.")
    ],
    "where": Annotated[
        list[str] | None,
        typer.Option("--where", metavar="NAME=VALUE", help="Any parameter as received or annotation; * as above."),
    ],
    "longer": Annotated[
        str | None, typer.Option("--longer-than", metavar="LENGTH", help="At least so long: 90s, 10m, 2h.")
    ],
    "shorter": Annotated[
        str | None, typer.Option("--shorter-than", metavar="LENGTH", help="Shorter than this: 5s, 1m.")
    ],
    "lost_more": Annotated[
        str | None,
        typer.Option("--lost-more-than", metavar="LENGTH", help="More lost audio than this: 0s, 500ms, 2s."),
    ],
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
    agent: str | None = None
    participant: str | None = None
    where: tuple[str, ...] | None = None
    longer: str | None = None
    shorter: str | None = None
    lost_more: str | None = None
    state: RecordingState | None = None
    door: Door | None = None

    @property
    def by_filter(self) -> bool:
        """Whether any filter option was given."""
        return any(getattr(self, field.name) is not None for field in fields(self) if field.name != "references")


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments and options of a selection in place of its parameter `selection`."""
    return _with_options(command, _OPTIONS)


def filtering(command: Callable[..., None]) -> Callable[..., None]:
    """As `selecting`, with the filter options alone."""
    return _with_options(command, {name: option for name, option in _OPTIONS.items() if name != "references"})


def _with_options(command: Callable[..., None], options: Mapping[str, Any]) -> Callable[..., None]:
    def with_options(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in options}
        chosen["references"] = tuple(chosen.get("references") or ())
        chosen["where"] = tuple(chosen["where"]) if chosen["where"] else None
        command(selection=Selection(**chosen), **given)

    hints = get_type_hints(command, include_extras=True)
    kept = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "selection"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in options.items()
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
    with_options.__annotations__ = {**options, **{parameter.name: hints[parameter.name] for parameter in kept}}
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
    return await _all_pages(filter_of(selection, now=now, limit=min(PAGE, MAX_PAGE)), catalog)


def filter_of(selection: Selection, *, now: datetime, limit: int) -> RecordingFilter:
    """Return the filter of a selection; its references do not count.

    Errors: `CommandFailed` with `USAGE` for what cannot be read.
    """
    started_from, started_to = parse_window(selection.started_from, selection.started_to, now=now)
    return RecordingFilter(
        started_from=started_from,
        started_to=started_to,
        record_identifier=selection.record_identifier,
        call_uuid=selection.call_uuid,
        dn=selection.dn,
        ani=selection.ani,
        dnis=selection.dnis,
        agent=selection.agent,
        participant=selection.participant,
        where=tuple(_pair(text) for text in selection.where or ()),
        longer_s=parse_length(selection.longer) if selection.longer else None,
        shorter_s=parse_length(selection.shorter) if selection.shorter else None,
        lost_more_s=parse_length(selection.lost_more) if selection.lost_more else None,
        state=selection.state,
        door=selection.door,
        limit=limit,
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name.strip() and equals and value.strip()):
        raise CommandFailed(f"--where {text!r} is not NAME=VALUE", ExitCode.USAGE)
    return name.strip(), value.strip()


async def _all_pages(wanted: RecordingFilter, catalog: Catalog) -> list[RecordingSummary]:
    found: list[RecordingSummary] = []
    while True:
        page = await catalog.list_recordings(wanted)
        found += page
        if len(page) < wanted.limit:
            return found
        wanted = replace(wanted, after=page[-1].key)
