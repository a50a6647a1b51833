"""What `recorder-admin` says where no recorder can be asked; one line, an exit code, and valid JSON for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from recorder.admin.app import app
from storage.exit_codes import ExitCode


def typed(state_dir: Path, *words: object) -> Result:
    return CliRunner().invoke(app, ["--state-dir", str(state_dir), *map(str, words)])


@pytest.mark.parametrize("words", [("recordings", "list"), ("status",), ("writers", "list"), ("switchover",)])
def test_no_recorder_is_told_with_what_to_do(tmp_path: Path, words: tuple[str, ...]) -> None:
    told = typed(tmp_path, *words)
    assert (told.exit_code, told.stdout) == (ExitCode.UNREACHABLE, "")
    assert "--state-dir" in told.stderr
    script = typed(tmp_path, *words, "--json")
    assert (json.loads(script.stdout)["exit_code"], script.stderr) == (ExitCode.UNREACHABLE, "")


def test_another_users_recorder_is_not_taken_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    told = typed(tmp_path, "recordings", "list")
    assert told.exit_code == ExitCode.UNREACHABLE
    assert "Permission denied" in told.stderr
    assert "own user" in told.stderr


def test_captures_that_are_named_are_read_without_a_recorder(tmp_path: Path) -> None:
    other = tmp_path / "other.tcap"
    other.write_text("hello")
    told = typed(tmp_path, "captures", "verify", other, tmp_path / "none.tcap")
    assert told.exit_code == ExitCode.INTEGRITY
    assert told.stdout.splitlines() == [
        f"{other}: not a readable capture: 5 bytes are no file header",
        f"{tmp_path}/none.tcap: No such file or directory",
        "2 captures read, 0 whole, 2 torn or damaged.",
    ]


@pytest.mark.parametrize(
    "words", [("jobs", "retry", 2**63), ("recordings", "release", "--hold", 2**63, "--reason", "x")]
)
def test_a_number_that_no_catalog_can_have_is_told_as_such(tmp_path: Path, words: tuple[object, ...]) -> None:
    told = typed(tmp_path, *words)
    assert told.exit_code == ExitCode.USAGE
    assert str(2**63 - 1) in told.stderr


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"error": "no writer 'nope'; there are writer-1", "unknown": "nope"}, ExitCode.NOT_FOUND),
        ({"error": "the last one"}, ExitCode.REFUSED),
    ],
)
def test_what_the_recorder_does_not_know_is_not_what_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, str], code: ExitCode
) -> None:
    monkeypatch.setattr("recorder.admin.asking.ask", lambda *_, **__: answer)
    told = typed(tmp_path, "writers", "drain", "nope")
    assert (told.exit_code, told.stderr) == (code, f"recorder-admin: {answer['error']}\n")


def test_an_unknown_state_of_captures_is_refused(tmp_path: Path) -> None:
    told = typed(tmp_path, "captures", "list", "--state", "nonsense")
    assert told.exit_code == ExitCode.USAGE
    assert "elsewhere" in told.stderr
