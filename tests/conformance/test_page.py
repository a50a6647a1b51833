"""`docs/conformance.md` is complete and names only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

TESTS: Final = Path(__file__).parents[1]
PAGE: Final = TESTS.parent / "docs" / "conformance.md"
IDS: Final = [
    *(f"S{number}" for number in range(1, 37)),
    *(f"C{number}" for number in range(1, 29)),
    *(f"O{number}" for number in range(1, 11)),
    *(f"R{number}" for number in range(1, 15)),
]
STATUSES: Final = ("done", "part", "refused", "not built")
NAMED_TEST: Final = re.compile(r"`([a-z0-9_/]+\.py)::(?:Test\w+::)?(test_\w+)`")


class Row(NamedTuple):
    """One id of the checklist on the page."""

    id: str
    rank: str
    rule: str
    status: str
    proof: str


def rows() -> list[Row]:
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines())
    return [Row(*row) for row in cells if re.fullmatch(r"[SCOR]\d+", row[0])]


def test_every_id_of_the_checklist_stands_on_the_page_once_and_in_order() -> None:
    assert [row.id for row in rows()] == IDS


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.id)
def test_a_row_has_a_known_status_and_what_it_says_is_proved_or_explained(row: Row) -> None:
    assert row.status in STATUSES
    named = NAMED_TEST.findall(row.proof)
    explained = NAMED_TEST.sub("", row.proof).strip(" ,.:;()")
    if row.status in {"done", "part"}:
        assert named, "no test is named"
    if row.status != "done":
        assert explained, "what is missing, and what happens instead, is not said"


def test_every_test_that_is_named_exists() -> None:
    named = NAMED_TEST.findall(PAGE.read_text())
    assert len(named) >= len(IDS)
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (TESTS / path).is_file()
        or not re.search(rf"^ *(async )?def {name}\(", (TESTS / path).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_whatever_looks_like_a_test_is_checked() -> None:
    """A misspelt name would otherwise pass for text."""
    assert PAGE.read_text().count("::test_") == len(NAMED_TEST.findall(PAGE.read_text()))
