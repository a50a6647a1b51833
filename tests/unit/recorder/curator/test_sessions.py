"""Sessions of one recording at the same time: the same is merged, other parties stay apart, nothing is summed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from media.container import Stream
from media.pipeline import GapCause, Rendering
from recorder.curator.accounting import ledger_of
from recorder.curator.sessions import Rendered, render_recording
from storage.catalog.records import CaptureLocation, RecordedSegment, RecordedStream, SegmentState
from storage.files import FileStore
from tests.unit.media.pipeline.recordings import START_NS, CaptureFile, Rtp, sound, stream, talk, wav_channels

AGENT, CUSTOMER, OTHER = sound(32_000, 11), sound(32_000, 22), sound(32_000, 33)
QUIET = b"\xff" * 32_000


def said(*voices: bytes, seed: int, start_ms: float = 0.0, without: range = range(0)) -> list[Rtp]:
    """Packets of one session, one stream for each voice; `without` are numbers that the network lost."""
    return [
        packet
        for number, voice in enumerate(voices)
        for position, packet in enumerate(
            talk(
                voice,
                stream=number,
                ssrc=seed * 16 + number,
                sequence=seed * 1000,
                timestamp=seed * 70_000,
                start_ms=start_ms,
            )
        )
        if position not in without
    ]


class Sessions:
    """The captures of a recording, a session each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FileStore(folder / "store")
        self.captures: dict[Path, int] = {}
        self.segments: list[RecordedSegment] = []

    def add(self, packets: Sequence[Rtp], *, parties: int = 2, speakers: Sequence[str] = ()) -> None:
        number = len(self.segments)
        streams: list[Stream] = [stream(index) for index in range(parties)]
        opened_ms = min(packet.arrival_ms for packet in packets) - 50
        path = CaptureFile(packets=packets, streams=streams, session=f"{number + 1:032x}", opened_ms=opened_ms).write(
            self.folder
        )
        self.captures[path] = number
        last_ms = max(packet.arrival_ms for packet in packets)
        self.segments.append(
            RecordedSegment(
                segment_id=UUID(int=number + 1),
                ordinal=number + 1,
                state=SegmentState.CLOSED,
                interrupted=False,
                captures=(CaptureLocation(writer="writer-1", host="host-a", path=str(path)),),
                opened_at=datetime.fromtimestamp(START_NS / 1e9 + opened_ms / 1000, UTC),
                closed_at=datetime.fromtimestamp(START_NS / 1e9 + last_ms / 1000, UTC),
                end_cause="bye",
                streams=tuple(
                    RecordedStream(
                        index=index,
                        party=index,
                        label="",
                        participant={"dn": speakers[index]} if index < len(speakers) else None,
                    )
                    for index in range(parties)
                ),
            )
        )

    def render(self) -> tuple[Rendered, list[bytes]]:
        target = self.folder / "target.wav"
        rendered = render_recording(self.captures, self.segments, target, self.store)
        assert not list((self.store.root / ".unfinished").glob("*")), "scratch files are left behind"
        channels = wav_channels(target, rendered.rendering.channels)
        return rendered, [channel.tobytes() for channel in channels]


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path)


def sources(rendering: Rendering, sessions: Sessions, party: int) -> list[tuple[int, int, str]]:
    """The ledger of a party, which also says that every frame of it is told once."""
    ledger = ledger_of(rendering, sessions.segments, datetime.fromtimestamp(rendering.started_at_ns / 1e9, UTC))
    found = [(one.start, one.end, one.source) for one in ledger[party].intervals]
    assert found[0][0] == 0
    assert found[-1][1] == rendering.frames
    assert all(one[1] == next_[0] for one, next_ in itertools.pairwise(found))
    return found


def test_sessions_one_after_the_other_are_rendered_as_ever(sessions: Sessions) -> None:
    sessions.add(said(AGENT, CUSTOMER, seed=1))
    sessions.add(said(AGENT, CUSTOMER, seed=2, start_ms=5000))
    rendered, _ = sessions.render()
    assert not [warning for warning in rendered.rendering.warnings if warning.startswith("side-by-side")]
    assert GapCause.NO_SESSION in {gap.cause for gap in rendered.rendering.gaps}
    assert [numbers for numbers, _ in rendered.streams] == [[0, 1], [0, 1]]


def test_the_same_heard_twice_is_there_once_and_whole(sessions: Sessions) -> None:
    sessions.add(said(AGENT, CUSTOMER, seed=1, without=range(20, 40)))
    sessions.add(said(AGENT, CUSTOMER, seed=2, start_ms=7.3, without=range(90, 100)))
    rendered, channels = sessions.render()
    assert channels == [AGENT, CUSTOMER]
    assert rendered.rendering.gaps == []
    assert [party.sessions.keys() for party in rendered.rendering.parties] == [{0, 1}, {0, 1}]
    # Session 2 received more; session 1 fills what it lacks.
    assert sources(rendered.rendering, sessions, 0) == [
        (0, 90 * 160, "segment 2"),
        (90 * 160, 100 * 160, "segment 1"),
        (100 * 160, 32_000, "segment 2"),
    ]
    assert sorted((numbers, quality.party) for numbers, quality in rendered.streams) == [
        ([0], 0),
        ([0], 1),
        ([1], 0),
        ([1], 1),
    ]


