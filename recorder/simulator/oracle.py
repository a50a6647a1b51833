"""Compares a recording with what was sent, sample by sample, and says where they differ.

Pure. Every packet that counts must stand unaltered at the place its RTP timestamp gives it, everything else must be
silence, the two channels must be aligned, and the catalog must declare each missing interval within 20 ms. Does not
fetch anything; that is `verification`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from recorder.simulator.audio_file import Encoding, RecordedAudio
from recorder.simulator.conversation import FRAME_SAMPLES, PARTIES
from recorder.simulator.expectation import NS_PER_SAMPLE, ExpectedCall, ExpectedParty
from recorder.simulator.g711 import SAMPLE_RATE, Law, Octets, Samples, decode
from recorder.simulator.gap_check import DeclaredGap, GapFault, check_gaps

_ANCHORS: Final = 9
"""Packets that are searched for to find where a channel begins; a majority of them decides."""
_LARGEST_SILENCE: Final = 8
"""Linear amplitude that still counts as silence: what A-law silence decodes to."""
_SILENCE: Final = {Encoding.MU_LAW: Law.PCMU.silence, Encoding.A_LAW: Law.PCMA.silence}
_SHOWN: Final = 8
"""Samples shown of an expected and a found interval."""

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How exact a recording must be beside the audio itself, which must be equal."""

    skew_s: float = 0.02
    """Between the two channels, against the times of sending."""
    gap_s: float = 0.02
    """Of the edges of declared gaps."""
    lead_s: float = 0.02
    """Silence before the first sample of the earliest stream."""
    tail_s: float = 1.0
    """Silence behind the last sample."""
    declared_loss: bool = False
    """True: a packet may be missing if the catalog declares the gap (a writer host was killed)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a recording is not what was sent."""

    call: int
    party: int | None
    second: float | None
    """Seconds from the start of the recording."""
    what: str
    """missing, altered, unexpected, skew, gap, format, catalog or position."""
    detail: str

    def __str__(self) -> str:
        where = f"call {self.call}"
        if self.party is not None:
            where += f", party {self.party} ({PARTIES[self.party]})"
        if self.second is not None:
            where += f", at {self.second:.3f} s"
        return f"{where}: {self.what}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one call."""

    call: int
    record_identifier: str
    sent: int
    """Packets that had to be recorded."""
    recorded: int
    """Of these, packets found unaltered at their place."""
    differences: tuple[Difference, ...]
    healed: bool = False
    """It is of the master that copies of the call were healed to."""

    @property
    def equal(self) -> bool:
        """True when the recording is what was sent."""
        return not self.differences


@dataclass(slots=True, eq=False)
class _Channel:
    """One channel of the recording, held against one party."""

    party: ExpectedParty
    law: Law
    samples: Octets | Samples
    silent: Mask
    """Per sample of the recording."""
    offset: int = 0
    """Place in the recording of the party's place 0; meaningless unless `located`."""
    located: bool = False
    present: Mask = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Per packet of the party: found unaltered."""
    occupied: Mask = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Per packet of the party: something sounds at its place, be it altered."""


def compare(
    expected: ExpectedCall,
    law: Law,
    recorded: RecordedAudio,
    gaps: Sequence[DeclaredGap],
    tolerance: Tolerance = Tolerance(),
) -> Verdict:
    """Hold one recording against what was sent."""
    call = expected.facts.call
    sent = sum(int(party.certain.sum()) for party in expected.parties)

    def verdict(found: int, differences: list[Difference]) -> Verdict:
        return Verdict(call, expected.facts.record_identifier, sent, found, tuple(differences))

    unfit = _format_fault(recorded, law, len(expected.parties))
    if unfit:
        return verdict(0, [Difference(call, None, None, "format", unfit)])
    differences: list[Difference] = []
    channels = []
    for number, party in enumerate(expected.parties):
        samples = recorded.frames[:, number].copy()
        channel = _Channel(party, law, samples, _silent(samples, recorded.encoding))
        channels.append(channel)
        differences += _compare_channel(call, channel, tolerance)
        differences += _compare_gaps(call, channel, [gap for gap in gaps if gap.party == party.party], tolerance)
    differences += _check_positions(call, channels, tolerance)
    return verdict(sum(int((channel.present & channel.party.certain).sum()) for channel in channels), differences)


