"""Copies of one call: are they the same sound, where do they lie on one timeline, and one master out of all of them.

`compare` holds two finished recordings against each other and returns figures; `placement` puts copies on one
timeline; `heal` writes the master; `correspondence` tells where time of one copy lies in another one. `side_by_side`
puts sessions of one recording on one timeline that ran at the same time. Which recordings are compared, and what the
figures mean, is decided by the caller. Works on finished lossless audio and on the knowledge of where it is received
audio; captures are not needed.
"""

from media.healing.comparison import compare
from media.healing.conversion import convert
from media.healing.correspondence import Placement, Stretch, placement_in, placement_of
from media.healing.errors import SoundUnreadable
from media.healing.evidence import Comparison, Method, PartyMatch, Piece
from media.healing.heal import Healing, Taken, heal, shares
from media.healing.placement import Strand, by_audio, by_clock, first_strand
from media.healing.side_by_side import Relation, put_side_by_side
from media.healing.sound import Sound, Voice, open_sound

__all__ = [
    "Comparison",
    "Healing",
    "Method",
    "PartyMatch",
    "Piece",
    "Placement",
    "Relation",
    "Sound",
    "SoundUnreadable",
    "Strand",
    "Stretch",
    "Taken",
    "Voice",
    "by_audio",
    "by_clock",
    "compare",
    "convert",
    "first_strand",
    "heal",
    "open_sound",
    "placement_in",
    "placement_of",
    "put_side_by_side",
    "shares",
]
