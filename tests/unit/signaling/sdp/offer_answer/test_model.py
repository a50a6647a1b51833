"""State of offer/answer: nothing is lost by writing it down."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError
from signaling.sdp.offer_answer import AnswerPolicy, Negotiation, Slot, plan
from tests.unit.signaling.sdp.samples import HOST, KEY, ORIGIN, SECURE, TWO_STREAMS, sdp


@pytest.mark.parametrize("text", [TWO_STREAMS, SECURE, TWO_STREAMS + "m=video 9 RTP/AVP 98\n"])
def test_a_restored_snapshot_is_the_same_state(text: str) -> None:
    media = plan(sdp(text), None, AnswerPolicy(srtp="allow"))
    state = media.negotiation(media.to_answer(HOST, {0: 40000, 1: 40002}, ORIGIN, {0: KEY}))
    assert Negotiation.restore(state.snapshot()) == state


@pytest.mark.parametrize("snapshot", [b"", b"\xc1", b"\x80", b"{}"])
def test_other_bytes_are_no_snapshot(snapshot: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="snapshot"):
        Negotiation.restore(snapshot)


def test_an_abandoned_slot_forgets_its_stream() -> None:
    slot = Slot(media="audio", protocol="RTP/AVP", live=True, formats=(0,), recording=True, held_by_peer=True)
    assert slot.abandoned() == Slot(media="audio", protocol="RTP/AVP")
