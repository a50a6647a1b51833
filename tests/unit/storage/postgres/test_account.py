"""Which account, which capability: decisions over what the file system says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.errors import EmbeddedPostgresFailed
from storage.postgres import account
from storage.postgres.account import (
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    Account,
    capabilities_needed,
    choose_account,
)

# An account that owns nothing here and is in no group of ours.
STRANGER = Account(uid=4_000_000_001, gid=4_000_000_001, switch=True)


@pytest.fixture
def open_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory and a program that everybody can reach, as far as our own directories go."""
    base = tmp_path / "base"
    (base / "bin").mkdir(parents=True)
    (base / "data").mkdir()
    (base / "bin" / "postgres").touch(mode=0o755)
    for path in (base, base / "bin", base / "data", base / "bin" / "postgres"):
        path.chmod(0o755)
    real = account._permits
    # What lies above the tree belongs to the machine that runs the test.
    monkeypatch.setattr(
        account, "_permits", lambda path, who, bit: not path.is_relative_to(base) or real(path, who, bit)
    )
    return base


def bounding_set(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    monkeypatch.setattr(account, "_bounding_set", lambda: sum(1 << number for number in numbers))


def needed(base: Path) -> list[int]:
    return capabilities_needed(STRANGER, [base / "data"], base / "bin" / "postgres")


def test_reachable_files_need_nothing(open_tree: Path) -> None:
    assert needed(open_tree) == []


def test_the_caller_itself_needs_nothing(open_tree: Path) -> None:
    (open_tree / "data").chmod(0o700)
    caller = Account(uid=STRANGER.uid, gid=STRANGER.gid, switch=False)
    assert capabilities_needed(caller, [open_tree / "data"], open_tree / "bin" / "postgres") == []


@pytest.mark.parametrize("closed", ["", "data", "bin"])
def test_a_closed_directory_needs_search(open_tree: Path, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    bounding_set(monkeypatch, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)
    (open_tree / closed).chmod(0o700)
    assert needed(open_tree) == [CAP_DAC_READ_SEARCH]


def test_a_container_without_search_uses_override(open_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounding_set(monkeypatch, CAP_DAC_OVERRIDE)
    (open_tree / "data").chmod(0o700)
    assert needed(open_tree) == [CAP_DAC_OVERRIDE]


def test_a_program_installed_under_a_strict_umask_needs_override(
    open_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounding_set(monkeypatch, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)
    (open_tree / "bin" / "postgres").chmod(0o700)
    assert needed(open_tree) == [CAP_DAC_OVERRIDE]


def test_without_any_of_them_the_way_out_is_named(open_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounding_set(monkeypatch)
    (open_tree / "data").chmod(0o700)
    with pytest.raises(EmbeddedPostgresFailed, match=r"database\.dsn"):
        needed(open_tree)


def test_a_directory_that_does_not_exist_yet_is_no_obstacle(open_tree: Path) -> None:
    assert capabilities_needed(STRANGER, [open_tree / "data" / "new"], open_tree / "bin" / "postgres") == []


def test_an_ordinary_user_runs_it_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "getegid", lambda: 2345)
    assert choose_account(tmp_path) == Account(1234, 2345, switch=False)


def test_root_runs_a_new_cluster_as_an_unprivileged_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    chosen = choose_account(tmp_path / "none")
    assert chosen.switch
    assert chosen.uid != 0


def test_root_without_any_such_account_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account, "ACCOUNTS", ("no-such-account-here",))
    with pytest.raises(EmbeddedPostgresFailed, match="ordinary user"):
        choose_account(tmp_path / "none")
