"""`recorder-admin switchover`: let a standby frontend take over, as planned work."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from recorder.admin.context import state_dir_of
from recorder.control import ask
from recorder.errors import NotRunningError, RecorderError
from storage.cli.context import report


class SwitchoverRefusedError(RecorderError):
    """Resource: there is no standby to take over."""

    exit_code = 7


def switchover(
    ctx: typer.Context,
    away: Annotated[bool, typer.Option("--to-other-host", help="Hand over to another host of the site.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """End the active frontend in good order; a standby takes over its dialogs, and recordings go on.

    With --to-other-host the site's lease and address move; media stay with the writers that have them.

    Example: recorder-admin switchover
    """
    try:
        answer = ask(state_dir_of(ctx), "switchover", away=away)
    except NotRunningError as error:
        report(error, as_json=as_json)
        raise typer.Exit(error.exit_code) from None
    if "error" in answer:
        refused = SwitchoverRefusedError(answer["error"])
        report(refused, as_json=as_json)
        raise typer.Exit(refused.exit_code)
    print(json.dumps(answer) if as_json else f"switched over from {answer['from']} to {answer['to']}")
