"""What `speech/build.sh` made is fit for an oracle."""

import numpy as np
import pytest

from recorder.simulator.conversation import FRAME_SAMPLES, PARTIES, load_conversation
from recorder.simulator.g711 import Law, decode


@pytest.mark.parametrize("law", list(Law))
def test_every_frame_of_both_parties_is_different_from_every_other(law: Law) -> None:
    conversation = load_conversation(law)
    frames = [party[: conversation.samples].reshape(-1, FRAME_SAMPLES) for party in conversation.parties]
    together = np.concatenate(frames)
    assert len(together) == 2 * 3000
    assert len(np.unique(together, axis=0)) == len(together)


@pytest.mark.parametrize("law", list(Law))
def test_no_frame_could_be_taken_for_the_filling_of_a_gap(law: Law) -> None:
    conversation = load_conversation(law)
    for party in conversation.parties:
        frames = party[: conversation.samples].reshape(-1, FRAME_SAMPLES)
        silent = np.isin(frames, list(law.silence)).sum(axis=1)
        assert silent.max() < FRAME_SAMPLES - 20


def test_it_is_a_conversation_of_two_who_take_turns() -> None:
    conversation = load_conversation(Law.PCMU)
    assert len(conversation.parties) == len(PARTIES)
    loud = [
        np.abs(decode(party[: conversation.samples], Law.PCMU).astype(int)).reshape(-1, 8000).max(axis=1) > 1000
        for party in conversation.parties
    ]
    assert loud[0].sum() > 15
    assert loud[1].sum() > 15
    assert (loud[0] & loud[1]).mean() < 0.35


def test_frames_run_over_the_end_into_the_beginning() -> None:
    conversation = load_conversation(Law.PCMU)
    offsets = np.array([0, conversation.samples - 80], np.uint32)
    first, last = conversation.frames(0, offsets)
    assert np.array_equal(first, conversation.parties[0][:160])
    assert np.array_equal(last[80:], first[:80])


def test_the_digest_tells_the_laws_apart_and_is_stable() -> None:
    assert load_conversation(Law.PCMU).digest == load_conversation(Law.PCMU).digest
    assert load_conversation(Law.PCMU).digest != load_conversation(Law.PCMA).digest
