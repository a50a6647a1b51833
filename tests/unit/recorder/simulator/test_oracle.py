"""The oracle accepts a perfect recording and notices every fault."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.simulator.audio_file import Encoding, RecordedAudio
from recorder.simulator.g711 import Law
from recorder.simulator.gap_check import DeclaredGap
from recorder.simulator.oracle import Tolerance, Verdict, compare
from recorder.simulator.scenario import Impairments
from tests.unit.recorder.simulator.recordings import Made, make


def judged(made: Made, audio: RecordedAudio | None = None, law: Law = Law.PCMU, **tolerance: object) -> Verdict:
    return compare(
        made.expected,
        law,
        audio or made.audio,
        made.gaps,
        replace(Tolerance(), **tolerance),  # type: ignore[arg-type]
    )


def changed(made: Made) -> RecordedAudio:
    """Return a copy of the recording that a test may spoil."""
    return RecordedAudio(made.audio.encoding, made.audio.sample_rate, made.audio.frames.copy())


def kinds(verdict: Verdict) -> set[str]:
    return {difference.what for difference in verdict.differences}


@pytest.mark.parametrize(
    ("law", "encoding"),
    [
        (Law.PCMU, Encoding.MU_LAW),
        (Law.PCMA, Encoding.A_LAW),
        (Law.PCMU, Encoding.PCM16),
        (Law.PCMA, Encoding.PCM16),
    ],
)
def test_a_perfect_recording_is_equal(law: Law, encoding: Encoding) -> None:
    verdict = judged(make(law=law, encoding=encoding, index=1), law=law)
    assert verdict.differences == ()
    assert (verdict.sent, verdict.recorded) == (100, 100)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    index=st.integers(0, 3),
    impairments=st.builds(Impairments, st.floats(0, 0.4), st.floats(0, 0.3), st.floats(0, 0.3)),
    begin=st.integers(5, 40),
    length=st.integers(0, 20),
)
def test_whatever_the_network_did_a_perfect_recording_is_equal(
    seed: int, index: int, impairments: Impairments, begin: int, length: int
) -> None:
    made = make(
        seed=seed,
        index=index,
        impairments=impairments,
        paused=(begin, begin + length),
    )
    assert judged(made).differences == ()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_altered_sample_is_found(data: st.DataObject) -> None:
    made = make(seed=7, impairments=Impairments(loss=0.1))
    audio = changed(made)
    place = data.draw(st.integers(0, len(audio.frames) - 1))
    party = data.draw(st.integers(0, 1))
    before = int(audio.frames[place, party])
    # The two zeros of mu-law are one silence where silence belongs; everything else must be told apart.
    after = data.draw(st.integers(0, 255).filter(lambda value: value not in {before, 0x7F, 0xFF}))
    audio.frames[place, party] = after
    verdict = judged(made, audio)
    assert any(d.party == party and d.second == pytest.approx(place / 8000, abs=0.02) for d in verdict.differences), (
        verdict.differences
    )


@settings(max_examples=60, deadline=None)
@given(packet=st.integers(0, 49), party=st.integers(0, 1), to=st.integers(0, 49))
def test_any_missing_doubled_or_moved_packet_is_found(packet: int, party: int, to: int) -> None:
    made = make(seed=3)
    audio = changed(made)
    where = int(made.expected.parties[party].places[packet])
    offset = _offset(made, party)
    frame = audio.frames[where + offset : where + offset + 160, party].copy()
    audio.frames[where + offset : where + offset + 160, party] = 0xFF
    verdict = judged(made, audio)
    assert not verdict.equal
    assert verdict.recorded == 99
    if to != packet:
        audio.frames[to * 160 + offset : to * 160 + offset + 160, party] = frame
        moved = judged(made, audio)
        assert moved.recorded == 98
        assert {"missing", "altered"} <= kinds(moved)


def _offset(made: Made, party: int) -> int:
    """Place of a party's packet 0, taken from the journal alone."""
    first = min(p.origin_ns for p in made.expected.parties)
    return round((made.expected.parties[party].origin_ns - first) / 125_000)


@settings(max_examples=30, deadline=None)
@given(shift=st.integers(1, 400), packet=st.integers(1, 49), party=st.integers(0, 1))
def test_audio_that_slips_in_the_middle_is_found(shift: int, packet: int, party: int) -> None:
    made = make(seed=5)
    audio = changed(made)
    at = int(made.expected.parties[party].places[packet]) + _offset(made, party)
    column = audio.frames[:, party].copy()
    audio.frames[at:, party] = 0xFF
    audio.frames[at + shift :, party] = column[at : len(column) - shift]
    assert not judged(made, audio).equal


