"""Find what was sent in what was recorded, sample by sample; knows nothing of how the recorder aligns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.kit.rtp_source import FRAME_OCTETS
from tests.kit.wav import G711Wav

MU_LAW: Final = 7
A_LAW: Final = 6
SILENCE: Final = {MU_LAW: (0xFF, 0x7F), A_LAW: (0xD5, 0x55)}
"""The octets of the smallest amplitude, positive and negative."""
MAX_SKEW: Final = 4000
"""Samples by which one party may begin after the other when both were sent together by a machine that is busy."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One channel against the frames that were sent into it."""

    offset: int
    """Sample at which the first frame that was sent lies."""
    present: NDArray[np.bool_]
    """Per 20 ms since the first frame: whether that frame is at its place; True also where none was sent."""
    stray: int
    """Samples that are neither sent audio nor silence."""

    @property
    def missing(self) -> list[int]:
        """Numbers of the frames that were sent and are not there."""
        return [int(number) for number in np.flatnonzero(~self.present)]

    @property
    def gaps(self) -> int:
        """Unbroken runs of missing frames."""
        edges = np.diff(np.concatenate(([True], self.present)).astype(np.int8))
        return int(np.count_nonzero(edges == -1))


def hear(
    channel: NDArray[np.uint8], sent: Sequence[bytes | None], *, silence: tuple[int, int], within: int = MAX_SKEW
) -> Heard:
    """Compare a channel with what was sent every 20 ms, None where nothing was.

    The place of the whole is decided by the first frame that is found in the channel; every other frame must lie on
    the same grid.
    """
    audio = channel.tobytes()
    offset = _place(audio, sent, within)
    foreign = ~np.isin(channel, silence)
    present = np.ones(len(sent), np.bool_)
    for number, frame in enumerate(sent):
        if frame is None:
            continue
        at = offset + number * FRAME_OCTETS
        present[number] = audio[at : at + FRAME_OCTETS] == frame
        if present[number]:
            foreign[at : at + FRAME_OCTETS] = False
    return Heard(offset, present, int(np.count_nonzero(foreign)))


def _place(audio: bytes, sent: Sequence[bytes | None], within: int) -> int:
    for number, frame in enumerate(sent):
        if frame is None:
            continue
        at = audio.find(frame)
        if at >= 0:
            offset = at - number * FRAME_OCTETS
            assert 0 <= offset <= within, f"frame {number} lies at sample {at}: the whole begins at {offset}"
            return offset
    raise AssertionError(f"none of the {len(sent)} frames that were sent is in the {len(audio)} samples recorded")


def assert_bit_exact(wav: G711Wav, *parties: Sequence[bytes | None], within: int = MAX_SKEW) -> None:
    """Fail unless channel N holds what party N sent, octet by octet, and silence elsewhere."""
    assert wav.sample_rate == 8000
    assert len(wav.channels) >= len(parties)
    silence = SILENCE[wav.format_tag]
    for number, channel in enumerate(wav.channels):
        if number >= len(parties):
            assert np.all(np.isin(channel, silence)), f"channel {number} is not silent"
            continue
        heard = hear(channel, parties[number], silence=silence, within=within)
        assert heard.missing == [], f"channel {number}: frames missing: {heard.missing[:20]} of {len(heard.present)}"
        assert heard.stray == 0, f"channel {number}: {heard.stray} samples that nobody sent"
        last = max(index for index, frame in enumerate(parties[number]) if frame is not None)
        assert channel.size >= heard.offset + (last + 1) * FRAME_OCTETS
