"""Names of files."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePosixPath
from uuid import UUID

import pytest

from storage.files.layout import directory_of, file_name

RECORDING = UUID("3f2a91c0-0000-4000-8000-000000000001")
DIGEST = bytes(range(32))


def test_the_folder_is_the_day_in_utc() -> None:
    late_in_new_york = datetime(2026, 11, 22, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert directory_of(late_in_new_york) == PurePosixPath("2026/11/23")
    assert directory_of(datetime(2026, 1, 2, tzinfo=UTC)) == PurePosixPath("2026/01/02")


def test_the_name_shows_identifier_recording_and_content() -> None:
    assert (
        file_name("CALL0001_2026-11-22_09-30-00", RECORDING, DIGEST, ".wav")
        == "CALL0001_2026-11-22_09-30-00_3f2a91c0000040008000000000000001_000102030405.wav"
    )


@pytest.mark.parametrize(
    ("identifier", "beginning"),
    [
        ("../../etc/passwd", "_.._etc_passwd_3f2a"),
        ("/absolute", "_absolute_3f2a"),
        (".hidden", "hidden_3f2a"),
        ("-rf", "rf_3f2a"),
        ("...", "recording_3f2a"),
        ("", "recording_3f2a"),
        ("a\0b\nc d", "a_b_c_d_3f2a"),
        ("Grüße", "Gr_e_3f2a"),
    ],
)
def test_hostile_identifiers_become_safe(identifier: str, beginning: str) -> None:
    assert file_name(identifier, RECORDING, DIGEST, ".wav").startswith(beginning)


def test_a_long_identifier_is_cut() -> None:
    assert len(file_name("x" * 5000, RECORDING, DIGEST, ".wav")) < 150


@pytest.mark.parametrize("suffix", ["", "wav", ".", "../x", ".WAV", ".w/v", ".waaaaaaaav"])
def test_a_suffix_is_checked(suffix: str) -> None:
    with pytest.raises(ValueError, match="suffix"):
        file_name("a", RECORDING, DIGEST, suffix)
