"""What payload types mean, with the oddities that clients write."""

from __future__ import annotations

import pytest

from signaling.sdp import Codec, payload_map
from signaling.sdp.payloads import STATIC
from tests.unit.signaling.sdp.samples import sdp


def codecs(formats: str, *attributes: str) -> dict[int, Codec]:
    lines = "".join(f"a={attribute}\n" for attribute in attributes)
    return payload_map(sdp(f"v=0\nm=audio 9 RTP/AVP {formats}\n{lines}").media[0])


def test_static_types_need_no_rtpmap() -> None:
    assert codecs("0 8 9 18") == {
        0: Codec("PCMU", 8000),
        8: Codec("PCMA", 8000),
        9: Codec("G722", 8000),
        18: Codec("G729", 8000),
    }


@pytest.mark.parametrize(
    ("payload_type", "name", "clock_rate", "channels"),
    [
        (3, "GSM", 8000, 1), (4, "G723", 8000, 1), (5, "DVI4", 8000, 1), (6, "DVI4", 16000, 1), (7, "LPC", 8000, 1),
        (10, "L16", 44100, 2), (11, "L16", 44100, 1), (12, "QCELP", 8000, 1), (13, "CN", 8000, 1),
        (14, "MPA", 90000, 1), (15, "G728", 8000, 1), (16, "DVI4", 11025, 1), (17, "DVI4", 22050, 1),
        (25, "CELB", 90000, 1), (26, "JPEG", 90000, 1), (28, "NV", 90000, 1), (31, "H261", 90000, 1),
        (32, "MPV", 90000, 1), (33, "MP2T", 90000, 1), (34, "H263", 90000, 1),
    ],
)  # fmt: skip
def test_the_static_table_is_that_of_rfc_3551(payload_type: int, name: str, clock_rate: int, channels: int) -> None:
    assert STATIC[payload_type] == Codec(name, clock_rate, channels)


def test_dynamic_types_take_name_rate_channels_and_parameters() -> None:
    assert codecs(
        "111 101", "rtpmap:111 opus/48000/2", "fmtp:111 useinbandfec=1; stereo=1", "rtpmap:101 telephone-event/8000"
    ) == {
        111: Codec("OPUS", 48000, 2, "useinbandfec=1; stereo=1"),
        101: Codec("TELEPHONE-EVENT", 8000),
    }


@pytest.mark.parametrize(
    ("rtpmap", "expected"),
    [
        ("0 pcmu/8000a", Codec("PCMU", 8000)),
        ("0 PCMU/8000 ", Codec("PCMU", 8000)),
        ("0  PCMU / 8000", Codec("PCMU", 8000)),
        ("0 PCMU", Codec("PCMU", 8000)),
        ("0 PCMU/", Codec("PCMU", 8000)),
        ("0 PCMU/x", Codec("PCMU", 8000)),
        ("0 PCMU;rubbish/8000", Codec("PCMU", 8000)),
        ("0 PCMU/8000/1", Codec("PCMU", 8000)),
        ("0 ;;;", Codec("PCMU", 8000)),
        ("0", Codec("PCMU", 8000)),
        ("0 PCMU/16000", Codec("PCMU", 16000)),
        ("0 OPUS/48000/2", Codec("OPUS", 48000, 2)),
        ("0 PCMU/99999999999", Codec("PCMU", 8000)),
        ("0 PCMU/8000/999", Codec("PCMU", 8000)),
    ],
)
def test_rubbish_around_a_static_type(rtpmap: str, expected: Codec) -> None:
    assert codecs("0", f"rtpmap:{rtpmap}") == {0: expected}


@pytest.mark.parametrize(
    ("rtpmap", "expected"),
    [
        ("97 g729a/8000", Codec("G729", 8000)),
        ("97 G729AB", Codec("G729", 8000)),
        ("97 amr-wb", Codec("AMR-WB", 16000)),
        ("97 opus", Codec("OPUS", 48000)),
        ("97 unknown", Codec("UNKNOWN", 8000)),
    ],
)
def test_dynamic_types_with_parts_missing(rtpmap: str, expected: Codec) -> None:
    assert codecs("97", f"rtpmap:{rtpmap}") == {97: expected}


def test_what_has_no_meaning_is_left_out() -> None:
    assert codecs("97 t38 128 -1 0 0", "rtpmap:98 PCMU/8000") == {0: Codec("PCMU", 8000)}


def test_the_first_of_two_mappings_counts() -> None:
    assert codecs("97", "rtpmap:97 opus/48000/2", "rtpmap:97 AMR/8000", "fmtp:97 a=1", "fmtp:97 b=2") == {
        97: Codec("OPUS", 48000, 2, "a=1")
    }


def test_the_order_is_that_of_the_m_line() -> None:
    assert list(codecs("18 0 101 8", "rtpmap:101 telephone-event/8000")) == [18, 0, 101, 8]


@pytest.mark.parametrize(
    ("codec", "rtpmap"),
    [
        (Codec("PCMU", 8000), "PCMU/8000"),
        (Codec("TELEPHONE-EVENT", 8000), "telephone-event/8000"),
        (Codec("OPUS", 48000, 2), "opus/48000/2"),
        (Codec("ILBC", 8000), "iLBC/8000"),
    ],
)
def test_the_written_form_has_the_registered_spelling(codec: Codec, rtpmap: str) -> None:
    assert codec.rtpmap == rtpmap


def test_parameters_do_not_make_another_encoding() -> None:
    codec = Codec("G729", 8000, 1, "annexb=no")
    assert codec.same_encoding(Codec("G729", 8000))
    assert not codec.same_encoding(Codec("G729", 16000))
    assert not codec.same_encoding(Codec("PCMU", 8000))
    assert not codec.same_encoding(Codec("G729", 8000, 2))
