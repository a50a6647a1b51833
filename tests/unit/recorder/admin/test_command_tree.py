"""Every command of `recorder-admin`, found by walking the tree: documented, scriptable, with an example, careful."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperCommand

from tests.kit.command_tree import commands_of, root, tree

DOCUMENT = Path(__file__).parents[4] / "docs" / "admin-cli.md"

DESTRUCTIVE = {
    "recordings delete",
    "recordings erase",
    "recordings redact",
    "recordings hold",
    "recordings release",
    "recordings import",
    "retention apply",
    "captures salvage",
    "captures adopt",
    "copies merge",
    "copies split",
    "storage rebalance",
    "keys rotate",
    "keys rewrap",
}
"""What removes or replaces something, or acts on many recordings at once: each knows --dry-run, once it exists."""


def options_of(command: TyperCommand) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in tree()])
class TestEvery:
    def test_speaks_json(self, name: str, command: TyperCommand) -> None:
        assert "--json" in options_of(command)

    def test_has_an_example_that_is_its_own(self, name: str, command: TyperCommand) -> None:
        text = " ".join((command.help or "").split())
        example = text.partition("Example: ")[2]
        assert example.startswith("recorder-admin ")
        assert f" {name}" in example

    def test_stands_in_the_manual(self, name: str, command: TyperCommand) -> None:
        manual = DOCUMENT.read_text("utf-8")
        assert f"recorder-admin {name}" in manual

    def test_shows_each_argument_in_the_same_brackets(self, name: str, command: TyperCommand) -> None:
        context = command.make_context(name, [], resilient_parsing=True)
        for piece in command.collect_usage_pieces(context):
            assert re.fullmatch(r"(\{[A-Z=]+\}|\[[A-Z=]+\])(\.\.\.)?", piece), piece

    def test_explains_each_option(self, name: str, command: TyperCommand) -> None:
        silent = [
            parameter.name
            for parameter in command.params
            if parameter.param_type_name == "option" and not getattr(parameter, "help", None)
        ]
        assert silent == []

    def test_can_be_tried_out_where_it_destroys(self, name: str, command: TyperCommand) -> None:
        assert name not in DESTRUCTIVE or "--dry-run" in options_of(command)


def test_groups_say_what_they_are_for() -> None:
    assert all(command.help for _, command in commands_of(root()))


def test_all_are_found() -> None:
    assert len(tree()) > 40


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("recorder-admin rec", "recordings"),
        ("recorder-admin recordings li", "list"),
        ("recorder-admin report c", "completeness"),
    ],
)
def test_the_shell_completes_commands(typed: str, offered: str) -> None:
    """As bash asks for it."""
    script = "import sys; sys.argv[0] = 'recorder-admin'; from recorder.admin import main; main()"
    asked = {
        "_RECORDER_ADMIN_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    answer = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert offered in answer.stdout.split()
