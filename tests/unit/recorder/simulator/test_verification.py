"""Finding recordings in a catalog and judging them; the catalog is a list here, the files are real."""

import struct
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import numpy as np
import pytest

from recorder.simulator.audio_file import RecordedAudio
from recorder.simulator.journal import Journal, Note
from recorder.simulator.oracle import Tolerance, Verdict
from recorder.simulator.scenario import Impairments
from recorder.simulator.verification import Patience, verify
from storage.catalog import Catalog
from storage.catalog.records import Door, GapKind, RecordingState
from storage.catalog.views import FileView, GapView, RecordingDetail, RecordingFilter, RecordingSummary
from tests.unit.recorder.simulator.recordings import START_NS, make, run_journal

AT = datetime.fromtimestamp(START_NS / 1e9, UTC)
LOSSY = Impairments(loss=0.1)


class ListedCatalog:
    """Answers the two queries that verification asks, from rows that become visible one poll after another."""

    def __init__(self, *polls: Sequence[RecordingDetail]) -> None:
        self._polls = list(polls)
        self.asked: list[RecordingFilter] = []

    async def list_recordings(self, wanted: RecordingFilter) -> list[RecordingSummary]:
        self.asked.append(wanted)
        rows = self._polls.pop(0) if len(self._polls) > 1 else self._polls[0]
        return [row.summary for row in rows]

    async def get_recording(self, reference: UUID) -> RecordingDetail | None:
        rows = {row.summary.recording_id: row for poll in self._polls for row in poll}
        return rows.get(reference)


def journal() -> Journal:
    book = run_journal(impairments=LOSSY)
    book.notes.append(Note(START_NS, 0, "media-started"))
    return book


def write_wav(path: Path, audio: RecordedAudio) -> None:
    octets = audio.frames.tobytes()
    fmt = struct.pack("<HHIIHHH", 7, 2, 8000, 16000, 2, 8, 0)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(octets)) + octets
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def recorded(root: Path, audio: RecordedAudio | None = None, **changes: object) -> RecordingDetail:
    """Return the perfect catalog entry of the one call, with a perfect file unless another is given."""
    made = make(impairments=LOSSY)
    facts = made.expected.facts
    audio = audio or made.audio
    write_wav(root / "master.wav", audio)
    gaps = tuple(
        GapView(
            party=gap.party, start_s=gap.start_s, duration_s=gap.duration_s, kind=GapKind(gap.kind), cause="",
            segment_id=None,
        )
        for gap in made.gaps
    )  # fmt: skip
    summary = RecordingSummary(
        recording_id=uuid4(), record_identifier=facts.record_identifier, door=Door.MSR,
        state=RecordingState.COMPLETE, started_at=AT, ended_at=AT + timedelta(seconds=1),
        duration_s=len(audio.frames) / 8000, call_uuid=facts.call_uuid, conn_id=None, ani=facts.ani, dnis=facts.dnis,
        dn=facts.dn, other_dn=facts.other_dn, record_dn=None, agent_id=None, sips_app_name=None, tenant=None,
        sip_call_ids=(facts.call_id,), gaps=gaps,
    )  # fmt: skip
    file = FileView(
        kind="master", store="local", path="master.wav", format="g711", sample_rate=8000, channels=2,
        frames=len(audio.frames), size_bytes=0, sha256=bytes(32), created_at=AT,
    )  # fmt: skip
    return RecordingDetail(
        summary=replace(summary, **changes),  # type: ignore[arg-type]
        parameters=(), warnings=(), segments=(), files=(file,),
    )  # fmt: skip


async def judged(root: Path, *polls: Sequence[RecordingDetail], **options: object) -> Verdict:
    catalog = cast("Catalog", ListedCatalog(*polls))
    patience = Patience(limit_s=0.0)
    (verdict,) = await verify(journal(), catalog, root, **{"patience": patience, **options})  # type: ignore[arg-type]
    return verdict


async def test_a_perfect_recording_is_equal(tmp_path: Path) -> None:
    verdict = await judged(tmp_path, [recorded(tmp_path)])
    assert verdict.differences == ()
    assert verdict.sent == verdict.recorded > 80


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"state": RecordingState.INTERRUPTED}, "state is interrupted, expected complete"),
        ({"door": Door.SIP}, "door is sip, expected msr"),
        ({"record_identifier": "other"}, "record identifier is other, expected "),
        ({"call_uuid": None}, "call_uuid is None, expected "),
        ({"ani": "1"}, "ani is 1, expected 6660100"),
        ({"dnis": "1"}, "dnis is 1, expected 5550000"),
        ({"dn": "1"}, "dn is 1, expected 5550100"),
        ({"other_dn": "1"}, "other_dn is 1, expected 6660100"),
        ({"duration_s": 2.0}, "duration is 2.0 s, the file has "),
        ({"gaps": ()}, "missing but not declared so"),
    ],
)
async def test_what_the_catalog_says_wrongly_is_a_difference(
    tmp_path: Path, changes: dict[str, object], claim: str
) -> None:
    verdict = await judged(tmp_path, [recorded(tmp_path, None, **changes)])
    assert claim in verdict.differences[0].detail
    assert verdict.sent == verdict.recorded


