"""Keyed digits are taken out of batches; what the capture holds afterwards is read back from disk."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from media.writer.intake import Intake
from media.writer.masking import MASKED_EVENT, Masking
from tests.unit.media.writer.datagrams import NOW, Received
from tests.unit.media.writer.test_intake import POLICY, Bench, rtp

EVENT = 101
TONE = b"\x55" * 160


def event(sequence: int, start: int, units: int, *, digit: int = 7, first: int = 0x80) -> bytes:
    """A telephone-event packet, RFC 4733 §2.3; `start` in packets of 20 ms."""
    return struct.pack(">BBHII", first, EVENT, sequence, start * 160, 7) + struct.pack(">BBH", digit, 10, units)


def tone(sequence: int, at: int | None = None) -> bytes:
    return struct.pack(">BBHII", 0x80, 0, sequence, (sequence if at is None else at) * 160, 7) + TONE


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    found.intake = Intake(
        found.table, found.sessions, found.streams, told_drops=found.told, policy=POLICY,
        masking=Masking(found.table, found.streams), wall_ns=lambda: NOW,
    )  # fmt: skip
    found.table.event_types[0, EVENT] = found.table.masks[0] = True
    yield found
    found.socket.close()
    for live in found.sessions:
        assert live is not None
        live.file.close()


def received(*packets: bytes, at_ms: float = 0) -> list[Received]:
    return [Received(packet, at_ms=at_ms + 20 * number) for number, packet in enumerate(packets)]


def numbers(packets: list[bytes]) -> list[int]:
    return [int.from_bytes(packet[2:4], "big") for packet in packets]


def test_digit_and_tone_are_gone_and_numbers_times_and_durations_stay(bench: Bench) -> None:
    sent = [rtp(0), rtp(1), event(2, 2, 160), tone(3, 2), event(4, 2, 320), tone(5, 3), event(6, 2, 480), rtp(9)]
    bench.take(received(*sent))
    found = bench.packets(0, 0)
    assert numbers(found) == [0, 1, 2, 3, 4, 5, 6, 9]
    assert [packet[4:8] for packet in found] == [packet[4:8] for packet in sent]
    assert [found[at] for at in (0, 1, 7)] == [sent[0], sent[1], sent[7]]
    assert [found[at][12:] for at in (2, 4, 6)] == [
        struct.pack(">BBH", MASKED_EVENT, 10, units) for units in (160, 320, 480)
    ]
    assert found[3][12:] == found[5][12:] == b""
    assert int(bench.table.masked[0]) == 5
    live = bench.sessions[0]
    assert live is not None
    assert TONE not in live.file.path.read_bytes()


def test_a_tone_that_comes_in_a_later_batch_is_cut_too(bench: Bench) -> None:
    bench.take(received(rtp(0), event(2, 2, 800)))
    bench.take(received(tone(3, 4), tone(4, 6), rtp(12), at_ms=200))
    assert [len(packet) for packet in bench.packets(0, 0)] == [172, 16, 12, 12, 172]


def test_an_event_over_the_wrap_of_timestamps_is_masked(bench: Bench) -> None:
    start = 2**32 - 160
    head = struct.Struct(">BBHII")
    pressed = head.pack(0x80, EVENT, 2, start, 7) + struct.pack(">BBH", 5, 10, 480)
    inside = head.pack(0x80, 0, 3, 160, 7) + TONE
    behind = head.pack(0x80, 0, 4, 800, 7) + TONE
    bench.take(received(pressed, inside, behind))
    assert [len(packet) for packet in bench.packets(0, 0)] == [16, 12, 172]


def test_long_after_an_event_its_timestamps_mean_nothing(bench: Bench) -> None:
    bench.take(received(rtp(0), event(2, 2, 160)))
    bench.take(received(tone(3, 2), at_ms=5000))
    assert [len(packet) for packet in bench.packets(0, 0)] == [172, 16, 172]


def test_a_stream_without_the_policy_is_left_alone(bench: Bench) -> None:
    sent = [rtp(0, ssrc=9), event(1, 1, 160), tone(2, 1)]
    bench.take([], received(*sent))
    assert bench.packets(0, 1) == sent


@pytest.mark.parametrize("payload", [b"", b"\x07", b"\x07\x0a\x01\x40" * 3])
def test_odd_event_payloads_keep_no_digit(bench: Bench, payload: bytes) -> None:
    bench.take(received(struct.pack(">BBHII", 0x80, EVENT, 2, 320, 7) + payload))
    (found,) = bench.packets(0, 0)
    assert found[12:] == (payload and bytes([MASKED_EVENT]) + payload[1:4])


def test_extensions_and_padding_of_masked_packets_go(bench: Bench) -> None:
    extended = struct.pack(">BBHII", 0xB0, EVENT, 2, 320, 7) + struct.pack(">HHI", 0xBEDE, 1, 0x07070707)
    extended += struct.pack(">BBH", 7, 10, 160) + b"\x00\x00\x00\x04"
    bench.take(received(extended))
    (found,) = bench.packets(0, 0)
    assert (found[0], found[12:]) == (0x80, struct.pack(">BBH", MASKED_EVENT, 10, 160))


def test_nothing_changes_while_nobody_presses_a_key(bench: Bench) -> None:
    packets = received(*(rtp(number) for number in range(4)))
    bench.take(packets)
    assert bench.packets(0, 0) == [one.data for one in packets]
    assert int(bench.table.masked.sum()) == 0
    assert np.array_equal(bench.table.packets, [4, 0, 0])
