"""S28: whom a mixer names as heard in a stream (RFC 3550 §7.1), and what RTCP calls the sources."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from media.pipeline import Contributor, StreamQuality, render
from media.pipeline.contributors import MAX_CONTRIBUTORS
from tests.unit.media.pipeline.recordings import CaptureFile, Rtp, at, sound, stream, talk

SECOND = 8000
ANNA, BEN, CAROL = 0xA0A0A0A0, 0xB0B0B0B0, 0xC0C0C0C0
MIXER = 0x1000


def naming(packets: Sequence[Rtp], *csrcs: int) -> list[Rtp]:
    return [replace(packet, csrcs=csrcs) for packet in packets]


def description(*sources: tuple[int, bytes]) -> bytes:
    """Empty receiver report and SDES with the canonical names of some sources."""
    chunks = b""
    for ssrc, cname in sources:
        item = struct.pack("!IBB", ssrc, 1, len(cname)) + cname
        chunks += item + bytes(4 - len(item) % 4)
    head = struct.pack("!BBH", 0x80 | len(sources), 202, len(chunks) // 4)
    return struct.pack("!BBHI", 0x80, 201, 1, sources[0][0]) + head + chunks


def qualities(
    folder: Path, packets: Sequence[Rtp], rtcp: Sequence[tuple[int, float, bytes]] = ()
) -> list[StreamQuality]:
    captures = [CaptureFile(packets=packets, rtcp=rtcp).write(folder)]
    return render(captures, folder / "out.wav").streams


def test_s28_contributing_sources_are_told_with_their_names_and_times(tmp_path: Path) -> None:
    """Two speak, then one of them alone; the other party is nobody's mix."""
    mixed = talk(sound(5 * SECOND))
    mixed = naming(mixed[:100], ANNA, BEN) + naming(mixed[100:200], ANNA) + mixed[200:]
    plain = talk(sound(5 * SECOND, 2), ssrc=2, stream=1)
    names = description((MIXER, b"mixer@site"), (ANNA, b"anna@site"))
    first, second = qualities(tmp_path, mixed + plain, [(0, 1000.0, names)])
    assert first.contributors == [
        Contributor(
            csrc=ANNA, cname="anna@site", packets=200, seconds=4.0, first_arrival_ns=at(0), last_arrival_ns=at(3980)
        ),
        Contributor(csrc=BEN, cname="", packets=100, seconds=2.0, first_arrival_ns=at(0), last_arrival_ns=at(1980)),
    ]
    assert first.cnames == ["mixer@site"]
    assert (second.contributors, second.cnames) == ([], [])


def test_s28_a_source_that_changes_its_number_keeps_its_name(tmp_path: Path) -> None:
    packets = talk(sound(SECOND)) + talk(sound(SECOND, 2), ssrc=0x9999, start_ms=1000)
    names = [(0, 500.0, description((MIXER, b"anna@site"))), (0, 1500.0, description((0x9999, b"anna@site")))]
    (only,) = [one for one in qualities(tmp_path, packets, names) if one.stream == 0]
    assert (only.ssrcs, only.cnames) == ([MIXER, 0x9999], ["anna@site"])


def test_contributors_of_each_stream_are_told_apart(tmp_path: Path) -> None:
    left = naming(talk(sound(SECOND)), ANNA)
    right = naming(talk(sound(SECOND, 2), ssrc=2, stream=1), BEN, CAROL)
    first, second = qualities(tmp_path, left + right)
    assert [one.csrc for one in first.contributors] == [ANNA]
    assert {one.csrc for one in second.contributors} == {BEN, CAROL}


def test_a_sender_of_endless_new_contributors_does_not_fill_the_memory(tmp_path: Path) -> None:
    packets = talk(sound(30 * SECOND))
    packets = [replace(packet, csrcs=(number + 1,)) for number, packet in enumerate(packets)]
    assert len(packets) > MAX_CONTRIBUTORS
    (only,) = [one for one in qualities(tmp_path, packets) if one.stream == 0]
    assert len(only.contributors) == MAX_CONTRIBUTORS


def test_the_list_is_no_payload(tmp_path: Path) -> None:
    audio = sound(SECOND)
    capture = CaptureFile(packets=naming(talk(audio), ANNA, BEN), streams=[stream(0)]).write(tmp_path)
    render([capture], tmp_path / "out.wav")
    assert audio in (tmp_path / "out.wav").read_bytes()
