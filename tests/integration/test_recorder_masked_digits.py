"""Digits that a caller keys in, with a profile that has them masked: on no disk, and the recording keeps its length."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from media.container import read_capture
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import SILENCE
from tests.failover.chaos.faults import Target
from tests.failover.chaos.literal import acknowledged, offered, reply
from tests.failover.chaos.moves import draining, moved, whole, writer_of
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


@contextmanager
def masking(directory: Path) -> Iterator[RunningRecorder]:
    """Run a recorder whose profile has digits masked."""
    profiles = directory / "profiles"
    profiles.mkdir()
    (profiles / "cards.toml").write_text(PROFILE)
    recorder = RunningRecorder(directory / "state", environment={"RECORDER_PROFILES_DIRECTORY": str(profiles)})
    with recorder:
        yield recorder


def press(call: Call) -> None:
    """Send the packets at the pace of speech, an event at once behind the tone of its time."""
    stream = call.media.streams[0]
    for packet in packets(call):
        time.sleep(0.02 * (packet[1] & 0x7F == 0))
        stream.socket.sendto(packet, stream.target)


def assert_no_digit(path: Path, call: Call) -> int:
    """A capture holds no tone, and its events name no digit; returns their number."""
    data = path.read_bytes()
    assert not [tone for tone in call.media.streams[0].frames[TALK : TALK + PRESSED] if tone[:32] in data]
    batches = list(read_capture(path).packets())
    held = [batch.packet(number) for batch in batches for number in range(len(batch.records))]
    events = [packet for packet in held if packet[1] & 0x7F == EVENT]
    assert {packet[12] for packet in events} <= {255}
    return len(events)


def test_no_digit_and_no_tone_reaches_a_disk(tmp_path: Path) -> None:
    with masking(tmp_path) as recorder, Call(recorder, parties=1) as call:
        call.place()
        stream = call.media.streams[0]
        press(call)
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
    assert assert_no_digit(path, call) == PRESSED
    batches = list(read_capture(path).packets())
    assert sum(len(batch.records) for batch in batches) == len(packets(call))


def test_after_a_move_to_another_writer_no_digit_and_no_tone_reaches_a_disk_either(tmp_path: Path) -> None:
    with masking(tmp_path) as recorder, Call(recorder, parties=1) as call:
        target = Target(recorder)
        whole(target)
        call.place()
        with draining(target, writer_of(recorder, call)):
            offer = offered(call)
            reply(call, offer, 200)
            assert acknowledged(call, offer)
            moved(recorder, call)
            press(call)
            assert call.dialog.bye().status == 200
        call.finished()

    captures = list(tmp_path.rglob("*.tcap"))
    assert len(captures) == 2
    assert max(assert_no_digit(path, call) for path in captures) == PRESSED