def _format_fault(recorded: RecordedAudio, law: Law, parties: int) -> str:
    if recorded.sample_rate != SAMPLE_RATE:
        return f"{recorded.sample_rate} Hz instead of {SAMPLE_RATE} Hz"
    if recorded.frames.shape[1] != parties:
        return f"{recorded.frames.shape[1]} channels instead of {parties}"
    lossless = {Encoding.PCM16, Encoding.MU_LAW if law is Law.PCMU else Encoding.A_LAW}
    if recorded.encoding not in lossless:
        return f"stored as {recorded.encoding}, but {law} was sent: the octets were converted"
    return ""


def _silent(samples: Octets | Samples, encoding: Encoding) -> Mask:
    if encoding is Encoding.PCM16:
        return np.abs(samples.astype(np.int32)) <= _LARGEST_SILENCE
    table = np.zeros(256, np.bool_)
    table[list(_SILENCE[encoding])] = True
    return table[samples]


def _compare_channel(call: int, channel: _Channel, tolerance: Tolerance) -> list[Difference]:
    """Find the party in the channel, then check every packet and everything between them."""
    party, samples = channel.party, channel.samples
    wanted = party.payloads if samples.dtype == np.uint8 else decode(party.payloads, channel.law)
    offset = _locate(samples, party.places, wanted)
    channel.located = offset is not None
    channel.offset = offset or 0
    channel.present = channel.occupied = np.zeros(len(party.places), np.bool_)
    covered = np.zeros(len(samples), np.bool_)
    differences = []
    if channel.located:
        starts = party.places + channel.offset
        inside = (starts >= 0) & (starts + FRAME_SAMPLES <= len(samples))
        index = starts[inside, None] + np.arange(FRAME_SAMPLES)
        channel.present[inside] = (samples[index] == wanted[inside]).all(axis=1)
        channel.occupied = channel.present.copy()
        channel.occupied[inside] |= ~channel.silent[index].all(axis=1)
        covered[index[channel.occupied[inside]]] = True
        differences += _altered(call, channel, wanted, channel.occupied & ~channel.present)
        if not tolerance.declared_loss:
            differences += _missing(call, channel, ~channel.occupied & party.certain)
    elif party.certain.any():
        differences.append(
            Difference(call, party.party, None, "missing", f"none of the {int(party.certain.sum())} packets was found")
        )
    return differences + _unexpected(call, channel, covered)


