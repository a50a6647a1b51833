"""Exit codes are a promise to scripts."""

from pathlib import Path

import pytest

from storage.cli.context import CommandFailed
from storage.errors import (
    AlreadyPublished,
    CatalogUnreachable,
    InputMissing,
    IntegrityBroken,
    RecordingErased,
    SchemaMismatch,
    StorageMisused,
    StoreFailed,
    StoreForbidden,
    StoreFull,
    UnderLegalHold,
)
from storage.exit_codes import ExitCode, exit_code_of


def test_the_numbers_never_change() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "UNEXPECTED": 1,
        "USAGE": 2,
        "NOT_FOUND": 3,
        "NOT_READY": 4,
        "INTEGRITY": 5,
        "UNREACHABLE": 6,
        "REFUSED": 7,
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (IntegrityBroken("x"), ExitCode.INTEGRITY),
        (CatalogUnreachable("x"), ExitCode.UNREACHABLE),
        (SchemaMismatch("x"), ExitCode.UNREACHABLE),
        (AlreadyPublished("x"), ExitCode.REFUSED),
        (StoreForbidden("x"), ExitCode.REFUSED),
        (StoreFull("x"), ExitCode.REFUSED),
        (UnderLegalHold("x"), ExitCode.REFUSED),
        (RecordingErased("x"), ExitCode.REFUSED),
        (StorageMisused("x"), ExitCode.USAGE),
        (InputMissing("x"), ExitCode.NOT_FOUND),
        (StoreFailed("x"), ExitCode.UNEXPECTED),
        (ValueError("x"), ExitCode.UNEXPECTED),
        (CommandFailed("x", ExitCode.NOT_READY), ExitCode.NOT_READY),
    ],
)
def test_codes_of_errors(error: Exception, code: ExitCode) -> None:
    assert exit_code_of(error) == code


def test_an_error_of_another_package_brings_its_own_code() -> None:
    class NotRunningError(Exception):
        exit_code = 6

    assert exit_code_of(NotRunningError()) == 6


def test_every_code_is_documented() -> None:
    document = (Path(__file__).parents[3] / "docs" / "admin-cli.md").read_text("utf-8")
    for code in ExitCode:
        assert f"| {code.value} |" in document
