"""Figures of receiver reports against RFC 3550 A.3 and A.8, done packet by packet."""

from __future__ import annotations

import random
import struct

import numpy as np

from media.writer.batch import Batch
from media.writer.statistics import STATE, Statistics
from media.writer.table import PortTable
from tests.unit.media.writer.datagrams import NOW, Received, datagrams

SSRC = 0x01020304
AS_IN_MEMORY = int.from_bytes(SSRC.to_bytes(4, "big"), "little")
MS = 1_000_000


def packet(sequence: int, timestamp: int, ssrc: int = SSRC) -> bytes:
    return struct.pack(">BBHII", 0x80, 0, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + bytes(20)


class Port:
    """One port row, and what RFC 3550 says of it."""

    def __init__(self) -> None:
        self.table = PortTable(2)
        self.room = np.zeros((2, STATE.itemsize), np.uint8)
        self.statistics = Statistics(self.table, self.room)
        self.statistics.enter(1, 8000, adopt=False)
        self.started = False

    def take(self, packets: list[tuple[float, bytes]], *, observe: bool = True) -> None:
        received = [Received(data, at_ms=at_ms) for at_ms, data in packets]
        columns = datagrams(received).columns()
        batch = Batch(
            datagrams(received), np.array([1]), np.array([len(packets)]), columns.lengths, columns.keys,
            columns.words, columns.states, columns.arrival_ns, np.zeros(len(packets), np.int64),
        )  # fmt: skip
        if not self.started:
            self.statistics.began(1, AS_IN_MEMORY, int.from_bytes(packets[0][1][2:4], "big"))
            self.started = True
        if observe:
            self.statistics.observe(batch, np.arange(len(packets)), np.array([1]), np.array([len(packets)]))
        self.table.packets[1] += len(packets)
        self.table.last_word[1] = columns.words[-1, 0]

    def block(self, *, now_ms: float = 0) -> tuple[int, ...]:
        (found,) = self.statistics.blocks(np.array([1]), NOW + int(now_ms * MS))
        return found


def test_loss_wrap_and_order_as_the_rfc_counts_them() -> None:
    generator = random.Random(5)
    port = Port()
    number, expected_before, received_before, received = 65_500, 0, 0, 0
    for _ in range(8):
        batch = []
        for _ in range(40):
            number += 1
            if generator.random() > 0.2:
                batch.append((number * 20.0, packet(number, number * 160)))
        swapped = batch[3:5]
        batch[3:5] = swapped[::-1]
        port.take(batch)
        received += len(batch)
        highest = 65_501 if number < 0 else int.from_bytes(batch[-1][1][2:4], "big")
        expected = number - (number - highest) % 65_536 - 65_501 + 1
        source, lost, extended, _, _, _ = port.block()
        assert source == SSRC
        assert extended & 0xFFFF == highest
        assert lost & 0xFFFFFF == expected - received
        interval = expected - expected_before
        assert lost >> 24 == ((interval - (received - received_before)) << 8) // interval
        expected_before, received_before = expected, received
    assert extended > 65_536


def test_duplicates_make_the_cumulative_number_negative() -> None:
    port = Port()
    port.take([(20.0 * n, packet(n, n * 160)) for n in (5, 5, 5, 6)])
    _, lost, _, _, _, _ = port.block()
    assert lost == (-2 & 0xFFFFFF)


def test_the_jitter_is_that_of_a_8() -> None:
    generator = random.Random(6)
    port = Port()
    jitter, before = 0.0, None
    for turn in range(10):
        batch = []
        for place in range(20):
            number = turn * 20 + place
            at_ms = number * 20 + generator.uniform(0, 12)
            batch.append((at_ms, packet(number, number * 160)))
            transit = int(at_ms * MS) * 8000 / 1e9 - number * 160
            if place and before is not None:  # across visits nothing is compared
                jitter += (abs(transit - before) - jitter) / 16
            before = transit
        port.take(batch)
    _, _, _, told, _, _ = port.block()
    assert abs(told - jitter) <= 1


def test_a_source_that_fell_silent_before_it_was_looked_at_is_counted_to_its_last_packet() -> None:
    port = Port()
    port.take([(20.0 * n, packet(n, n * 160)) for n in range(10)])
    port.block()
    port.take([(20.0 * n, packet(n, n * 160)) for n in range(12, 20)], observe=False)
    assert port.block()[1:3] == (51 << 24 | 2, 19)
    assert port.block()[1:3] == (2, 19)


def test_lsr_and_dlsr() -> None:
    port = Port()
    port.take([(0.0, packet(1, 160))])
    report = struct.pack(">BBHIIII", 0x80, 200, 6, SSRC, 0xAAAABBBB, 0xCCCCDDDD, 160) + bytes(8)
    stranger = struct.pack(">BBHIIII", 0x80, 200, 6, 99, 0x11111111, 0x11111111, 160) + bytes(8)
    received = datagrams([Received(report, at_ms=100), Received(stranger, at_ms=200)])
    columns = received.columns()
    batch = Batch(
        received, np.array([1]), np.array([2]), columns.lengths, columns.keys, columns.words, columns.states,
        columns.arrival_ns, np.zeros(2, np.int64),
    )  # fmt: skip
    port.statistics.sender_report(batch, np.arange(2), np.array([1, 1]))
    assert port.block(now_ms=600)[4:] == (0xBBBBCCCC, 32_768)


def test_a_successor_goes_on_counting() -> None:
    port = Port()
    port.take([(20.0 * n, packet(n, n * 160)) for n in range(65_530, 65_540)])
    port.block()
    successor = Port()
    successor.room[:] = port.room
    successor.statistics.enter(1, 8000, adopt=True)
    successor.take([(20.0 * n, packet(n, n * 160)) for n in range(65_560, 65_570)])
    source, lost, highest, _, _, _ = successor.block()
    assert (source, lost, highest) == (SSRC, 0, 65_569)


def test_another_source_begins_anew() -> None:
    port = Port()
    port.take([(20.0 * n, packet(n, n * 160)) for n in range(10)])
    port.block()
    port.statistics.began(1, 99, 500)
    port.take([(0.0, packet(500, 0, ssrc=99))])
    assert port.block()[1:3] == (0, 500)
