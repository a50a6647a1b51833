"""Compound packets of a receiver and their intervals, RFC 3550 §6; read back by the parser."""

from __future__ import annotations

import numpy as np

from media.rtp.receiver_report import BLOCK, BLOCK_START, compound, intervals
from media.rtp.rtcp import parse_rtcp


def test_a_report_with_a_block_names_source_and_reporter() -> None:
    packet = compound(0xABCD, "a" * 15, block=True)
    BLOCK.pack_into(packet, BLOCK_START, 7, 64 << 24 | 0xFFFFFE, 70_000, 12, 0x11112222, 65_536)
    read = parse_rtcp(bytes(packet))
    assert read is not None
    assert read.complete
    (report,) = read.receiver_reports
    (block,) = report.reports
    assert (report.ssrc, block.ssrc, block.fraction_lost, block.cumulative_lost) == (0xABCD, 7, 64, -2)
    assert (block.extended_sequence_number, block.interarrival_jitter) == (70_000, 12)
    assert (block.last_sr, block.delay_since_last_sr) == (0x11112222, 65_536)
    assert read.cnames == {0xABCD: "a" * 15}


def test_6_1_an_empty_report_and_a_goodbye_are_whole_for_every_length_of_name() -> None:
    for length in range(256):
        read = parse_rtcp(bytes(compound(5, "n" * length, block=False, leaving=True)))
        assert read is not None
        assert read.complete
        assert read.receiver_reports[0].reports == ()
        assert read.cnames == {5: "n" * length}
        assert read.goodbyes[0].ssrcs == (5,)


def test_r5_intervals_are_spread_from_half_to_one_and_a_half_of_the_minimum() -> None:
    draws = np.array([0.0, 0.5, 1.0])
    found = intervals(draws, 60, minimum_s=5.0, bandwidth_bps=np.full(3, 3200.0)) * 1.21828
    assert np.allclose(found, [2.5, 5.0, 7.5])


def test_6_2_a_small_bandwidth_makes_them_longer() -> None:
    """Two members whose packets are 88 bytes need 1,408 bits; at 100 bit/s that takes 14 s."""
    (found,) = intervals(np.array([0.5]), 60, minimum_s=5.0, bandwidth_bps=np.array([100.0])) * 1.21828
    assert np.isclose(found, 14.08)
