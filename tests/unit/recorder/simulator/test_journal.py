"""The journal keeps what was sent, in memory and on disk."""

from pathlib import Path

import numpy as np
import pytest

from recorder.simulator.g711 import Law
from recorder.simulator.journal import PACKET_DTYPE, SENT, WITHHELD, CallFacts, Journal, Note, Packets, SipTrace
from recorder.simulator.scenario import Door


def rows(count: int, call: int = 0, flags: int = SENT) -> Packets:
    made = np.zeros(count, PACKET_DTYPE)
    made["call"], made["packet"], made["flags"] = call, np.arange(count), flags
    made["at_ns"] = 1_900_000_000_000_000_000 + np.arange(count) * 20_000_000
    return made


def filled() -> Journal:
    journal = Journal(Law.PCMA, "ab" * 32)
    journal.destination("192.0.2.50", 40000)
    journal.append(rows(10))
    journal.append(rows(3, call=1, flags=WITHHELD))
    journal.calls[0] = CallFacts(0, Door.MSR, "X_2030-01-15_09-30-00", "cid", "X", "1", "2", "3", "4", (7, 8))
    journal.due[0] = (1_899_999_999_000_000_000, 1_899_999_999_005_000_000)
    journal.sip.append(SipTrace(5, 0, True, "udp:192.0.2.40:5060", "INVITE sip:x \udcff\r\n\u00e9"))
    journal.notes.append(Note(6, 0, "media-moved", "stream 0 to 192.0.2.51:41000"))
    return journal


def test_rows_come_back_in_order_however_many() -> None:
    journal = Journal(Law.PCMU, "")
    for _ in range(50):
        journal.append(rows(997))
    assert len(journal.packets) == 50 * 997
    assert np.array_equal(journal.packets["packet"], np.tile(np.arange(997), 50))


def test_packets_of_a_call() -> None:
    journal = filled()
    assert len(journal.packets_of(0)) == 10
    assert journal.packets_of(1)["flags"].tolist() == [WITHHELD] * 3
    assert len(journal.packets_of(2)) == 0


def test_destinations_are_numbered_once() -> None:
    journal = Journal(Law.PCMU, "")
    assert [journal.destination("192.0.2.1", 4), journal.destination("2001:db8::1", 4)] == [0, 1]
    assert journal.destination("192.0.2.1", 4) == 0
    assert journal.destinations == ["192.0.2.1:4", "[2001:db8::1]:4"]


def test_what_is_read_is_a_copy() -> None:
    journal = filled()
    journal.packets["flags"] = 0
    assert journal.packets["flags"].any()


def test_a_saved_journal_is_the_same_when_loaded(tmp_path: Path) -> None:
    journal, path = filled(), tmp_path / "journal.npz"
    journal.save(path)
    loaded = Journal.load(path)
    assert np.array_equal(loaded.packets, journal.packets)
    assert (loaded.law, loaded.speech_sha256) == (journal.law, journal.speech_sha256)
    assert (loaded.calls, loaded.sip, loaded.notes) == (journal.calls, journal.sip, journal.notes)
    assert loaded.due == journal.due
    assert loaded.destination("192.0.2.50", 40000) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["journal.npz"]


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, other=np.zeros(3))
    with pytest.raises(ValueError, match="not a journal"):
        Journal.load(path)


def test_notes_of_a_call() -> None:
    journal = filled()
    assert [note.what for note in journal.notes_of(0)] == ["media-moved"]
    assert journal.notes_of(1) == []
