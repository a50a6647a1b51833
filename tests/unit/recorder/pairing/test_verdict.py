"""Verdicts on real sound: copies are confirmed, and nothing that only resembles one is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.healing import Sound, compare
from recorder.pairing.verdict import Verdict, judge
from storage.catalog.copy_records import CopyState
from tests.unit.media.healing.copies import (
    Codes,
    copy,
    drifted,
    linear,
    mulaw,
    music,
    random_losses,
    silence,
    talk,
    tone,
)

CALL = [talk(0, 30), talk(1, 30)]


def verdict(one: Sound, other: Sound, *, call_named: bool = True) -> Verdict:
    """What is found, in whichever order the two are given."""
    found = judge(compare(one, other), call_named=call_named)
    assert judge(compare(other, one), call_named=call_named).state is found.state
    return found


class TestConfirmed:
    def test_equal_copies(self, tmp_path: Path) -> None:
        found = verdict(
            copy(tmp_path, "a", CALL, lost={0: [(5, 7)], 1: [(5, 7)]}),
            copy(tmp_path, "b", CALL, lost={0: [(15, 17)], 1: [(15, 17)]}, start_s=0.2),
            call_named=False,
        )
        assert found == Verdict(CopyState.CONFIRMED, "52.0 s of 52.0 s compared are equal sample by sample")

    def test_parties_in_the_other_order(self, tmp_path: Path) -> None:
        found = verdict(copy(tmp_path, "a", CALL), copy(tmp_path, "b", CALL[::-1]), call_named=False)
        assert found.state is CopyState.CONFIRMED
        assert "parties in the other order" in found.reason

    def test_starts_further_apart_than_others_tolerate(self, tmp_path: Path) -> None:
        late = [party[10 * 8000 :] for party in CALL]
        found = verdict(copy(tmp_path, "a", CALL), copy(tmp_path, "b", late, start_s=10), call_named=False)
        assert found.state is CopyState.CONFIRMED

    def test_half_of_all_packets_lost(self, tmp_path: Path) -> None:
        lost = [{party: random_losses(30, 0.5, seed + party) for party in (0, 1)} for seed in (1, 5)]
        found = verdict(
            copy(tmp_path, "a", CALL, lost=lost[0]), copy(tmp_path, "b", CALL, lost=lost[1]), call_named=False
        )
        assert found.state is CopyState.CONFIRMED

    def test_a_failover_inside(self, tmp_path: Path) -> None:
        resumed = [np.concatenate([party[:100_000], party[100_037:]]) for party in CALL]
        found = verdict(
            copy(tmp_path, "a", CALL),
            copy(tmp_path, "b", resumed, lost={0: [(12, 13)], 1: [(12, 13)]}),
            call_named=False,
        )
        assert found.state is CopyState.CONFIRMED

    def test_a_transcoded_copy_with_a_clock_of_its_own(self, tmp_path: Path) -> None:
        other = [mulaw(0.6 * drifted(linear(party), 80)) for party in CALL]
        found = verdict(copy(tmp_path, "a", CALL), copy(tmp_path, "b", other), call_named=False)
        assert found.state is CopyState.CONFIRMED
        assert "alike (correlation 0.9" in found.reason

    def test_everything_at_once(self, tmp_path: Path) -> None:
        """The other order of parties, another law and level, a drifting clock, a failover inside, losses in both."""
        changed = [mulaw(0.7 * drifted(linear(party), 60)) for party in CALL[::-1]]
        resumed = [np.concatenate([party[:100_000], party[100_037:]]) for party in changed]
        found = verdict(
            copy(tmp_path, "a", CALL, lost={0: [(3, 4)], 1: [(20, 22)]}),
            copy(tmp_path, "b", resumed, lost={0: [(12, 13)], 1: [(7, 8)]}, start_s=0.3),
            call_named=False,
        )
        assert found.state is CopyState.CONFIRMED
        assert "parties in the other order" in found.reason

    def test_a_party_whose_packets_never_arrived_refutes_nothing(self, tmp_path: Path) -> None:
        found = verdict(copy(tmp_path, "a", CALL), copy(tmp_path, "b", CALL, lost={1: [(0, 30)]}))
        assert found.state is CopyState.CONFIRMED

    def test_one_party_is_enough_if_the_key_names_the_call(self, tmp_path: Path) -> None:
        monologue = [talk(0, 30), silence(30)]
        one, other = copy(tmp_path, "a", monologue), copy(tmp_path, "b", monologue, start_s=0.3)
        assert verdict(one, other).state is CopyState.CONFIRMED
        assert verdict(one, other, call_named=False).state is CopyState.UNDECIDED


class TestNeverMerged:
    def test_silence(self, tmp_path: Path) -> None:
        nobody = [silence(30), silence(30)]
        found = verdict(copy(tmp_path, "a", nobody), copy(tmp_path, "b", nobody))
        assert found.state is CopyState.UNDECIDED
        assert found.reason.startswith("nothing in the time they share can prove anything")

    def test_ringing(self, tmp_path: Path) -> None:
        ringing = [tone(30), silence(30)]
        assert verdict(copy(tmp_path, "a", ringing), copy(tmp_path, "b", ringing)).state is CopyState.UNDECIDED

    @pytest.mark.parametrize("loop_s", [7.5, 60.0])
    def test_hold_music_in_two_calls_of_one_agent(self, tmp_path: Path, loop_s: float) -> None:
        on_hold = [music(30, loop_s=loop_s), silence(30)]
        one, other = copy(tmp_path, "a", on_hold), copy(tmp_path, "b", on_hold, start_s=0.4)
        assert verdict(one, other, call_named=False).state is CopyState.UNDECIDED

    def test_hold_music_at_another_place_even_if_the_key_named_the_call(self, tmp_path: Path) -> None:
        one = copy(tmp_path, "a", [music(30, loop_s=60), silence(30)])
        other = copy(tmp_path, "b", [music(30, loop_s=60, at=2.2), silence(30)])
        found = verdict(one, other)
        assert found.state is CopyState.UNDECIDED
        assert "2.2 s off the clocks" in found.reason

    def test_hold_music_and_then_other_people(self, tmp_path: Path) -> None:
        def call(at: float) -> list[Codes]:
            return [
                np.concatenate([music(20, loop_s=60), talk(0, 15, at=at)]),
                np.concatenate([silence(20), talk(1, 15, at=at)]),
            ]

        found = verdict(copy(tmp_path, "a", call(0)), copy(tmp_path, "b", call(30)))
        assert found.state is CopyState.REJECTED

    def test_the_same_announcement_in_two_calls(self, tmp_path: Path) -> None:
        def call(at: float) -> list[Codes]:
            return [np.concatenate([talk(0, 20), talk(0, 15, at=at)]), talk(1, 35, at=at)]

        found = verdict(copy(tmp_path, "a", call(22)), copy(tmp_path, "b", call(41), start_s=1.2))
        assert found.state is CopyState.REJECTED

    def test_only_an_announcement_in_two_calls(self, tmp_path: Path) -> None:
        heard = [talk(0, 20), silence(20)]
        found = verdict(copy(tmp_path, "a", heard), copy(tmp_path, "b", heard, start_s=0.5), call_named=False)
        assert found.state is CopyState.UNDECIDED
        assert "an announcement would be so in another call" in found.reason

    def test_the_same_agent_with_another_customer(self, tmp_path: Path) -> None:
        """Consultation, conference: the agent is heard in both."""
        found = verdict(
            copy(tmp_path, "a", [talk(0, 40), talk(1, 40)]), copy(tmp_path, "b", [talk(0, 40), talk(1, 40, at=23)])
        )
        assert found.state is CopyState.REJECTED
        assert found.reason.startswith("the right parties differ")

    def test_two_recordings_of_a_conference(self, tmp_path: Path) -> None:
        """Each holds its own agent on the left, and on the right the sum of all others."""
        first, second, customer = talk(0, 40), talk(0, 40, at=20), talk(1, 40)

        def mixed(*voices: Codes) -> Codes:
            return mulaw(np.sum([linear(voice).astype(float) for voice in voices], axis=0))

        found = verdict(
            copy(tmp_path, "a", [first, mixed(second, customer)]), copy(tmp_path, "b", [second, mixed(first, customer)])
        )
        assert found.state is CopyState.REJECTED

    def test_a_consultation_while_the_customer_is_on_hold(self, tmp_path: Path) -> None:
        """One agent in two calls at once: music and silence in the first, what he asks a colleague in the second.

        The end of the first, and the agent's own words before and after, are in it alone.
        """
        agent, customer, colleague = talk(0, 45), talk(1, 45), talk(1, 20, at=30)
        agent[15 * 8000 : 35 * 8000] = 0xFF
        customer[15 * 8000 : 35 * 8000] = music(20)
        first = copy(tmp_path, "a", [agent, customer])
        second = copy(tmp_path, "b", [talk(0, 20, at=15), colleague], start_s=15)
        assert verdict(first, second).state is CopyState.REJECTED

    def test_a_consultation_that_hears_what_the_agent_says_to_both(self, tmp_path: Path) -> None:
        """The switch sends the agent's microphone to both of his calls all the time."""
        first = copy(tmp_path, "a", [talk(0, 45), talk(1, 45)])
        second = copy(tmp_path, "b", [talk(0, 20, at=15), talk(1, 20, at=38)], start_s=15)
        found = verdict(first, second)
        assert found.state is CopyState.REJECTED
        assert found.reason.startswith("the right parties differ")

    def test_recordings_per_party(self, tmp_path: Path) -> None:
        assert verdict(copy(tmp_path, "a", CALL[:1]), copy(tmp_path, "b", CALL[1:])).state is CopyState.REJECTED
        found = verdict(copy(tmp_path, "a", CALL), copy(tmp_path, "b", CALL[:1]))
        assert found.state is CopyState.REJECTED
        assert "recordings per party" in found.reason

    def test_recordings_one_after_the_other(self, tmp_path: Path) -> None:
        """The second of a restart brings the last words of the first at most."""
        tail = [np.concatenate([party[29 * 8000 + 800 :], talk(1, 20, at=40)]) for party in CALL]
        one = copy(tmp_path, "a", CALL)
        assert verdict(one, copy(tmp_path, "b", tail, start_s=29.1)).state is CopyState.REJECTED
        assert verdict(one, copy(tmp_path, "c", CALL, start_s=95)).state is not CopyState.CONFIRMED

    def test_other_calls_altogether(self, tmp_path: Path) -> None:
        found = verdict(copy(tmp_path, "a", CALL), copy(tmp_path, "b", [talk(1, 25, at=31), talk(0, 25, at=35)]))
        assert found.state is CopyState.REJECTED

    def test_a_second_of_the_same_is_too_little(self, tmp_path: Path) -> None:
        short = [party[:6400] for party in CALL]
        found = verdict(
            copy(tmp_path, "a", short), copy(tmp_path, "b", [np.concatenate([x, silence(2)]) for x in short])
        )
        assert found.state is not CopyState.CONFIRMED
