"""Messages over a stream: what arrives whole, and what ends a connection."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from recorder.errors import ChannelLostError
from recorder.frames import Frames, framed


class Word(msgspec.Struct, frozen=True, tag="word"):
    text: str


FRAMES = Frames[Word](msgspec.msgpack.Decoder(Word), limit=64, peer="the other side")


def reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def test_messages_come_one_by_one() -> None:
    reader = reader_of(framed(Word("one")) + framed(Word("two")))
    assert [await FRAMES.receive(reader) for _ in range(2)] == [Word("one"), Word("two")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the other side is gone"),
        (framed(Word("cut"))[:-1], "the other side is gone"),
        (framed(Word("x" * 65)), "frame of"),
        (b"\x00\x00\x00\x01\xc1", "the other side is gone"),
    ],
    ids=["end", "cut off", "too long", "another language"],
)
async def test_whatever_else_comes_is_a_lost_channel(data: bytes, said: str) -> None:
    with pytest.raises(ChannelLostError, match=said):
        await FRAMES.receive(reader_of(data))
