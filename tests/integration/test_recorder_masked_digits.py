"""Digits that a caller keys in, with a profile that has them masked: on no disk, and the recording keeps its length."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from media.container import read_capture
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import SILENCE
from tests.kit.call import Call
from tests.kit.running import RunningRecorder

pytestmark = pytest.mark.integration

PROFILE = """
name = "site-cards"
[match]
request_uri = ["*record=*"]
[session]
mask_events = true
"""
DIGIT, EVENT = 9, 101
TALK = 60
"""Packets before and behind the key."""
PRESSED = 12
"""Packets that the key is held."""


def packets(call: Call) -> list[bytes]:
    """Speech, then a key with event packets and the tone beside them, then speech again."""
    stream = call.media.streams[0]
    header = struct.Struct("!BBHII")
    made, sequence = [], stream.sequence
    for number in range(2 * TALK + PRESSED):
        stamp = stream.timestamp + 160 * number
        made.append(header.pack(0x80, 0, sequence, stamp, stream.ssrc) + stream.frames[number])
        sequence += 1
        if TALK <= number < TALK + PRESSED:
            start, units = stream.timestamp + 160 * TALK, 160 * (number - TALK + 1)
            event = struct.pack("!BBH", DIGIT, 10 | 0x80 * (number == TALK + PRESSED - 1), units)
            made.append(header.pack(0x80, EVENT, sequence, start, stream.ssrc) + event)
            sequence += 1
    return made


def test_no_digit_and_no_tone_reaches_a_disk(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "cards.toml").write_text(PROFILE)
    recorder = RunningRecorder(tmp_path / "state", environment={"RECORDER_PROFILES_DIRECTORY": str(profiles)})
    with recorder, Call(recorder, parties=1) as call:
        call.place()
        stream = call.media.streams[0]
        for packet in packets(call):
            stream.socket.sendto(packet, stream.target)
            time.sleep(0.02 * (packet[1] & 0x7F == 0))
        assert call.dialog.bye().status == 200
        entry = call.finished()
        wav = call.exported(tmp_path)

    sound = np.frombuffer(wav.channels[0], np.uint8)
    speech = [b"".join(stream.frames[first : first + TALK]) for first in (0, TALK + PRESSED)]
    key = slice(160 * TALK, 160 * (TALK + PRESSED))
    assert sound[: key.start].tobytes() == speech[0]
    assert (sound[key] == SILENCE[Law.MULAW]).all()
    # The packet right behind the key may be the end of its tone.
    assert sound[key.stop + 160 :].tobytes() == speech[1][160:]
    assert len(sound) == 160 * (2 * TALK + PRESSED)
    assert {(gap["kind"], gap["cause"]) for gap in entry["gaps"] if gap["party"] == 0} >= {("paused", "masked")}
    assert not [gap for gap in entry["gaps"] if gap["kind"] == "lost"]

    (path,) = tmp_path.rglob("*.tcap")
    data = path.read_bytes()
    tones = stream.frames[TALK : TALK + PRESSED]
    assert not [tone for tone in tones if tone[:32] in data]
    batches = list(read_capture(path).packets())
    held = [batch.packet(number) for batch in batches for number in range(len(batch.records))]
    assert {packet[12] for packet in held if packet[1] & 0x7F == EVENT} == {255}
    assert len(held) == len(packets(call))
