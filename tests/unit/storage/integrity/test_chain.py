"""The audit log's chain, without a catalog: every change of an entry, or of the sequence, is found."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.integrity import GENESIS, ChainCheck, ChainEntry, digest_of

START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def chain(length: int) -> list[ChainEntry]:
    entries: list[ChainEntry] = []
    for number in range(1, length + 1):
        entry = ChainEntry(
            number=number,
            entry_id=UUID(int=number),
            at=START + timedelta(microseconds=number),
            actor="ann@desk",
            action="export",
            subject=f"recording-{number}",
            reason="case 17, \N{GREEK SMALL LETTER BETA}",
            details='{"out": "/tmp/x"}',
            previous=entries[-1].digest if entries else GENESIS,
            digest=b"",
        )
        entries.append(dataclasses.replace(entry, digest=digest_of(entry)))
    return entries


def faults(entries: list[ChainEntry]) -> list[int]:
    check = ChainCheck()
    for entry in entries:
        check.feed(entry)
    return [fault.number for fault in check.faults]


def test_an_untouched_chain_has_no_fault() -> None:
    entries = chain(5)
    check = ChainCheck()
    for entry in entries:
        check.feed(entry)
    check.ends_at(5, entries[-1].digest)
    assert check.faults == []


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "eve@desk"},
        {"action": "delete"},
        {"subject": "recording-9"},
        {"reason": ""},
        {"details": '{"out":"/tmp/x"}'},
        {"at": START},
        {"entry_id": UUID(int=99)},
        {"digest": bytes(32)},
        {"previous": bytes(32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_field_is_found_at_its_entry(change: dict[str, object]) -> None:
    entries = chain(5)
    entries[2] = dataclasses.replace(entries[2], **change)  # type: ignore[arg-type]
    assert 3 in faults(entries)


def test_an_entry_that_was_digested_again_breaks_the_next_one() -> None:
    entries = chain(5)
    forged = dataclasses.replace(entries[2], reason="another")
    entries[2] = dataclasses.replace(forged, digest=digest_of(forged))
    assert faults(entries) == [4]


@given(st.integers(0, 5))
def test_a_removed_entry_is_found(position: int) -> None:
    entries = chain(6)
    last = entries[-1]
    del entries[position]
    check = ChainCheck()
    for entry in entries:
        check.feed(entry)
    check.ends_at(last.number, last.digest)
    assert check.faults


def test_fields_cannot_bleed_into_each_other() -> None:
    entry = chain(1)[0]
    moved = dataclasses.replace(entry, actor=entry.actor + "ex", action="port")
    assert digest_of(moved) != digest_of(entry)


def test_the_exported_form_reads_back_and_admits_no_other_spelling() -> None:
    entry = chain(3)[2]
    assert ChainEntry.from_json(entry.to_json()) == entry
    with pytest.raises(ValueError, match="form"):
        ChainEntry.from_json({**entry.to_json(), "details": {"out": "elsewhere"}})