def test_swapped_parties_are_found() -> None:
    made = make()
    audio = RecordedAudio(made.audio.encoding, 8000, made.audio.frames[:, ::-1].copy())
    verdict = judged(made, audio)
    assert verdict.recorded == 0
    assert {"missing", "unexpected"} <= kinds(verdict)


@pytest.mark.parametrize(("samples", "equal"), [(150, True), (400, False)])
def test_channels_must_run_side_by_side_as_they_were_sent(samples: int, equal: bool) -> None:
    made = make()
    frames = np.full((len(made.audio.frames) + samples, 2), 0xFF, np.uint8)
    frames[: -samples or None, 0] = made.audio.frames[:, 0]
    frames[samples:, 1] = made.audio.frames[:, 1]
    verdict = judged(made, RecordedAudio(Encoding.MU_LAW, 8000, frames))
    assert kinds(verdict) == (set() if equal else {"skew"})
    assert verdict.recorded == 100


def test_silence_before_and_long_after_the_call_is_found() -> None:
    made = make()
    silence = np.full((9000, 2), 0xFF, np.uint8)
    frames = np.concatenate([silence, made.audio.frames.astype(np.uint8), silence])
    verdict = judged(made, RecordedAudio(Encoding.MU_LAW, 8000, frames))
    assert [d.what for d in verdict.differences] == ["position", "position"]
    assert "1125.0 ms before" in str(verdict.differences[0])


def test_a_truncated_recording_is_found() -> None:
    made = make()
    audio = RecordedAudio(Encoding.MU_LAW, 8000, made.audio.frames[:-300].copy())
    verdict = judged(made, audio)
    assert "missing" in kinds(verdict)


def test_an_empty_recording_is_found() -> None:
    made = make()
    verdict = judged(made, RecordedAudio(Encoding.MU_LAW, 8000, np.zeros((0, 2), np.uint8)))
    assert verdict.recorded == 0
    assert [d.detail for d in verdict.differences] == ["none of the 50 packets was found"] * 2


@pytest.mark.parametrize(
    ("audio", "detail"),
    [
        (RecordedAudio(Encoding.MU_LAW, 16000, np.zeros((10, 2), np.uint8)), "16000 Hz instead of 8000 Hz"),
        (RecordedAudio(Encoding.MU_LAW, 8000, np.zeros((10, 1), np.uint8)), "1 channels instead of 2"),
        (RecordedAudio(Encoding.A_LAW, 8000, np.zeros((10, 2), np.uint8)), "stored as A-law, but pcmu was sent"),
    ],
)
def test_an_unfit_format_is_said(audio: RecordedAudio, detail: str) -> None:
    (difference,) = judged(make(), audio).differences
    assert difference.what == "format"
    assert detail in difference.detail


def test_a_difference_says_call_party_second_and_both_values() -> None:
    made = make()
    audio = changed(made)
    audio.frames[1600, 0] ^= 0x10
    (difference,) = judged(made, audio).differences
    text = str(difference)
    assert text.startswith("call 0, party 0 (agent), at 0.200 s: altered: 1 samples in 1 packets from sequence ")
    assert f"found {int(audio.frames[1600, 0]):02x} " in text


def test_an_undeclared_loss_is_found() -> None:
    made = make(seed=2, impairments=Impairments(loss=0.1))
    verdict = compare(made.expected, Law.PCMU, made.audio, made.gaps[1:])
    assert kinds(verdict) == {"gap"}


def test_a_declared_gap_that_is_not_there_is_found() -> None:
    made = make()
    verdict = compare(made.expected, Law.PCMU, made.audio, [DeclaredGap(1, 0.5, 0.2, "lost")])
    assert [str(d) for d in verdict.differences] == [
        "call 0, party 1 (customer), at 0.500 s: gap: declared but not missing: lost, 200.0 ms at 0.500 s"
    ]


def test_a_lost_packet_is_forgiven_only_if_the_test_allows_it_and_the_catalog_says_it() -> None:
    made = make()
    audio = changed(made)
    audio.frames[1600:3200, 0] = 0xFF
    gap = [DeclaredGap(0, 0.2, 0.2, "lost")]
    lenient = Tolerance(declared_loss=True)
    assert compare(made.expected, Law.PCMU, audio, gap, lenient).differences == ()
    assert kinds(compare(made.expected, Law.PCMU, audio, [], lenient)) == {"gap"}
    assert kinds(compare(made.expected, Law.PCMU, audio, gap)) == {"missing"}
