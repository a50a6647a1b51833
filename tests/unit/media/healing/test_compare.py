"""What comparing two copies finds: equal ones, alike ones, and everything that must not look like either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.healing import Comparison, Method, PartyMatch, compare, convert
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import compress
from tests.unit.media.healing.copies import (
    Codes,
    copy,
    drifted,
    linear,
    mulaw,
    music,
    noise,
    random_losses,
    silence,
    talk,
    tone,
)

CALL = [talk(0, 40), talk(1, 40)]


def only(comparison: Comparison) -> tuple[PartyMatch, PartyMatch]:
    left, right = comparison.parties
    return left, right


def test_copies_of_different_encodings_with_nothing_in_common_are_compared_all_the_same(tmp_path: Path) -> None:
    """A session that changes its law is finalised as 16-bit samples; the other copy still is in G.711."""
    comparison = compare(
        copy(tmp_path, "a", [linear(talk(0, 6))], law=None), copy(tmp_path, "b", [talk(1, 6)], law=Law.MULAW)
    )
    assert [match.method for match in comparison.parties] == [Method.NONE]
    assert comparison.parties[0].matched_s == 0


class TestEqual:
    def test_losses_of_either_copy_count_neither_for_nor_against(self, tmp_path: Path) -> None:
        comparison = compare(
            copy(tmp_path, "a", CALL, lost={0: [(5, 7)], 1: [(5, 7)]}),
            copy(tmp_path, "b", CALL, lost={0: [(15, 17)], 1: [(15, 17)]}, start_s=0.03),
        )
        for match in only(comparison):
            assert (match.method, match.score, match.contradicted_s) == (Method.EXACT, 1.0, 0.0)
            assert match.covered_s == match.matched_s == match.telling_s == 36.0
            assert [(piece.start, piece.end, piece.offset) for piece in match.pieces] == [(0, 320_000, 0)]
        assert [(match.party, match.other) for match in comparison.parties] == [(0, 0), (1, 1)]
        assert comparison.overlap_s == 40.0
        assert comparison.clock_offset == pytest.approx(240)
        assert comparison.offset == 0

    def test_parties_in_the_other_order_are_found(self, tmp_path: Path) -> None:
        comparison = compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", CALL[::-1]))
        assert [(match.party, match.other) for match in comparison.parties] == [(0, 1), (1, 0)]
        assert comparison.matched_s == 80.0

    def test_a_copy_that_joined_late_under_a_wrong_clock_is_placed_to_the_sample(self, tmp_path: Path) -> None:
        late = [party[12 * 8000 + 37 :] for party in CALL]
        comparison = compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", late, start_s=32))
        assert [match.offset for match in comparison.parties] == [96_037, 96_037]
        assert comparison.overlap_s == pytest.approx(27.995, abs=0.001)

    def test_heavy_random_loss_on_both_hides_nothing(self, tmp_path: Path) -> None:
        lost = [{party: random_losses(40, 0.6, seed + party) for party in (0, 1)} for seed in (10, 20)]
        comparison = compare(copy(tmp_path, "a", CALL, lost=lost[0]), copy(tmp_path, "b", CALL, lost=lost[1]))
        for match in only(comparison):
            assert (match.method, match.contradicted_s, match.offset) == (Method.EXACT, 0.0, 0)
            assert match.matched_s == match.covered_s > 4

    def test_a_failover_inside_a_copy_gives_it_two_offsets(self, tmp_path: Path) -> None:
        resumed = [np.concatenate([party[:160_000], party[160_037:]]) for party in CALL]
        gap = {0: [(19.0, 21.0)], 1: [(19.5, 20.5)]}
        comparison = compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", resumed, lost=gap))
        for match, border in zip(only(comparison), (21.0, 20.5), strict=True):
            assert [(piece.start, piece.end, piece.offset) for piece in match.pieces] == [
                (0, border * 8000, 0),
                (border * 8000, 319_963, 37),
            ]
            assert match.contradicted_s <= 0.02  # the block that the border cuts

    def test_a_buffer_that_repeated_samples_is_followed(self, tmp_path: Path) -> None:
        slipped = [np.concatenate([party[:160_080], party[160_000:]]) for party in CALL]
        comparison = compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", slipped))
        for match in only(comparison):
            assert [piece.offset for piece in match.pieces] == [0, -80]
            assert match.contradicted_s <= 0.04

    def test_codes_of_the_least_noise_tell_as_well_as_speech(self, tmp_path: Path) -> None:
        hiss = [noise(20, seed=1), noise(20, seed=2)]
        comparison = compare(copy(tmp_path, "a", hiss), copy(tmp_path, "b", [party[800:] for party in hiss]))
        assert [match.offset for match in comparison.parties] == [800, 800]
        assert comparison.telling_s > 39


class TestAlike:
    def test_another_companding_law(self, tmp_path: Path) -> None:
        other = copy(tmp_path, "b", [compress(linear(party), Law.ALAW)[4000:] for party in CALL], law=Law.ALAW)
        comparison = compare(
            convert(copy(tmp_path, "a", CALL), 8000, tmp_path / "a16.wav"),
            convert(other, 8000, tmp_path / "b16.wav"),
        )
        for match in only(comparison):
            assert (match.method, match.offset, match.contradicted_s) == (Method.CORRELATED, 4000, 0.0)
            assert match.score > 0.99
            assert all(piece.constant for piece in match.pieces)

    def test_another_level_and_noise(self, tmp_path: Path) -> None:
        generator = np.random.default_rng(3)
        noisy = [mulaw(linear(party) * 0.5 + generator.normal(0, 100, len(party))) for party in CALL]
        comparison = compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", noisy, start_s=0.5))
        for match in only(comparison):
            assert (match.method, match.offset, match.contradicted_s) == (Method.CORRELATED, 0, 0.0)
            assert 0.9 < match.score < 1.0

    @pytest.mark.parametrize("ppm", [100.0, -150.0])
    def test_a_clock_that_drifts_is_measured(self, tmp_path: Path, ppm: float) -> None:
        slower = [mulaw(drifted(linear(party), ppm)) for party in CALL]
        comparison = compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", slower))
        for match in only(comparison):
            assert match.drift_ppm == pytest.approx(ppm, abs=8)
            (piece,) = match.pieces
            assert piece.offset == pytest.approx(0, abs=1.5)
            assert piece.end + piece.end_offset == pytest.approx(320_000, abs=1.5)

    def test_a_failover_inside_a_transcoded_copy(self, tmp_path: Path) -> None:
        resumed = [mulaw(0.7 * linear(np.concatenate([party[:160_000], party[162_400:]]))) for party in CALL]
        gap = {0: [(19.8, 20.2)], 1: [(19.8, 20.2)]}
        comparison = compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", resumed, lost=gap))
        for match in only(comparison):
            assert [piece.offset for piece in match.pieces] == [0, 2400]
            assert 19.8 * 8000 <= match.pieces[0].end <= 20.2 * 8000

    def test_the_other_party_alone_may_be_transcoded(self, tmp_path: Path) -> None:
        other = [CALL[0], mulaw(linear(CALL[1]) * 0.4)]
        left, right = only(compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", other)))
        assert (left.method, right.method) == (Method.EXACT, Method.CORRELATED)
        assert right.offset == 0


class TestDifferent:
    """Two recordings that are not of one call: whatever they have in common must stay without proof or contradicted."""

    def test_silence_proves_nothing(self, tmp_path: Path) -> None:
        nobody = [silence(30), silence(30)]
        comparison = compare(copy(tmp_path, "a", nobody), copy(tmp_path, "b", nobody))
        assert (comparison.telling_s, comparison.matched_s, comparison.contradicted_s) == (0, 0, 0)
        assert [match.covered_s for match in comparison.parties] == [30.0, 30.0]

    def test_ringing_proves_nothing(self, tmp_path: Path) -> None:
        ringing = [tone(30), silence(30)]
        comparison = compare(copy(tmp_path, "a", ringing), copy(tmp_path, "b", ringing))
        assert comparison.telling_s == 0
        assert comparison.contradicted_s == 0

    def test_the_hiss_of_two_lines_proves_nothing(self, tmp_path: Path) -> None:
        comparison = compare(
            copy(tmp_path, "a", [noise(30, seed=1), noise(30, seed=2)]),
            copy(tmp_path, "b", [noise(30, seed=3), noise(30, seed=4)]),
        )
        assert comparison.telling_s == 0

    def test_other_words_contradict(self, tmp_path: Path) -> None:
        comparison = compare(
            copy(tmp_path, "a", [talk(0, 25), talk(1, 25)]),
            copy(tmp_path, "b", [talk(1, 25, at=30), talk(0, 25, at=30)]),
        )
        assert comparison.telling_s == 0
        assert comparison.contradicted_s > 10

    def test_hold_music_in_both_leaves_the_other_party_contradicting(self, tmp_path: Path) -> None:
        comparison = compare(
            copy(tmp_path, "a", [music(30, loop_s=60), talk(1, 30)]),
            copy(tmp_path, "b", [music(30, loop_s=60, at=2.2), talk(1, 30, at=31)]),
        )
        left, right = only(comparison)
        assert left.offset == 2.2 * 8000
        assert (right.method, right.telling_s) == (Method.NONE, 0)
        assert right.contradicted_s > 10

    def test_music_that_loops_tells_less_than_its_length(self, tmp_path: Path) -> None:
        comparison = compare(
            copy(tmp_path, "a", [music(30), silence(30)]), copy(tmp_path, "b", [music(30), silence(30)])
        )
        left, right = only(comparison)
        assert left.method is not Method.EXACT
        assert right.telling_s == 0

    def test_the_same_announcement_and_then_other_words_contradict(self, tmp_path: Path) -> None:
        def call(at: float) -> list[Codes]:
            return [np.concatenate([talk(0, 20), talk(0, 15, at=at)]), talk(1, 35, at=at)]

        comparison = compare(copy(tmp_path, "a", call(22)), copy(tmp_path, "b", call(41), start_s=1.2))
        left, right = only(comparison)
        assert left.telling_s == 20.0
        assert left.contradicted_s > 5
        assert right.contradicted_s > 10
        assert right.telling_s == 0

    def test_an_agent_heard_in_both_does_not_make_the_customer_the_same(self, tmp_path: Path) -> None:
        """A consultation, or a conference of which each recording has its own far side."""
        comparison = compare(
            copy(tmp_path, "a", [talk(0, 40), talk(1, 40)]), copy(tmp_path, "b", [talk(0, 40), talk(1, 40, at=23)])
        )
        left, right = only(comparison)
        assert left.telling_s == 40.0
        assert right.telling_s == 0
        assert right.contradicted_s > 10

    def test_the_same_words_at_another_time_are_not_taken_for_both_parties(self, tmp_path: Path) -> None:
        comparison = compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", [talk(0, 40, at=9), talk(1, 40, at=27)]))
        assert sum(match.telling_s > 0 for match in comparison.parties) == 1
        assert comparison.contradicted_s > 10

    def test_a_party_that_only_one_of_them_has_is_named(self, tmp_path: Path) -> None:
        """Recordings of one party each: one of both, the other of the first alone."""
        comparison = compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", CALL[:1]))
        assert list(comparison.lone) == [1]
        assert list(comparison.other_lone) == []
        reverse = compare(copy(tmp_path, "b", CALL[1:]), copy(tmp_path, "a", CALL))
        assert list(reverse.other_lone) == [0]

    def test_recordings_one_after_the_other_do_not_overlap(self, tmp_path: Path) -> None:
        comparison = compare(copy(tmp_path, "a", CALL), copy(tmp_path, "b", [talk(0, 9), talk(1, 9)], start_s=75))
        assert comparison.overlap_s == 0
        assert comparison.telling_s == 0
