"""Senders that are late: what their RTP timestamps say holds, wherever anything proves that their clock went on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from media.container import Streams
from media.pipeline import GapCause, GapKind, Rendering, render
from tests.unit.media.pipeline.recordings import CaptureFile, Rtp, at, sender_report, sound, stream, talk, wav_channels

SECOND = 8000
SEQUENCE, TIMESTAMP = 65_400, 2**32 - 70_000
"""Both wrap on the way."""
SSRC = 0x2000


def report(party: int, arrival_ms: float, media_ms: float, *, ntp_ms: float | None = None) -> tuple[int, float, bytes]:
    """A sender report whose timestamp is `media_ms` after the first packet's; sent at `ntp_ms`, else on its arrival."""
    sent_ms = arrival_ms if ntp_ms is None else ntp_ms
    return party, arrival_ms, sender_report(SSRC + party, sent_ms, TIMESTAMP + round(media_ms * 8), b"%d" % party)


def reports(
    party: int, until_ms: float, media_ms: Callable[[float], float] = lambda at_ms: at_ms
) -> list[tuple[int, float, bytes]]:
    """One report after a second and every five seconds from then on; `media_ms` is the media clock at a time."""
    return [report(party, float(at_ms), media_ms(at_ms)) for at_ms in range(1000, round(until_ms), 5000)]


def spoken(party: int, seconds: float, late_ms: Callable[[int], float] = lambda number: 0) -> tuple[bytes, list[Rtp]]:
    """Audio of a party, and its packets, each so late as `late_ms` says of its number."""
    audio = sound(round(seconds * SECOND), party + 1)
    packets = talk(audio, sequence=SEQUENCE, timestamp=TIMESTAMP, ssrc=SSRC + party, stream=party)
    return audio, [replace(p, arrival_ms=p.arrival_ms + late_ms(number)) for number, p in enumerate(packets)]


def rendered(folder: Path, *captures: CaptureFile) -> Rendering:
    return render([capture.write(folder) for capture in captures], folder / "out.wav")


def channels(folder: Path) -> list[bytes]:
    return [channel.tobytes() for channel in wav_channels(folder / "out.wav")]


def stepped(*steps: tuple[int, float]) -> Callable[[int], float]:
    """How late, ms, from which packet on."""
    return lambda number: max((late for first, late in ((0, 0.0), *steps) if number >= first), default=0.0)


@pytest.mark.parametrize(
    "late_ms",
    [
        stepped((150, 7600)),
        stepped((20, 700), (60, 1400), (100, 3100), (220, 5200), (320, 7600)),
        lambda number: 900 + stepped((30, 2000), (150, 7600))(number),
    ],
    ids=["once", "again and again", "from its beginning"],
)
def test_a_sender_that_stays_late_stands_where_its_timestamps_say(
    tmp_path: Path, late_ms: Callable[[int], float]
) -> None:
    """A client's sender that a busy machine keeps from its work; its reports tell its clock."""
    heard = [spoken(party, 7, late_ms) for party in (0, 1)]
    rendering = rendered(
        tmp_path,
        CaptureFile(
            packets=[packet for _, packets in heard for packet in packets],
            rtcp=[one for party in (0, 1) for one in reports(party, 16_000)],
        ),
    )
    assert channels(tmp_path) == [audio for audio, _ in heard]
    assert not rendering.gaps
    assert [quality.restarts for quality in rendering.streams] == [0, 0]


def test_a_sender_that_catches_up_until_it_ends_stands_where_its_timestamps_say(tmp_path: Path) -> None:
    """Without any report: nobody can say faster what has not been said."""
    audio, packets = spoken(0, 7)
    packets[100:] = [replace(p, arrival_ms=14_600 + number / 10) for number, p in enumerate(packets[100:])]
    rendering = rendered(tmp_path, CaptureFile(packets=packets))
    assert channels(tmp_path)[0] == audio
    assert not [gap for gap in rendering.gaps if gap.party == 0]


def test_a_writer_that_begins_while_the_sender_is_late_is_joined_to_the_sample(tmp_path: Path) -> None:
    heard = [spoken(party, 9, stepped((100, 7600))) for party in (0, 1)]
    both = [packets for _, packets in heard]
    said = [one for party in (0, 1) for one in reports(party, 18_000)]
    rendered(
        tmp_path,
        CaptureFile(packets=[p for packets in both for p in packets[:260]], rtcp=said[::2], end=None),
        CaptureFile(
            packets=[p for packets in both for p in packets[240:]],
            rtcp=said[1::2],
            session="2" * 32,
            writer="writer-2",
            opened_ms=both[0][240].arrival_ms - 50,
        ),
    )
    assert channels(tmp_path) == [audio for audio, _ in heard]


def test_a_party_that_is_late_most_of_the_time_keeps_its_distance_to_the_other(tmp_path: Path) -> None:
    """What is late says nothing about where the party begins, nor about the speed of its clock."""
    (left, on_time), (right, late) = spoken(0, 180), spoken(1, 180, stepped((1500, 3000)))
    said = reports(0, 185_000) + reports(1, 185_000)
    rendering = rendered(tmp_path, CaptureFile(packets=[*on_time, *late], rtcp=said))
    assert channels(tmp_path) == [left, right]
    assert not rendering.warnings


