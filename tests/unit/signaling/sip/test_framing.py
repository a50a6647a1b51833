"""Messages out of a stream."""

from __future__ import annotations

import pytest

from signaling.sip import PING, PONG, StreamFramer, parse_message, reject_malformed
from signaling.sip.parser import MAX_HEAD

HEAD = (
    b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:h>\r\n"
    b"Call-ID: c\r\nCSeq: 1 OPTIONS\r\n"
)
EMPTY = HEAD + b"Content-Length: 0\r\n\r\n"
BODY = HEAD + b"l: 12\r\n\r\na\r\n\r\nb\n\nc\r\n\r"
FOLDED = HEAD + b"Content-Length:\r\n 2\r\n\r\nab"
BARE = EMPTY.replace(b"\r\n", b"\n")


def test_one_message() -> None:
    framer = StreamFramer()
    assert framer.feed(EMPTY) == [EMPTY]
    assert (framer.feed(b""), framer.error, framer.pings()) == ([], None, 0)


def test_several_messages_in_one_chunk() -> None:
    assert StreamFramer().feed(EMPTY + BODY + FOLDED + BARE) == [EMPTY, BODY, FOLDED, BARE]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_one_message_in_many_chunks(size: int) -> None:
    data = BODY + BARE + FOLDED + EMPTY
    framer = StreamFramer()
    messages = [message for at in range(0, len(data), size) for message in framer.feed(data[at : at + size])]
    assert messages == [BODY, BARE, FOLDED, EMPTY]


def test_what_is_framed_can_be_parsed() -> None:
    assert parse_message(StreamFramer().feed(BODY)[0]).body == b"a\r\n\r\nb\n\nc\r\n\r"


def test_a_ping_is_a_double_crlf() -> None:
    framer = StreamFramer()
    framer.feed(PING)
    assert (framer.pings(), framer.pings()) == (1, 0)


def test_a_ping_may_come_in_pieces() -> None:
    framer = StreamFramer()
    for octet in PING:
        framer.feed(bytes([octet]))
    assert framer.pings() == 1


def test_a_pong_is_no_ping() -> None:
    framer = StreamFramer()
    framer.feed(PONG)
    assert framer.pings() == 0


def test_a_single_crlf_before_each_message_never_adds_up_to_a_ping() -> None:
    framer = StreamFramer()
    assert framer.feed(PONG + EMPTY + PONG + EMPTY) == [EMPTY, EMPTY]
    assert framer.pings() == 0


def test_a_ping_between_messages() -> None:
    framer = StreamFramer()
    assert framer.feed(EMPTY + PING + EMPTY) == [EMPTY, EMPTY]
    assert framer.pings() == 1


def test_an_endless_run_of_pings_is_not_kept() -> None:
    framer = StreamFramer()
    for _ in range(100):
        framer.feed(PING * 1000)
    assert framer.pings() == 100_000
    assert len(framer._buffer) == 0


def test_a_message_without_content_length_ends_the_stream() -> None:
    framer = StreamFramer()
    assert framer.feed(EMPTY + HEAD + b"\r\n" + EMPTY) == [EMPTY]
    assert framer.error is not None
    assert (framer.error.status, framer.error.header) == (400, "Content-Length")
    answer = reject_malformed(framer.error, to_tag="t")
    assert answer is not None
    assert answer.headers.get("CSeq") == "1 OPTIONS"


def test_after_an_error_nothing_is_read() -> None:
    framer = StreamFramer()
    framer.feed(HEAD + b"Content-Length: x\r\n\r\n")
    assert framer.feed(EMPTY) == []


@pytest.mark.parametrize("lines", [b"l: 1\r\nContent-Length: 2\r\n", b"l: -1\r\n", b"l: 99999999999\r\n"])
def test_a_content_length_that_says_nothing_ends_the_stream(lines: bytes) -> None:
    framer = StreamFramer()
    framer.feed(HEAD + lines + b"\r\n")
    assert framer.error is not None


def test_a_malformed_message_with_a_true_length_does_not_end_the_stream() -> None:
    framer = StreamFramer()
    malformed = b"what is this\r\nContent-Length: 2\r\n\r\nab"
    assert framer.feed(malformed + EMPTY) == [malformed, EMPTY]


def test_a_head_that_never_ends_is_given_up() -> None:
    framer = StreamFramer()
    framer.feed(HEAD + b"X: " + b"v" * MAX_HEAD)
    assert framer.error is not None
    assert framer.error.status == 513
    assert len(framer._buffer) == 0


def test_too_large_a_message_is_refused_before_its_body_comes() -> None:
    framer = StreamFramer(max_message=1000)
    framer.feed(HEAD + b"Content-Length: 1000\r\n\r\n")
    assert framer.error is not None
    answer = reject_malformed(framer.error, to_tag="t")
    assert answer is not None
    assert answer.status == 513
