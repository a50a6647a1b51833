"""Every second without audio is declared, with its cause."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from media.container import Codec, Drops, Streams, Unauthentic
from media.pipeline import GapKind, Rendering, render
from tests.unit.media.pipeline.recordings import (
    AUDIO_TYPES,
    CaptureFile,
    Rtp,
    at,
    sound,
    stream,
    talk,
    wav_channels,
)

SECOND = 8000


def rendered(folder: Path, *captures: CaptureFile) -> Rendering:
    return render([capture.write(folder) for capture in captures], folder / "out.wav")


def left(folder: Path, channels: int = 2) -> bytes:
    return wav_channels(folder / "out.wav", channels)[0].tobytes()


def gaps(rendering: Rendering, party: int = 0) -> list[tuple[int, int, str, str]]:
    return [
        (gap.start_frame, gap.frames, str(gap.kind), str(gap.cause)) for gap in rendering.gaps if gap.party == party
    ]


def both(packets: list[Rtp], seconds: float = 4.0) -> list[Rtp]:
    """Give party 1 gapless audio, so that the timeline is known."""
    return packets + talk(sound(int(seconds * SECOND), 9), ssrc=0x2000, stream=1)


def event_packets(sequence: int, timestamp: int, start_ms: float, *, digit: int = 5, updates: int = 5) -> list[Rtp]:
    """One DTMF digit of `updates` times 20 ms, its end sent three times (RFC 4733 §2.5.1.4)."""
    packets = []
    for number in range(updates + 2):
        duration = min(number + 1, updates) * 160
        ended = number >= updates - 1
        payload = struct.pack("!BBH", digit, (0x80 if ended else 0) | 10, duration)
        packets.append(
            Rtp(
                sequence_number=sequence + number,
                timestamp=timestamp,
                payload=payload,
                arrival_ms=start_ms + number * 20,
                payload_type=101,
                marker=number == 0,
            )
        )
    return packets


def test_a_timestamp_jump_without_missing_numbers_is_silence(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    packets = talk(audio[:SECOND]) + talk(audio[SECOND:], sequence=1050, timestamp=50_000 + 3 * SECOND, start_ms=3000)
    rendering = rendered(tmp_path, CaptureFile(packets=both(packets)))
    assert gaps(rendering) == [(SECOND, 2 * SECOND, "silent", "not-sent")]
    assert left(tmp_path) == audio[:SECOND] + b"\xff" * 2 * SECOND + audio[SECOND:]
    assert rendering.streams[0].lost == 0


@pytest.mark.parametrize("payload_type", [13, 98])
def test_silence_after_comfort_noise_is_not_loss(tmp_path: Path, payload_type: int) -> None:
    audio = sound(2 * SECOND)
    noise = Rtp(
        sequence_number=1050, timestamp=50_000 + SECOND, payload=b"\x28", arrival_ms=1000, payload_type=payload_type
    )
    packets = [
        *talk(audio[:SECOND]),
        noise,
        *talk(audio[SECOND:], sequence=1051, timestamp=50_000 + 3 * SECOND, start_ms=3000),
    ]
    named = stream(0)
    table = [
        type(named)(index=0, party=0, payload_types={**AUDIO_TYPES, 98: Codec(name="CN", clock_rate=8000)}),
        stream(1),
    ]
    rendering = rendered(tmp_path, CaptureFile(packets=both(packets), streams=table))
    assert gaps(rendering) == [(SECOND, 2 * SECOND, "silent", "comfort-noise")]
    assert left(tmp_path) == audio[:SECOND] + b"\xff" * 2 * SECOND + audio[SECOND:]


def test_telephone_event_in_the_middle_never_enters_the_decoder(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    event = event_packets(1050, 50_000 + SECOND, 1000)
    after = talk(audio[SECOND:], sequence=1057, timestamp=50_000 + SECOND + 800, start_ms=1100)
    rendering = rendered(tmp_path, CaptureFile(packets=both(talk(audio[:SECOND]) + event + after)))
    assert gaps(rendering)[0] == (SECOND, 800, "silent", "telephone-event")
    assert left(tmp_path)[: 2 * SECOND + 800] == audio[:SECOND] + b"\xff" * 800 + audio[SECOND:]
    assert rendering.streams[0].lost == 0


def test_telephone_event_at_the_start_is_silence_on_the_timeline(tmp_path: Path) -> None:
    audio = sound(3 * SECOND)
    event = event_packets(1000, 50_000, 20, updates=20)
    after = talk(audio, sequence=1022, timestamp=50_000 + 3200, start_ms=400)
    rendering = rendered(tmp_path, CaptureFile(packets=both(event + after, 3.4)))
    assert gaps(rendering) == [(0, 3200, "silent", "telephone-event")]
    assert left(tmp_path) == b"\xff" * 3200 + audio


def test_telephone_event_across_a_gap_is_told_from_the_loss(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    event = event_packets(1050, 50_000 + SECOND, 1000)
    # Four audio packets after the event are lost as well as its retransmitted end.
    after = talk(audio[SECOND:], sequence=1061, timestamp=50_000 + SECOND + 800 + 640, start_ms=1180)
    rendering = rendered(tmp_path, CaptureFile(packets=both(talk(audio[:SECOND]) + event[:-2] + after)))
    assert gaps(rendering)[:2] == [
        (SECOND, 800, "silent", "telephone-event"),
        (SECOND + 800, 640, "lost", "network"),
    ]
    assert rendering.streams[0].lost == 6


def test_audio_beside_a_telephone_event_is_kept(tmp_path: Path) -> None:
    audio = sound(SECOND)
    packets = talk(audio)
    event = event_packets(1025, 50_000 + 4000, 500)
    merged = (
        packets[:25] + [packet for pair in zip(event, packets[25:32], strict=True) for packet in pair] + packets[32:]
    )
    merged = [
        Rtp(
            sequence_number=1000 + number,
            timestamp=packet.timestamp,
            payload=packet.payload,
            arrival_ms=packet.arrival_ms,
            payload_type=packet.payload_type,
        )
        for number, packet in enumerate(merged)
    ]
    rendering = rendered(tmp_path, CaptureFile(packets=merged, streams=[stream(0)]))
    assert gaps(rendering) == []
    assert left(tmp_path, 1) == audio


def test_a_pause_is_not_loss(tmp_path: Path) -> None:
    audio = sound(4 * SECOND)
    kept = [packet for packet in talk(audio) if not 1000 <= packet.arrival_ms < 3000]
    pauses = [
        Streams(at_ns=at(1000), cause="pause", streams=[stream(0, recording=False), stream(1)]),
        Streams(at_ns=at(3000), cause="resume", streams=[stream(0), stream(1)]),
    ]
    rendering = rendered(tmp_path, CaptureFile(packets=both(kept), events=pauses))
    assert gaps(rendering) == [(SECOND, 2 * SECOND, "paused", "paused")]
    assert rendering.streams[0].lost == 0
    assert left(tmp_path)[3 * SECOND :] == audio[3 * SECOND :]


def test_loss_before_a_pause_stays_loss(tmp_path: Path) -> None:
    audio = sound(4 * SECOND)
    kept = [p for p in talk(audio) if not (1000 <= p.arrival_ms < 3000 or p.sequence_number in (1010, 1011))]
    pauses = [
        Streams(at_ns=at(1000), cause="pause", streams=[stream(0, recording=False), stream(1)]),
        Streams(at_ns=at(3000), cause="resume", streams=[stream(0), stream(1)]),
    ]
    rendering = rendered(tmp_path, CaptureFile(packets=both(kept), events=pauses))
    assert gaps(rendering) == [(1600, 320, "lost", "network"), (SECOND, 2 * SECOND, "paused", "paused")]
    assert rendering.streams[0].lost == 2


def test_a_writer_that_dies_in_a_pause_leaves_a_pause(tmp_path: Path) -> None:
    """The sender went on: its sequence numbers are missing, but nothing of them was to be recorded."""
    audio, other = sound(4 * SECOND), talk(sound(4 * SECOND, 9), ssrc=0x2000, stream=1)
    packets = [*talk(audio), *other]
    pause = Streams(at_ns=at(1000), cause="pause", streams=[stream(0, recording=False), stream(1)])
    resume = Streams(at_ns=at(3000), cause="resume", streams=[stream(0), stream(1)])
    heard = [p for p in packets if p.stream == 1 or not 1000 <= p.arrival_ms < 3000]
    died = CaptureFile(
        packets=[p for p in heard if p.arrival_ms < 1400], events=[pause], end=None, session="0" * 31 + "1"
    )
    replaced = CaptureFile(
        packets=[p for p in heard if p.arrival_ms >= 2600],
        streams=[stream(0, recording=False), stream(1)],
        events=[resume],
        opened_ms=2600.0,
        session="0" * 31 + "2",
    )
    rendering = rendered(tmp_path, died, replaced)
    assert gaps(rendering) == [(SECOND, 2 * SECOND, "paused", "paused")]
    assert [gap[3] for gap in gaps(rendering, 1)] == ["writer-failover"]


PAUSE = Streams(at_ns=at(1000), cause="pause", streams=[stream(0, recording=False), stream(1, recording=False)])


def test_loss_before_a_pause_in_which_the_writer_dies_stays_loss(tmp_path: Path) -> None:
    """Both parties are paused: nothing has come since, and the capture ends where the pause begins."""
    packets = both(talk(sound(4 * SECOND)))
    died = CaptureFile(
        packets=[p for p in packets if p.arrival_ms < 1000 and p.arrival_ms != 900],
        events=[PAUSE],
        end=None,
        session="0" * 31 + "1",
    )
    replaced = CaptureFile(
        packets=[p for p in packets if p.arrival_ms >= 3000],
        streams=PAUSE.streams,
        events=[Streams(at_ns=at(3000), cause="resume", streams=[stream(0), stream(1)])],
        opened_ms=2600.0,
        session="0" * 31 + "2",
    )
    rendering = rendered(tmp_path, died, replaced)
    for party in (0, 1):
        assert gaps(rendering, party) == [(7200, 160, "lost", "network"), (SECOND, 2 * SECOND, "paused", "paused")]


def test_a_writer_that_dies_while_it_records_leaves_a_loss_also_where_the_next_one_begins_paused(
    tmp_path: Path,
) -> None:
    """The pause was agreed while nothing was open; when, no capture says: what came before it is lost."""
    packets = both(talk(sound(4 * SECOND)))
    died = CaptureFile(packets=[p for p in packets if p.arrival_ms < 1000], end=None, session="0" * 31 + "1")
    replaced = CaptureFile(
        packets=[p for p in packets if p.arrival_ms >= 3000],
        streams=PAUSE.streams,
        events=[Streams(at_ns=at(3000), cause="resume", streams=[stream(0), stream(1)])],
        opened_ms=2000.0,
        session="0" * 31 + "2",
    )
    causes = [gap[3] for gap in gaps(rendered(tmp_path, died, replaced))]
    assert causes == ["writer-failover", "paused"]


def test_a_sender_that_falls_silent_in_a_pause_is_paused(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    packets = talk(audio[:SECOND]) + talk(audio[SECOND:], sequence=1050, timestamp=50_000 + 3 * SECOND, start_ms=3000)
    pauses = [
        Streams(at_ns=at(1010), cause="pause", streams=[stream(0, recording=False), stream(1)]),
        Streams(at_ns=at(2990), cause="resume", streams=[stream(0), stream(1)]),
    ]
    rendering = rendered(tmp_path, CaptureFile(packets=both(packets), events=pauses))
    assert gaps(rendering) == [(SECOND, 2 * SECOND, "paused", "paused")]


def test_loss_while_the_kernel_dropped_is_the_receivers(tmp_path: Path) -> None:
    kept = [packet for packet in talk(sound(4 * SECOND)) if packet.sequence_number not in (1050, 1051, 1150)]
    drops = [Drops(at_ns=at(1100), stream=0, packets=2, since_ns=at(900))]
    rendering = rendered(tmp_path, CaptureFile(packets=both(kept), events=drops))
    assert gaps(rendering) == [(SECOND, 320, "lost", "kernel-drop"), (3 * SECOND, 160, "lost", "network")]


def test_drops_of_another_stream_explain_nothing(tmp_path: Path) -> None:
    kept = [packet for packet in talk(sound(4 * SECOND)) if packet.sequence_number != 1050]
    drops = [Drops(at_ns=at(1100), stream=1, packets=1, since_ns=at(900))]
    rendering = rendered(tmp_path, CaptureFile(packets=both(kept), events=drops))
    assert gaps(rendering) == [(SECOND, 160, "lost", "network")]


def test_packets_that_no_key_authenticates_are_a_cause_and_a_warning(tmp_path: Path) -> None:
    kept = [packet for packet in talk(sound(4 * SECOND)) if packet.sequence_number not in (1050, 1051, 1150)]
    refused = [Unauthentic(at_ns=at(1100), stream=0, packets=2, since_ns=at(900))]
    rendering = rendered(tmp_path, CaptureFile(packets=both(kept), events=refused))
    assert gaps(rendering) == [(SECOND, 320, "lost", "not-authenticated"), (3 * SECOND, 160, "lost", "network")]
    assert "not-authenticated: 2 packets of stream 1 fit no SRTP key that was agreed" in rendering.warnings


def test_a_party_of_which_nothing_authenticated_has_lost_everything(tmp_path: Path) -> None:
    other = [packet for packet in both(talk(sound(4 * SECOND))) if packet.stream == 1]
    refused = [Unauthentic(at_ns=at(3900), stream=0, packets=200, since_ns=at(1000))]
    rendering = rendered(tmp_path, CaptureFile(packets=other, events=refused))
    assert [gap[2:] for gap in gaps(rendering)] == [
        ("silent", "no-media"), ("lost", "not-authenticated"), ("silent", "no-media"),
    ]  # fmt: skip


def test_loss_inside_a_silence_is_only_as_long_as_it_can_have_been(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    packets = talk(audio[:SECOND]) + talk(audio[SECOND:], sequence=1051, timestamp=50_000 + 3 * SECOND, start_ms=3000)
    rendering = rendered(tmp_path, CaptureFile(packets=both(packets)))
    assert gaps(rendering) == [
        (SECOND, 160, "lost", "network"),
        (SECOND + 160, 2 * SECOND - 160, "silent", "not-sent"),
    ]


@pytest.mark.parametrize(("skew_ms", "declared"), [(200, False), (201, True)])
def test_a_late_start_is_declared_above_200_ms(tmp_path: Path, skew_ms: int, declared: bool) -> None:
    packets = talk(sound(4 * SECOND - skew_ms * 8), start_ms=skew_ms)
    rendering = rendered(tmp_path, CaptureFile(packets=both(packets)))
    assert gaps(rendering) == ([(0, skew_ms * 8, "silent", "not-started")] if declared else [])
    assert left(tmp_path)[: skew_ms * 8] == b"\xff" * skew_ms * 8


@pytest.mark.parametrize(("skew", "declared"), [(1600, False), (1760, True)])
def test_an_early_end_is_declared_above_200_ms(tmp_path: Path, skew: int, declared: bool) -> None:
    rendering = rendered(tmp_path, CaptureFile(packets=both(talk(sound(4 * SECOND - skew)))))
    assert gaps(rendering) == ([(4 * SECOND - skew, skew, "silent", "ended-early")] if declared else [])
    assert rendering.frames == 4 * SECOND


def test_audio_without_a_decoder_is_silence_with_a_warning(tmp_path: Path) -> None:
    codec = Codec(name="MADE-UP", clock_rate=8000)
    named = stream(0)
    table = [type(named)(index=0, party=0, payload_types={**AUDIO_TYPES, 97: codec}), stream(1)]
    audio = sound(4 * SECOND)
    packets = talk(audio[:SECOND]) + talk(
        b"\0" * 50 * 20, octets=20, sequence=1050, timestamp=50_000 + SECOND, start_ms=1000, payload_type=97
    )
    packets = [
        packet
        if packet.payload_type == 0
        else Rtp(
            sequence_number=packet.sequence_number,
            timestamp=50_000 + (packet.sequence_number - 1000) * 160,
            payload=packet.payload,
            arrival_ms=(packet.sequence_number - 1000) * 20,
            payload_type=97,
        )
        for packet in packets
    ]
    packets += talk(audio[2 * SECOND :], sequence=1100, timestamp=50_000 + 2 * SECOND, start_ms=2000)
    rendering = rendered(tmp_path, CaptureFile(packets=both(packets), streams=table))
    assert gaps(rendering) == [(SECOND, SECOND, "silent", "undecodable")]
    assert [warning for warning in rendering.warnings if warning.startswith("undecodable: MADE-UP")]
    assert left(tmp_path) == audio[:SECOND] + b"\xff" * SECOND + audio[2 * SECOND :]


def test_a_recording_of_undecodable_audio_alone_is_silence_of_its_length(tmp_path: Path) -> None:
    packets = [
        Rtp(sequence_number=n, timestamp=n * 160, payload=b"\1" * 20, arrival_ms=n * 20, payload_type=4)
        for n in range(100)
    ]
    rendering = rendered(tmp_path, CaptureFile(packets=packets, streams=[stream(0)]))
    assert (rendering.frames, rendering.sample_rate) == (16_000, 8000)
    assert gaps(rendering) == [(0, 16_000, "silent", "undecodable")]
    assert rendering.streams[0].codecs == ["G723/8000"]


def test_a_party_that_only_sent_comfort_noise_was_there(tmp_path: Path) -> None:
    noise = [
        Rtp(sequence_number=n, timestamp=n * 1600, payload=b"\x20", arrival_ms=n * 200, payload_type=13)
        for n in range(20)
    ]
    rendering = rendered(tmp_path, CaptureFile(packets=both(noise)))
    assert gaps(rendering)[0][2:] == ("silent", "comfort-noise")
    assert {gap.kind for gap in rendering.gaps} == {GapKind.SILENT}
