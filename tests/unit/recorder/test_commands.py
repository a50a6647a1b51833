"""The `recorder` command: what it offers, and what a start pays for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from recorder.commands import app


@pytest.mark.parametrize("trial", ["recorder.simulator", "recorder.lab", "numpy"])
def test_a_recorder_does_not_load_what_only_trials_need(trial: str) -> None:
    loaded = f"import sys, recorder.commands; print({trial!r} in sys.modules)"
    asked = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert asked.stdout == "False\n"


def test_the_help_names_trials_like_every_other_command() -> None:
    told = CliRunner().invoke(app, ["--help"])
    assert told.exit_code == 0
    for command in ("run", "check-config", "hash-password", "simulate", "lab"):
        assert f" {command} " in told.output


@pytest.mark.parametrize(("arguments", "named"), [(["simulate"], "--verify"), (["lab", "cluster"], "--hosts")])
def test_a_trial_is_loaded_when_it_is_called(arguments: list[str], named: str) -> None:
    told = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "200"})
    assert told.exit_code == 0
    assert named in told.output


def test_a_command_that_there_is_not_is_told() -> None:
    told = CliRunner().invoke(app, ["simulat"])
    assert told.exit_code == 2
    assert "No such command 'simulat'" in told.output
