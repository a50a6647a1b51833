"""Which key opens a packet, and under which rollover counter; RFC 3711 §3.3, RFC 4568 §7.1.4."""

from __future__ import annotations

import os
import struct

from media.srtp import REPLAYED
from media.writer.keyring import Index, Keyring
from media.writer.protocol import MasterKey, Protection
from tests.kit.srtp_oracle import Oracle

SUITE = "AES_CM_128_HMAC_SHA1_80"
SECOND = 1_000_000_000
SSRC = 7


def packet(sequence: int, ssrc: int = SSRC) -> bytes:
    return struct.pack(">BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, ssrc) + bytes(160)


class Client:
    def __init__(self) -> None:
        self.key = MasterKey(SUITE, os.urandom(30))
        self.oracle = Oracle(SUITE, self.key.key_salt)

    def __call__(self, sequence: int, ssrc: int = SSRC) -> bytes:
        return self.oracle.rtp(packet(sequence, ssrc), sequence >> 16)


def ring(client: Client, *indices: Index, mark: int = 0) -> Keyring:
    return Keyring(Protection(keys=(client.key,)), 0, indices, indexed_mark=mark)


def test_a_noted_index_leads_to_counters_that_no_search_reaches() -> None:
    client = Client()
    far = 1000 * 65536
    known = ring(client)
    mark = known.mark
    for sequence, first in ((65_530, 65_534), (3, 65_534), (65_534, 2), (40_000, 10)):
        index = Index(SSRC, 1000, sequence)
        following = ring(client, index, mark=mark)
        turn = 1000 + round((sequence - first) / 65536)
        assert following.open_rtp(client(turn * 65536 + first), 1) == packet(turn * 65536 + first)
    assert isinstance(ring(client).open_rtp(client(far), 1), int)


def test_a_noted_index_of_another_key_means_nothing() -> None:
    client, other = Client(), Client()
    index = Index(SSRC, 1000, 5)
    assert isinstance(ring(client, index, mark=ring(other).mark).open_rtp(client(1000 * 65536 + 6), 1), int)
    assert ring(client).mark != ring(other).mark


def test_a_running_counter_is_not_given_up_for_a_recorded_packet_of_an_earlier_turn() -> None:
    client = Client()
    running = ring(client)
    old = client(65536 + 5)
    now = 60 * SECOND
    assert isinstance(running.open_rtp(client(3 * 65536 + 60_000), now), bytes)
    running.heard_ns = now
    assert isinstance(running.open_rtp(old, now + SECOND), int)
    assert isinstance(running.open_rtp(client(3 * 65536 + 60_001), now + SECOND), bytes)


def test_after_a_long_silence_the_counter_is_found_again() -> None:
    client = Client()
    running = ring(client)
    assert isinstance(running.open_rtp(client(65536 + 5), SECOND), bytes)
    running.heard_ns = SECOND
    later = 2 * 65536 + 40_000
    assert isinstance(running.open_rtp(client(later), 60 * SECOND), bytes)


def test_a_replay_is_told_from_a_packet_that_does_not_authenticate() -> None:
    client = Client()
    running = ring(client)
    running.open_rtp(client(5), 1)
    assert running.open_rtp(client(5), 1) in REPLAYED
    assert running.open_rtp(packet(6), 1) not in REPLAYED


def test_the_former_key_ends_with_the_handover() -> None:
    old, new = Client(), Client()
    running = ring(old)
    running.open_rtp(old(5), SECOND)
    running.change(Protection(keys=(new.key,)), 2 * SECOND)
    assert isinstance(running.open_rtp(old(6), 3 * SECOND), bytes)
    assert isinstance(running.open_rtp(new(7), 3 * SECOND), bytes)
    assert isinstance(running.open_rtp(old(8), 13 * SECOND), int)
    assert isinstance(running.open_rtp(new(9), 13 * SECOND), bytes)


def test_a_wrong_key_does_not_cost_a_search_for_each_packet() -> None:
    client, stranger = Client(), Client()
    running = ring(client)
    for sequence in range(50):
        running.open_rtp(stranger(sequence), SECOND)
    assert isinstance(running.open_rtp(client(9 * 65536), SECOND), int)  # the next search is due later
    assert isinstance(running.open_rtp(client(9 * 65536), 2 * SECOND), bytes)
