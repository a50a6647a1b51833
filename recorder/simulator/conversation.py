"""The speech that the simulator sends: one minute of two voices, made by `speech/build.sh`, companded once.

Every 20 ms frame of it is different from every other, so that any frame can be told in a recording. Does not know
which call sends what; that is `scenario`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
import numpy.typing as npt
import soundfile

from recorder.simulator.g711 import SAMPLE_RATE, Law, Octets, encode

PARTIES: Final = ("agent", "customer")
"""Who speaks in party 0 and 1; the names of the files in `speech/`."""

FRAME_SAMPLES: Final = 160
"""Samples, and octets, of one packet: 20 ms at 8 kHz."""


@dataclass(frozen=True, slots=True, eq=False)
class Conversation:
    """The companded speech of both parties, endless by repetition."""

    law: Law
    parties: tuple[Octets, ...]
    """One array per party; the first `FRAME_SAMPLES` octets are repeated at the end, so that no frame is cut."""
    samples: int
    """Length of one repetition, in samples."""

    def frames(self, party: int, offsets: npt.NDArray[np.uint32]) -> Octets:
        """Return the 20 ms frames of `party` that begin at these sample offsets; shape (offsets, 160)."""
        frames: Octets = self.parties[party][offsets.astype(np.intp)[:, None] + np.arange(FRAME_SAMPLES)]
        return frames

    @property
    def digest(self) -> str:
        """SHA-256 over all octets, hexadecimal: two journals with equal digests sent the same speech."""
        sha = hashlib.sha256()
        for party in self.parties:
            sha.update(party.tobytes())
        return sha.hexdigest()


@cache
def load_conversation(law: Law) -> Conversation:
    """Read and compand the speech that ships with the simulator."""
    parties = []
    for name in PARTIES:
        with resources.as_file(resources.files(__package__) / "speech" / f"{name}.flac") as path:
            samples, rate = soundfile.read(path, dtype="int16")
        if rate != SAMPLE_RATE or samples.ndim != 1:
            raise RuntimeError(f"speech/{name}.flac is not mono at {SAMPLE_RATE} Hz; rebuild it with speech/build.sh")
        octets = encode(samples, law)
        parties.append(np.concatenate([octets, octets[:FRAME_SAMPLES]]))
    return Conversation(law=law, parties=tuple(parties), samples=min(len(party) for party in parties) - FRAME_SAMPLES)
