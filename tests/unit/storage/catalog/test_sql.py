"""Named statements."""

import re

from storage.catalog.sql import load_statements


def test_statements_are_found_by_name() -> None:
    statements = load_statements("queries.sql")
    assert statements["end_dialog"] == "SELECT end_dialog_v1($1, $2, $3)"


def test_a_description_belongs_to_its_statement_and_not_to_the_one_before() -> None:
    statements = load_statements("queries.sql")
    assert "-- False when the segment is unknown." in statements["change_streams"]
    assert "unknown" not in statements["open_segment"]


def test_statements_never_take_text_by_formatting() -> None:
    """Only the marks that `search` and `reading` replace by conditions of their own stand for more than an argument."""
    for statement in load_statements("queries.sql").values():
        assert set(re.findall(r"/\*.*?\*/", statement)) <= {"/* placed */", "/* conditions */", "/* limit */"}
        assert "%s" not in statement
