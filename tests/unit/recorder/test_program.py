"""How a program starts: what it loads before it may be interrupted, and Ctrl-C while it loads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

STARTING: Final = (
    "import signal, sys; from recorder.program import run; signal.signal(signal.SIGINT, {sigint}); run('slow')"
)
SLOW: Final = """
print("loading", flush=True)
input()
def app():
    print("ran", flush=True)
    input()
"""


@contextmanager
def loading(folder: Path, sigint: str = "signal.default_int_handler") -> Iterator[subprocess.Popen[str]]:
    """Run a program whose import takes until it is given a line; the tests' own shell may have them ignore Ctrl-C."""
    (folder / "slow.py").write_text(SLOW)
    with subprocess.Popen(
        [sys.executable, "-c", STARTING.format(sigint=sigint)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        yield process


def test_ctrl_c_while_a_program_loads_ends_it_quietly(tmp_path: Path) -> None:
    with loading(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "")
    assert process.returncode == 130


def test_ctrl_c_is_the_commands_own_matter_once_it_runs(tmp_path: Path) -> None:
    with loading(tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ran\n"
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate()[1]


def test_a_program_in_the_background_of_a_shell_goes_on_ignoring_it(tmp_path: Path) -> None:
    with loading(tmp_path, sigint="signal.SIG_IGN") as process:
        process.send_signal(signal.SIGINT)
        assert process.communicate("\n\n") == ("ran\n", "")
    assert process.returncode == 0


def modules_after(imported: str) -> set[str]:
    listed = f"import sys, {imported}; print(*sys.modules)"
    asked = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True)
    return set(asked.stdout.split())


@pytest.mark.parametrize("entry", ["recorder.admin", "recorder.__main__"])
def test_nothing_is_loaded_before_ctrl_c_is_expected(entry: str) -> None:
    assert not {"typer", "asyncio", "pydantic"} & modules_after(entry)


def test_an_administrators_command_loads_no_audio() -> None:
    assert not {"numpy", "av", "media"} & modules_after("recorder.admin.app")
