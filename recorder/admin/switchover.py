"""`recorder-admin switchover`: let a standby frontend take over, as planned work."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from recorder.admin.asking import ask_recorder
from storage.cli.options import JsonObject


def switchover(
    ctx: typer.Context,
    away: Annotated[bool, typer.Option("--to-other-host", help="Hand over to another host of the site.")] = False,
    as_json: JsonObject = False,
) -> None:
    """End the active frontend in good order; a standby takes over its dialogs, and recordings go on.

    With --to-other-host the site's lease and address move; media stay with the writers that have them.

    Example: recorder-admin switchover
    """
    answer = ask_recorder(ctx, "switchover", as_json=as_json, away=away)
    print(json.dumps(answer) if as_json else f"switched over from {answer['from']} to {answer['to']}")
