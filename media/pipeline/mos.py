"""Estimated quality of a stream as heard, by the E-model: ITU-T G.107 with the parameters of G.113 appendix I. Pure.

Only what a recorder can know goes in: the codec and its packet loss. Delay and echo are those of the call and not to be
seen here; what conceals lost packets is the listener's, so the codecs' own figures without concealment count for G.711.
"""

from __future__ import annotations

from typing import Final, NamedTuple

BASIC_QUALITY: Final = 93.2
"""Transmission rating R with all other parameters at their defaults (G.107 §7.7)."""


class Impairment(NamedTuple):
    """What a codec costs, and how well it bears loss (G.113 tables I.1 and I.4)."""

    equipment: float
    """Ie."""
    robustness: float
    """Bpl."""


CODECS: Final = {
    "PCMU": Impairment(0.0, 4.3),
    "PCMA": Impairment(0.0, 4.3),
    "G729": Impairment(11.0, 19.0),
    "G723": Impairment(15.0, 16.1),
    "GSM-EFR": Impairment(5.0, 10.0),
}
"""By encoding name. Codecs without published figures, and wideband ones, which G.107.1 measures on another scale, get
no estimate rather than a wrong one."""


def mean_opinion_score(codec: str, *, received: int, lost: int, bursts: int) -> float | None:
    """Return the estimated MOS, 1 to 4.5; None for a codec without published figures or a stream without packets.

    Args:
        codec: encoding name, any case.
        received: packets, duplicates left out.
        lost: packets.
        bursts: runs of lost packets that followed one another.

    """
    impairment = CODECS.get(codec.upper())
    expected = received + lost
    if impairment is None or expected <= 0:
        return None
    share = lost / expected
    # G.107 §7.6: how much longer bursts are than the same loss by chance would make them.
    burst_ratio = max((lost / bursts) * (1 - share), 1.0) if bursts and share < 1 else 1.0
    percent = 100 * share
    effective = impairment.equipment + (95 - impairment.equipment) * percent / (
        percent / burst_ratio + impairment.robustness
    )
    rating = min(max(BASIC_QUALITY - effective, 0.0), 100.0)
    # G.107 annex B; the polynomial falls below 1 near R = 0.
    return round(max(1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6, 1.0), 2)