async def test_one_altered_octet_in_the_file_is_a_difference(tmp_path: Path) -> None:
    made = make(impairments=LOSSY)
    frames = made.audio.frames.copy()
    frames[4000, 1] ^= 0x08
    detail = recorded(tmp_path, RecordedAudio(made.audio.encoding, 8000, frames.astype(np.uint8)))
    verdict = await judged(tmp_path, [detail])
    (difference,) = verdict.differences
    assert (difference.what, difference.party, difference.second) == ("altered", 1, 0.5)


async def test_a_call_without_recording_has_lost_everything(tmp_path: Path) -> None:
    verdict = await judged(tmp_path, [])
    assert [d.detail for d in verdict.differences] == ["there is no recording of this session"]
    assert verdict.recorded == 0
    assert verdict.sent > 80


async def test_a_recording_that_never_becomes_final_is_named_with_its_state(tmp_path: Path) -> None:
    detail = replace(recorded(tmp_path, state=RecordingState.FINALISING, duration_s=None), files=())
    verdict = await judged(tmp_path, [detail])
    assert [d.detail for d in verdict.differences] == ["state finalising, no file"]


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    detail = recorded(tmp_path)
    (tmp_path / "master.wav").unlink()
    verdict = await judged(tmp_path, [detail])
    assert "No such file" in verdict.differences[0].detail


async def test_it_waits_until_the_recording_is_final_and_says_how_far_it_is(tmp_path: Path) -> None:
    final = recorded(tmp_path)
    working = replace(final, summary=replace(final.summary, state=RecordingState.FINALISING))
    said: list[tuple[int, int]] = []
    patience = Patience(limit_s=30.0, progress=lambda done, wanted: said.append((done, wanted)))
    verdict = await judged(tmp_path, [], [working], [final], patience=patience)
    assert verdict.equal
    assert said == [(0, 1), (1, 1)]


async def test_an_expected_interruption_is_right(tmp_path: Path) -> None:
    detail = recorded(tmp_path, state=RecordingState.INTERRUPTED)
    assert (await judged(tmp_path, [detail], interrupted=frozenset({0}))).equal


async def test_calls_without_media_are_not_looked_for(tmp_path: Path) -> None:
    book = run_journal()
    book.notes.append(Note(START_NS, 0, "refused"))
    assert await verify(book, cast("Catalog", ListedCatalog([])), tmp_path) == []


async def test_a_call_that_sent_nothing_must_be_declared_without_media(tmp_path: Path) -> None:
    book = run_journal(impairments=Impairments(loss=1.0))
    book.notes.append(Note(START_NS, 0, "media-started"))
    for state, equal in ((RecordingState.NO_MEDIA, True), (RecordingState.COMPLETE, False)):
        detail = replace(recorded(tmp_path, state=state, duration_s=None), files=())
        catalog = cast("Catalog", ListedCatalog([detail]))
        (verdict,) = await verify(book, catalog, tmp_path, patience=Patience(limit_s=0.0))
        assert (verdict.equal, verdict.sent) == (equal, 0)


async def test_a_call_whose_media_are_all_lost_declares_it_by_its_state(tmp_path: Path) -> None:
    """The host that received them was lost before any was written, and the call was paused for the rest."""
    detail = replace(recorded(tmp_path, state=RecordingState.NO_MEDIA, duration_s=None), files=())
    for tolerance, equal in ((Tolerance(declared_loss=True), True), (Tolerance(), False)):
        catalog = cast("Catalog", ListedCatalog([detail]))
        (verdict,) = await verify(journal(), catalog, tmp_path, patience=Patience(limit_s=0.0), tolerance=tolerance)
        assert (verdict.equal, verdict.recorded) == (equal, 0)
        assert verdict.sent > 80


async def test_recordings_are_sought_page_by_page(tmp_path: Path) -> None:
    wanted = recorded(tmp_path)
    others = [
        replace(wanted, summary=replace(wanted.summary, recording_id=uuid4(), sip_call_ids=("x",))) for _ in range(500)
    ]
    catalog = ListedCatalog(others, [wanted])
    (verdict,) = await verify(journal(), cast("Catalog", catalog), tmp_path, patience=Patience(limit_s=0.0))
    assert verdict.equal
    assert catalog.asked[0].after is None
    assert catalog.asked[1].after == others[-1].summary.key