def test_parties_in_the_other_order_are_put_together_by_what_they_say(sessions: Sessions) -> None:
    sessions.add(said(AGENT, CUSTOMER, seed=1, without=range(20, 40)))
    sessions.add(said(CUSTOMER, AGENT, seed=2, start_ms=7.3))
    rendered, channels = sessions.render()
    assert channels == [AGENT, CUSTOMER]
    assert rendered.rendering.gaps == []


def test_parties_under_one_identifier_stay_parties(sessions: Sessions) -> None:
    sessions.add(said(AGENT, seed=1), parties=1, speakers=["5001"])
    sessions.add(said(CUSTOMER, seed=2, start_ms=30), parties=1, speakers=["5002"])
    rendered, channels = sessions.render()
    assert channels[0][:32_000] == AGENT
    assert channels[1][240:] == CUSTOMER
    assert sorted((numbers, quality.party) for numbers, quality in rendered.streams) == [([0], 0), ([1], 1)]


def test_a_party_that_pauses_and_goes_on_in_another_session_stays_in_its_channel(sessions: Sessions) -> None:
    """Stop and start of sessions per party, in the other order: each channel is one DN."""
    sessions.add(said(AGENT, seed=1), parties=1, speakers=["5001"])
    sessions.add(said(CUSTOMER, seed=2), parties=1, speakers=["5002"])
    sessions.add(said(CUSTOMER, seed=3, start_ms=6000), parties=1, speakers=["5002"])
    sessions.add(said(AGENT, seed=4, start_ms=6020), parties=1, speakers=["5001"])
    _, channels = sessions.render()
    assert len(channels) == 2
    assert (channels[0].count(AGENT), channels[0].count(CUSTOMER)) == (2, 0)
    assert (channels[1].count(AGENT), channels[1].count(CUSTOMER)) == (0, 2)


def test_one_party_in_common_is_there_once(sessions: Sessions) -> None:
    """A session of both and one of the agent alone: the agent once, the customer whole."""
    sessions.add(said(AGENT, CUSTOMER, seed=1, without=range(20, 40)))
    sessions.add(said(AGENT, seed=2, start_ms=3), parties=1)
    rendered, channels = sessions.render()
    assert len(channels) == 2
    assert channels[0] == AGENT
    assert [(gap.party, gap.frames) for gap in rendered.rendering.gaps] == [(1, 20 * 160)]


def test_the_last_words_of_one_session_and_the_first_of_the_next_are_not_summed(sessions: Sessions) -> None:
    """Media Server failover: the new one sends while the old one still does, 0.4 s of other sound."""
    sessions.add(said(AGENT, CUSTOMER, seed=1))
    sessions.add(said(OTHER, CUSTOMER, seed=2, start_ms=3600))
    rendered, channels = sessions.render()
    assert len(channels) == 2
    assert channels[0][: 3600 * 8] == AGENT[: 3600 * 8]
    assert channels[0][4000 * 8 :] == OTHER[400 * 8 :]
    both = np.frombuffer(channels[0][3600 * 8 : 4000 * 8], np.uint8)
    assert both.tobytes() in (AGENT[3600 * 8 :], OTHER[: 400 * 8])
    assert rendered.rendering.gaps == []


def test_what_is_played_again_later_is_not_the_same_moment(sessions: Sessions) -> None:
    """An announcement at both ends: two sessions of other parties, each hears it 2 s after the other."""
    sessions.add(said(AGENT, seed=1), parties=1)
    sessions.add(said(AGENT, seed=2, start_ms=2000), parties=1)
    _, channels = sessions.render()
    assert channels == [AGENT + QUIET[:16_000], QUIET[:16_000] + AGENT]


def test_silence_beside_a_session_covers_nothing_of_it(sessions: Sessions) -> None:
    sessions.add(said(QUIET, QUIET, seed=1))
    sessions.add(said(AGENT, CUSTOMER, seed=2))
    _, channels = sessions.render()
    assert AGENT in channels
    assert CUSTOMER in channels


def test_three_at_once(sessions: Sessions) -> None:
    sessions.add(said(AGENT, seed=1, without=range(50, 60)), parties=1)
    sessions.add(said(CUSTOMER, seed=2), parties=1)
    sessions.add(said(AGENT, seed=3, start_ms=5), parties=1)
    rendered, channels = sessions.render()
    assert channels == [AGENT, CUSTOMER]
    assert any("1 the same as one before it" in warning for warning in rendered.rendering.warnings)
