"""The E-model against figures that can be worked out by hand from G.107 and G.113."""

from __future__ import annotations

import pytest

from media.pipeline.mos import mean_opinion_score


def test_g711_without_loss_has_the_rating_of_the_default_parameters() -> None:
    # R = 93.2 gives 4.41 (G.107 annex B).
    assert mean_opinion_score("pcmu", received=3000, lost=0, bursts=0) == 4.41


def test_g729_starts_lower() -> None:
    # R = 93.2 - 11.
    assert mean_opinion_score("G729", received=3000, lost=0, bursts=0) == 4.1


@pytest.mark.parametrize(
    ("lost", "bursts", "expected"),
    [
        # Ppl 1 %, one at a time: Ie,eff = 95 * 1 / (1 + 4.3) = 17.92, R = 75.28.
        (30, 30, 3.84),
        # The same packets in bursts of 10: BurstR 9.9, Ie,eff = 95 / (1 / 9.9 + 4.3) = 21.59, R = 71.61.
        (30, 3, 3.67),
    ],
)
def test_loss_costs_and_bursts_cost_more(lost: int, bursts: int, expected: float) -> None:
    assert mean_opinion_score("PCMA", received=3000 - lost, lost=lost, bursts=bursts) == pytest.approx(
        expected, abs=0.02
    )


def test_it_falls_with_loss_and_never_below_one() -> None:
    scores = [mean_opinion_score("PCMU", received=1000 - lost, lost=lost, bursts=lost) for lost in range(0, 1000, 50)]
    assert all(score is not None for score in scores)
    found = [score for score in scores if score is not None]
    assert found == sorted(found, reverse=True)
    assert found[-1] >= 1.0


@pytest.mark.parametrize("codec", ["opus", "G722", "L16", "unheard-of"])
def test_a_codec_without_published_figures_has_no_estimate(codec: str) -> None:
    assert mean_opinion_score(codec, received=1000, lost=0, bursts=0) is None


def test_nothing_received_and_nothing_lost_has_no_estimate() -> None:
    assert mean_opinion_score("PCMU", received=0, lost=0, bursts=0) is None
