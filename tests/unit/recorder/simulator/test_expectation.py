"""From journal rows to what a recording must hold."""

import numpy as np
import pytest

from recorder.simulator.conversation import load_conversation
from recorder.simulator.expectation import ExpectedParty, expected_call
from recorder.simulator.g711 import Law
from recorder.simulator.journal import DOUBTFUL, PAUSED, SENT, WITHHELD, Journal
from recorder.simulator.scenario import Impairments
from tests.unit.recorder.simulator.recordings import START_NS, run_journal

CONVERSATION = load_conversation(Law.PCMU)


def party(journal: Journal, number: int = 0) -> ExpectedParty:
    return expected_call(journal, CONVERSATION, 0).parties[number]


def with_flags(flags: dict[int, int]) -> Journal:
    """Return a journal of one call in which packets of party 0 have other flags."""
    source = run_journal()
    rows = source.packets
    for packet, value in flags.items():
        rows["flags"][(rows["stream"] == 0) & (rows["packet"] == packet)] = value
    journal = Journal(source.law, source.speech_sha256)
    journal.calls = source.calls
    journal.append(rows)
    return journal


def test_every_sent_packet_counts_at_its_timestamp() -> None:
    expected = party(run_journal())
    assert expected.places.tolist() == [160 * packet for packet in range(50)]
    assert expected.certain.all()
    assert (expected.length, expected.paused) == (8000, ())
    assert np.array_equal(expected.payloads[0], CONVERSATION.parties[0][_offset() : _offset() + 160])


def _offset() -> int:
    return int(run_journal().packets["speech"][0])


def test_the_origin_is_when_place_0_was_sent() -> None:
    expected = expected_call(run_journal(index=3), CONVERSATION, 3)
    rows = run_journal(index=3).packets
    for number in (0, 1):
        assert expected.parties[number].origin_ns == rows["at_ns"][rows["stream"] == number][0]
    assert expected.parties[0].origin_ns >= START_NS


def test_the_origin_is_that_of_the_packets_that_left_in_time() -> None:
    """A busy machine held the sender up from its tenth packet on, one party a little longer than the other."""
    journal = run_journal(index=3)
    rows = journal.packets
    held_up = Journal(journal.law, journal.speech_sha256)
    held_up.calls = journal.calls
    rows["at_ns"] += np.where(rows["packet"] >= 10, 3_000_000_000 + 24_000_000 * rows["stream"].astype(np.int64), 0)
    held_up.append(rows)
    expected, sent = (expected_call(one, CONVERSATION, 3) for one in (held_up, journal))
    assert [one.origin_ns for one in expected.parties] == [one.origin_ns for one in sent.parties]


def test_the_origin_is_when_place_0_was_due_if_the_journal_says_so() -> None:
    """A sender that was late with its first packet as well."""
    journal = run_journal(index=3)
    journal.due[3] = (START_NS - 3_000_000_000, START_NS - 2_990_000_000)
    assert tuple(one.origin_ns for one in expected_call(journal, CONVERSATION, 3).parties) == journal.due[3]


def test_withheld_packets_do_not_count() -> None:
    expected = party(with_flags({3: WITHHELD, 4: WITHHELD}))
    assert len(expected.places) == 48
    assert 3 * 160 not in expected.places
    assert expected.length == 8000


def test_refused_packets_do_not_count() -> None:
    assert 5 * 160 not in party(with_flags({5: 0})).places


def test_paused_packets_are_intervals_whether_they_leaked_or_not() -> None:
    expected = party(with_flags({10: PAUSED, 11: PAUSED | SENT, 12: PAUSED, 20: PAUSED}))
    assert expected.paused == ((1600, 2080), (3200, 3360))
    assert len(expected.places) == 46


def test_doubtful_packets_may_be_there() -> None:
    expected = party(with_flags({10: SENT | DOUBTFUL, 11: SENT | PAUSED | DOUBTFUL, 12: PAUSED | DOUBTFUL}))
    assert expected.places[~expected.certain].tolist() == [1600, 1760]
    assert expected.paused == ((1920, 2080),)


def test_duplicates_and_late_packets_count_once() -> None:
    expected = party(run_journal(impairments=Impairments(reorder=0.3, duplicate=0.3)))
    assert expected.places.tolist() == [160 * packet for packet in range(50)]


def test_timestamps_may_wrap() -> None:
    # Every fourth call begins shortly before the end of the timestamp's range.
    journal = run_journal(index=2)
    timestamps = journal.packets["timestamp"]
    assert timestamps.max() > 2**32 - 2**16
    assert timestamps.min() < 2**16
    for each in expected_call(journal, CONVERSATION, 2).parties:
        assert each.places.tolist() == [160 * packet for packet in range(50)]


def test_a_journal_of_other_speech_is_refused() -> None:
    with pytest.raises(ValueError, match="other speech"):
        expected_call(run_journal(), load_conversation(Law.PCMA), 0)