@pytest.mark.parametrize(
    ("report_of", "apart_ms"),
    [(lambda _: 0, 0), (lambda party: 700 * party, 45), (lambda _: -3000, 45)],
    ids=["both", "not alike", "not at all"],
)
def test_parties_that_were_late_from_their_beginning_stand_as_their_reports_came(
    tmp_path: Path, report_of: Callable[[int], float], apart_ms: int
) -> None:
    """They began together, and the first packets of one came 45 ms later than those of the other: by chance.

    Args:
        tmp_path: for files.
        report_of: by how much each party's reports are ahead of what they should say, ms.
        apart_ms: how far apart they are placed.

    """
    heard = [spoken(party, 12, lambda number, party=party: 3000 + 45 * party) for party in (0, 1)]  # type: ignore[misc]
    rendered(
        tmp_path,
        CaptureFile(
            packets=[packet for _, packets in heard for packet in packets],
            rtcp=[
                report(party, at_ms, at_ms - 20 + report_of(party))
                for party in (0, 1)
                for at_ms in (4000, 9000, 14_000)
            ],
        ),
    )
    left, right = channels(tmp_path)
    assert right.index(heard[1][0]) - left.index(heard[0][0]) == apart_ms * 8


def test_a_way_that_became_longer_is_told_from_a_clock_that_stood_still(tmp_path: Path) -> None:
    """Packets and reports are late alike; the sender's own clock says that it went on."""
    audio, packets = spoken(0, 20, stepped((400, 3000)))
    said = [
        report(0, sent_ms + (3000 if sent_ms >= 8000 else 0), sent_ms, ntp_ms=sent_ms)
        for sent_ms in range(1000, 20_000, 5000)
    ]
    rendered(tmp_path, CaptureFile(packets=packets, rtcp=said))
    assert channels(tmp_path)[0] == audio


def test_a_clock_that_stood_still_by_its_own_word_stands_where_it_arrives(tmp_path: Path) -> None:
    """Held by the sender, for three seconds: silence, as it was."""
    audio, packets = spoken(0, 20, stepped((400, 3000)))
    said = reports(0, 23_000, lambda at_ms: at_ms if at_ms < 8000 else max(8000, at_ms - 3000))
    rendering = rendered(tmp_path, CaptureFile(packets=packets, rtcp=said))
    heard = channels(tmp_path)[0]
    assert (heard[: 8 * SECOND], heard[11 * SECOND :]) == (audio[: 8 * SECOND], audio[8 * SECOND :])
    assert [(gap.start_frame, gap.frames, gap.kind) for gap in rendering.gaps if gap.party == 0] == [
        (8 * SECOND, 3 * SECOND, GapKind.SILENT)
    ]


@pytest.mark.parametrize("late_from", [100, 250, 349], ids=["all of it", "its end", "its last packet"])
def test_a_pause_of_a_late_sender_stands_where_its_packets_are_missing(tmp_path: Path, late_from: int) -> None:
    """What the recorder refused from 9 s to 12 s was spoken five seconds earlier, as far as it was late."""
    heard = [spoken(party, 14, stepped((late_from, 5000))) for party in (0, 1)]
    paused, table = [stream(0, recording=False), stream(1, recording=False)], [stream(0), stream(1)]
    rendering = rendered(
        tmp_path,
        CaptureFile(
            packets=[p for _, packets in heard for p in packets if not 9000 <= p.arrival_ms < 12_000],
            rtcp=[one for party in (0, 1) for one in reports(party, 20_000)],
            events=[
                Streams(at_ns=at(9000), cause="pause", streams=paused),
                Streams(at_ns=at(12_000), cause="resume", streams=table),
            ],
        ),
    )
    start, end = max(200, late_from) * 160, 7 * SECOND
    for party, (audio, _) in enumerate(heard):
        assert channels(tmp_path)[party] == audio[:start] + b"\xff" * (end - start) + audio[end:]
        assert [(g.start_frame, g.frames, g.cause) for g in rendering.gaps if g.party == party] == [
            (start, end - start, GapCause.PAUSED)
        ]


def test_a_loss_of_a_late_sender_is_no_pause_that_it_was_recorded_beside(tmp_path: Path) -> None:
    """It falls into the pause by the time line's clock, and was sent after it."""
    packets = spoken(0, 14, stepped((100, 5000)))[1]
    received = [p for p in packets if not 9000 <= p.arrival_ms < 12_000]
    lost = next(number for number, p in enumerate(received) if p.timestamp == TIMESTAMP + 10 * SECOND)
    rendering = rendered(
        tmp_path,
        CaptureFile(
            packets=received[:lost] + received[lost + 5 :],
            rtcp=reports(0, 20_000),
            streams=[stream(0)],
            events=[
                Streams(at_ns=at(9000), cause="pause", streams=[stream(0, recording=False)]),
                Streams(at_ns=at(12_000), cause="resume", streams=[stream(0)]),
            ],
        ),
    )
    assert [(gap.start_frame, gap.frames, gap.cause) for gap in rendering.gaps] == [
        (4 * SECOND, 3 * SECOND, GapCause.PAUSED),
        (10 * SECOND, 800, GapCause.NETWORK),
    ]
