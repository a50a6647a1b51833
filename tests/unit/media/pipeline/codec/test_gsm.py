"""GSM full rate, RFC 3551 §4.5.8."""

from __future__ import annotations

import numpy as np

from media.container import Codec
from media.pipeline.codec import Payloads
from media.pipeline.codec.gsm import Gsm, GsmDecoder, gsm_format
from tests.unit.media.pipeline.codec.material import likeness, payloads

FRAMES = payloads("gsm.rtp")


def test_each_33_octets_are_20_ms() -> None:
    lengths = np.array([33, 66, 40, 32])
    assert Gsm().durations(Payloads(np.zeros(0, np.uint8), lengths, lengths)).tolist() == [160, 320, 160, 0]


def test_the_audio_is_what_was_encoded() -> None:
    decoded = [part for part in GsmDecoder().decode(FRAMES) if part is not None]
    assert [len(part) for part in decoded] == [160] * 50
    assert likeness(np.concatenate(decoded), 8000)[0] > 0.9


def test_stretches_join() -> None:
    long = FRAMES * 4
    whole = np.concatenate([part for part in GsmDecoder().decode(long) if part is not None])
    decoder = GsmDecoder()
    parts = [part for part in decoder.decode(long[:125]) + decoder.decode(long[125:]) if part is not None]
    difference = whole.astype(int) - np.concatenate(parts)
    assert np.sqrt(np.mean(difference.astype(float) ** 2)) < 0.01 * np.sqrt(np.mean(whole.astype(float) ** 2))


def test_several_frames_in_a_payload_and_octets_behind_them() -> None:
    decoded = GsmDecoder().decode([FRAMES[0] + FRAMES[1] + b"xx", FRAMES[2]])
    assert [None if part is None else len(part) for part in decoded] == [320, 160]


def test_what_has_no_signature_is_none() -> None:
    decoded = GsmDecoder().decode([b"\x00" * 33, FRAMES[0], b"\xd0"])
    assert [part is None for part in decoded] == [True, False, True]
    assert GsmDecoder().decode([b"\x00" * 33]) == [None]


def test_other_clocks_are_not_gsm() -> None:
    assert gsm_format(Codec(name="GSM", clock_rate=16_000)) is None
    assert gsm_format(Codec(name="GSM", clock_rate=8000)) == Gsm()
