"""A file that is named and not there is told alike by every command: exit code 3, one line that names it, no trace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from recorder.admin.app import app
from recorder.commands import app as recorder
from storage.encryption.recipients import load_private_key
from storage.errors import InputMissing
from storage.exit_codes import ExitCode
from storage.verify import main as verify_offline
from tests.kit.command_tree import root, tree
from tests.kit.recipients import make_recipient

pytestmark = pytest.mark.integration

GONE = "/nowhere/gone"

INPUTS = {
    ("--config",): ["--config", GONE, "status"],
    ("audit", "verify", "--anchor"): ["audit", "verify", "--anchor", GONE],
    ("audit", "verify", "--key"): ["audit", "verify", "--key", GONE],
    ("audit", "verify", "--file"): ["audit", "verify", "--file", GONE],
    ("captures", "adopt", "DIR"): ["captures", "adopt", GONE],
    ("captures", "verify", "FILE"): ["captures", "verify", GONE],
    ("keys", "rewrap", "--key"): ["keys", "rewrap", "--key", GONE, "--to", "{pem}"],
    ("keys", "rewrap", "--to"): ["keys", "rewrap", "--key", "{private}", "--to", GONE],
    ("recordings", "import", "FILE"): ["recordings", "import", GONE],
    ("report", "completeness", "--expected"): ["report", "completeness", "--from", "today", "--expected", GONE],
    ("verify", "--offline"): ["verify", "--offline", GONE, "--key", "{pem}"],
    ("verify", "--vcon"): ["verify", "--vcon", GONE, "--key", "{pem}"],
    ("verify", "--key"): ["verify", "--offline", "/tmp", "--key", GONE],
}
"""Each input of a command, and how it is named without being there."""

DECRYPTING = {("recordings", name, "--key") for name in ("bundle", "export", "redact")}
"""Opened for encrypted audio alone, all by `load_private_key`."""

NOT_READ = {("--state-dir",)} | {
    (*command, "--out")
    for command in (("audit", "anchor"), ("audit", "export"), ("keys", "export"))
} | {("recordings", name, "--out") for name in ("bundle", "export")}  # fmt: skip
"""Written, or searched for a recorder (6)."""

OF_RECORDER = {
    ("run", "--config"): ["run", "--config", GONE],
    ("check-config", "--config"): ["check-config", "--config", GONE],
    ("simulate", "--config"): ["simulate", "--verify", "--config", GONE],
    ("simulate", "--tls-ca"): ["simulate", "--target", "tls:127.0.0.1:9", "--tls-ca", GONE],
    ("simulate", "--tls-certificate"): ["simulate", "--target", "tls:127.0.0.1:9", "--tls-certificate", GONE],
    ("simulate", "--tls-key"): [
        "simulate", "--target", "tls:127.0.0.1:9", "--tls-certificate", "{pem}", "--tls-key", GONE,
    ],
}  # fmt: skip
"""The same of `recorder`."""

MADE_BY_RECORDER = {
    ("run", "--state-dir"),
    ("simulate", "--state-dir"),
    ("simulate", "--journal"),
    ("lab", "cluster", "--directory"),
}
"""Written, or searched for a recorder (6)."""


def inputs_of(command: Any) -> Iterator[str]:
    """Yield the options and arguments of a command that name a file or folder."""
    for parameter in command.params:
        if parameter.type_descriptor.annotation in {Path, list[Path]}:
            yield parameter.metavar if parameter.param_type_name == "argument" else max(parameter.opts, key=len)


def test_no_input_is_left_out() -> None:
    found: set[tuple[str, ...]] = {(name,) for name in inputs_of(root())}
    found |= {(*name.split(), given) for name, command in tree() for given in inputs_of(command)}
    assert found == INPUTS.keys() | DECRYPTING | NOT_READ


def test_no_input_of_the_recorder_is_left_out() -> None:
    found = {(*name.split(), given) for name, command in tree(recorder) for given in inputs_of(command)}
    assert found == OF_RECORDER.keys() | MADE_BY_RECORDER


@pytest.mark.parametrize("words", OF_RECORDER.values(), ids=" ".join)
def test_what_is_named_to_the_recorder_and_not_there(words: list[str], tmp_path: Path) -> None:
    pem = tmp_path / "certificate.pem"
    pem.touch()
    told = CliRunner().invoke(recorder, [word.format(pem=pem) for word in words])
    assert told.exit_code == ExitCode.NOT_FOUND, told.output
    assert GONE in told.output
    assert "No such file or directory" in told.output


@pytest.mark.parametrize("words", INPUTS.values(), ids=" ".join)
async def test_what_is_named_and_not_there(
    words: list[str], tmp_path: Path, catalog_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORDER_DATABASE_DSN", catalog_dsn)
    monkeypatch.setenv("RECORDER_STATE_DIR", str(tmp_path))

    async def type_words(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, list(words))

    pem = tmp_path / "key.pem"
    assert (await type_words("keys", "export", "--out", str(pem))).exit_code == ExitCode.OK
    _, private = make_recipient(tmp_path / "keys-of-others", "x25519")
    told = await type_words(*(word.format(pem=pem, private=private) for word in words))
    assert told.exit_code == ExitCode.NOT_FOUND, told.output
    assert GONE in told.output
    assert "No such file or directory" in told.output


def test_the_key_of_encrypted_audio() -> None:
    with pytest.raises(InputMissing, match=GONE):
        load_private_key(Path(GONE), lambda: "")


def test_the_offline_verifier_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_offline([str(tmp_path), "--key", GONE]) == ExitCode.NOT_FOUND
    assert GONE in capsys.readouterr().err
