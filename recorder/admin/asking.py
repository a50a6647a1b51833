"""Ask the recorder that runs here; a refusal or a recorder that does not run ends the command with its exit code."""

from __future__ import annotations

from typing import Any

import typer

from recorder.admin.context import state_dir_of
from recorder.control import ask
from recorder.errors import NotRunningError, RecorderError
from storage.cli.context import report
from storage.exit_codes import exit_code_of


class RefusedError(RecorderError):
    """Resource: the recorder cannot do that now."""

    exit_code = 7


class UnknownError(RecorderError):
    """Local: the recorder has nothing of that name."""

    exit_code = 3


def ask_recorder(ctx: typer.Context, command: str, *, as_json: bool, **arguments: Any) -> dict[str, Any]:
    """Return the answer of the recorder that runs on the state directory."""
    fault: RecorderError
    try:
        answer = ask(state_dir_of(ctx), command, **arguments)
        if "error" not in answer:
            return answer
        fault = (UnknownError if "unknown" in answer else RefusedError)(answer["error"])
    except NotRunningError as error:
        fault = error
    report(fault, as_json=as_json)
    raise typer.Exit(exit_code_of(fault))
