"""Length-prefixed MessagePack."""

from __future__ import annotations

import struct

import msgspec
import pytest

from media.writer.framing import BadFrame, FrameBuffer, decode_command, decode_reply, encode_frame, request_number
from media.writer.protocol import MAX_MESSAGE, ListSessions, SessionList

COMMAND = ListSessions(request=7, epoch=3)


def test_a_frame_is_four_bytes_of_length_and_the_body() -> None:
    frame = encode_frame(COMMAND)
    assert struct.unpack("!I", frame[:4])[0] == len(frame) - 4
    assert decode_command(frame[4:]) == COMMAND


def test_frames_come_out_whole_however_the_bytes_arrive() -> None:
    stream = encode_frame(COMMAND) * 3
    for step in (1, 3, len(stream)):
        buffer = FrameBuffer()
        found = [body for at in range(0, len(stream), step) for body in buffer.feed(stream[at : at + step])]
        assert [decode_command(body) for body in found] == [COMMAND] * 3


def test_a_frame_above_the_limit_is_refused_before_it_is_stored() -> None:
    with pytest.raises(BadFrame, match="exceeds"):
        FrameBuffer().feed(struct.pack("!I", MAX_MESSAGE + 1))


def test_what_is_no_message_is_a_bad_frame() -> None:
    for body in (b"", b"\xc1", msgspec.msgpack.encode({"type": "dance", "request": 4}), b"\xff" * 9):
        with pytest.raises(BadFrame):
            decode_command(body)
        with pytest.raises(BadFrame):
            decode_reply(body)


def test_a_reply_is_read_back() -> None:
    reply = SessionList(request=1, sessions=[])
    assert decode_reply(encode_frame(reply)[4:]) == reply


def test_the_number_of_a_request_is_found_where_it_is_no_known_command() -> None:
    assert request_number(msgspec.msgpack.encode({"type": "dance", "request": 4})) == 4
    with pytest.raises(BadFrame):
        request_number(b"GET / HTTP/1.1")
