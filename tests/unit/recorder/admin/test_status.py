"""What `status` adds to what the supervisor says."""

from pathlib import Path

from recorder.admin.status import disks


def test_the_first_directory_need_not_be_there_yet_and_a_missing_archive_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "captures").mkdir()
    found = disks(
        {"local": tmp_path / "recordings", "archive": tmp_path / "unmounted" / "x", "captures": tmp_path / "captures"}
    )
    assert [one["what"] for one in found] == ["local", "captures"]
    assert all(0 < one["free_bytes"] <= one["total_bytes"] for one in found)
