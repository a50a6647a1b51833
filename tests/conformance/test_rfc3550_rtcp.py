"""RFC 3550 §6.4.1, appendix A.2 and A.8, sentence by sentence (checklist R7)."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from media.rtp.jitter import JitterEstimator
from media.rtp.rtcp import NTP_UNIX_OFFSET, ntp_to_unix_ns, parse_rtcp

REPORT = struct.pack("!BBHI", 0x80, 201, 1, 7)


def test_rtp_version_field_must_equal_2() -> None:
    assert parse_rtcp(b"\x40" + REPORT[1:]) is None
    assert parse_rtcp(REPORT) is not None


def test_the_length_fields_of_the_individual_packets_must_add_up_to_the_overall_length() -> None:
    for datagram, complete in ((REPORT + REPORT, True), (REPORT + REPORT[:6], False), (REPORT + b"\0" * 4, False)):
        parsed = parse_rtcp(datagram)
        assert parsed is not None
        assert parsed.complete is complete


def test_unknown_packet_types_may_be_present_and_should_be_ignored() -> None:
    unknown = struct.pack("!BBHI", 0x80, 209, 1, 1)
    parsed = parse_rtcp(REPORT + unknown + REPORT)
    assert parsed is not None
    assert len(parsed.receiver_reports) == 2


def test_cumulative_number_of_packets_lost_is_signed() -> None:
    block = struct.pack("!IB3sIIII", 1, 0, b"\xff\xff\xfe", 0, 0, 0, 0)
    parsed = parse_rtcp(struct.pack("!BBHI", 0x81, 201, 7, 7) + block)
    assert parsed is not None
    assert parsed.receiver_reports[0].reports[0].cumulative_lost == -2


def test_ntp_timestamps_count_seconds_since_1900() -> None:
    assert ntp_to_unix_ns((NTP_UNIX_OFFSET + 1_772_366_400) << 32, 1_772_366_400 * 10**9) == 1_772_366_400 * 10**9


@pytest.mark.parametrize("start", [0, 2**32 - 1000])
def test_the_interarrival_jitter_is_the_smoothed_absolute_value_of_the_difference_of_relative_transit_times(
    start: int,
) -> None:
    arrivals = np.array([0, 25_000_000, 41_000_000, 60_000_000], np.int64)
    timestamps = start + np.array([0, 160, 320, 480], np.int64)
    estimator = JitterEstimator(8000)
    estimator.feed(arrivals, timestamps)
    expected = 0.0
    for difference in (40.0, 32.0, 8.0):
        expected += (difference - expected) / 16
    assert estimator.units == pytest.approx(expected, rel=1e-12)