def _locate(samples: Octets | Samples, places: Places, wanted: Octets | Samples) -> int | None:
    """Return where place 0 stands in the channel, by the vote of packets spread over the call; None if unfound."""
    content = samples.tobytes()
    width = samples.itemsize
    votes: Counter[int] = Counter()
    for packet in np.unique(np.linspace(0, len(places) - 1, _ANCHORS).astype(int)) if len(places) else ():
        payload = wanted[packet].tobytes()
        found = content.find(payload)
        while found >= 0:
            if found % width == 0:
                votes[found // width - int(places[packet])] += 1
            found = content.find(payload, found + 1)
    if not votes:
        return None
    return max(votes, key=lambda offset: (votes[offset], -abs(offset)))


def _missing(call: int, channel: _Channel, missing: Mask) -> list[Difference]:
    return [
        Difference(
            call,
            channel.party.party,
            (start + channel.offset) / SAMPLE_RATE,
            "missing",
            f"{count} packets ({count * FRAME_SAMPLES} samples) from sequence {sequence}:"
            " expected speech, found silence",
        )
        for start, count, sequence in _packet_runs(channel.party, missing)
    ]


def _altered(call: int, channel: _Channel, wanted: Octets | Samples, altered: Mask) -> list[Difference]:
    differences = []
    for start, count, sequence in _packet_runs(channel.party, altered):
        first = int(np.searchsorted(channel.party.places, start))
        at = start + channel.offset
        sent = wanted[first : first + count].ravel()
        found = channel.samples[at : at + len(sent)]
        unequal = np.flatnonzero(sent != found)
        begin = int(unequal[0])
        differences.append(
            Difference(
                call,
                channel.party.party,
                (at + begin) / SAMPLE_RATE,
                "altered",
                f"{len(unequal)} samples in {count} packets from sequence {sequence}:"
                f" expected {_show(sent[begin:])}, found {_show(found[begin:])}",
            )
        )
    return differences


def _unexpected(call: int, channel: _Channel, covered: Mask) -> list[Difference]:
    """Report sound where silence belongs; sounds less than a packet apart are one."""
    noisy = np.flatnonzero(~covered & ~channel.silent)
    if not len(noisy):
        return []
    breaks = np.flatnonzero(np.diff(noisy) > FRAME_SAMPLES) + 1
    return [
        Difference(
            call,
            channel.party.party,
            int(run[0]) / SAMPLE_RATE,
            "unexpected",
            f"{len(run)} samples within {int(run[-1] - run[0]) + 1}: expected silence,"
            f" found {_show(channel.samples[run[0] :])}",
        )
        for run in np.split(noisy, breaks)
    ]


def _packet_runs(party: ExpectedParty, chosen: Mask) -> list[tuple[int, int, int]]:
    """Group packets that follow each other without a hole: (place, packets, first sequence number)."""
    index = np.flatnonzero(chosen)
    if not len(index):
        return []
    breaks = np.flatnonzero(np.diff(party.places[index]) != FRAME_SAMPLES) + 1
    return [(int(party.places[run[0]]), len(run), int(party.sequences[run[0]])) for run in np.split(index, breaks)]


def _show(samples: Octets | Samples) -> str:
    head = samples[:_SHOWN]
    if head.dtype == np.uint8:
        return head.tobytes().hex(" ")
    return " ".join(str(int(sample)) for sample in head)


def _compare_gaps(
    call: int, channel: _Channel, declared: Sequence[DeclaredGap], tolerance: Tolerance
) -> list[Difference]:
    if not channel.located:
        return []
    party = channel.party
    faults: list[GapFault] = check_gaps(
        present=party.places[channel.occupied] + channel.offset,
        paused=[(begin + channel.offset, end + channel.offset) for begin, end in party.paused],
        doubtful=party.places[~party.certain] + channel.offset,
        declared=declared,
        tolerance=round(tolerance.gap_s * SAMPLE_RATE),
    )
    return [Difference(call, party.party, fault.second, "gap", fault.detail) for fault in faults]


def _check_positions(call: int, channels: Sequence[_Channel], tolerance: Tolerance) -> list[Difference]:
    """Check where the recording begins and ends, and that its channels run side by side as they were sent."""
    located = [channel for channel in channels if channel.located]
    if not located:
        return []
    differences = []
    lead = min(int(c.party.places[c.present][0]) + c.offset for c in located if c.present.any())
    if lead > tolerance.lead_s * SAMPLE_RATE:
        differences.append(
            Difference(call, None, 0.0, "position", f"{lead / SAMPLE_RATE * 1000:.1f} ms before the first sent sample")
        )
    end = max(c.party.length + c.offset for c in located)
    tail = len(located[0].samples) - end
    if tail > tolerance.tail_s * SAMPLE_RATE:
        differences.append(
            Difference(
                call, None, end / SAMPLE_RATE, "position", f"goes on for {tail / SAMPLE_RATE:.3f} s after the call"
            )
        )
    for channel in located[1:]:
        sent = (channel.party.origin_ns - located[0].party.origin_ns) / NS_PER_SAMPLE
        skew = (channel.offset - located[0].offset - sent) / SAMPLE_RATE
        if abs(skew) > tolerance.skew_s:
            differences.append(
                Difference(
                    call,
                    channel.party.party,
                    None,
                    "skew",
                    f"{skew * 1000:+.1f} ms against party {located[0].party.party}, compared with the times of sending",
                )
            )
    return differences
