"""Short cuts on participants."""

from __future__ import annotations

from signaling.siprec.model import NameId, Participant


def test_the_first_address_and_the_first_name_that_is_there() -> None:
    participant = Participant(participant_id="p", name_ids=(NameId("tel:1"), NameId("sip:a@example.com", "Alice")))
    assert (participant.aor, participant.name) == ("tel:1", "Alice")


def test_a_participant_without_any() -> None:
    participant = Participant(participant_id="p")
    assert (participant.aor, participant.name) == ("", "")
