"""Memory for the buffers of an embedded PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.postgres import memory
from storage.postgres.memory import memory_bytes, shared_buffers_mb

GIGABYTE = 1 << 30


@pytest.mark.parametrize(("gigabytes", "megabytes"), [(1, 128), (2, 128), (4, 256), (8, 512), (16, 1024), (256, 1024)])
def test_a_sixteenth_of_the_memory_within_bounds(gigabytes: int, megabytes: int) -> None:
    assert shared_buffers_mb(gigabytes * GIGABYTE) == megabytes


@pytest.mark.parametrize(("told", "found"), [("1048576\n", 1 << 20), ("max\n", None), (None, None)])
def test_a_container_that_has_less_than_the_machine_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, found: int | None
) -> None:
    monkeypatch.setattr(memory, "_LIMIT", tmp_path / "memory.max")
    machine = memory_bytes()
    assert machine > 256 << 20
    if told is not None:
        (tmp_path / "memory.max").write_text(told)
    assert memory_bytes() == (machine if found is None else found)
