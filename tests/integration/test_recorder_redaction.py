"""Redaction on a real catalog and real files: the stretch is gone from the disk, and everything says so."""

from __future__ import annotations

import dataclasses
from uuid import UUID

import asyncpg
import numpy as np
import pytest
from numpy.typing import NDArray

from media.pipeline.output.wav import WavEncoding, WavFile
from media.pipeline.report import GapCause, GapKind
from recorder.curator.copies.audio import AudioReader
from recorder.redaction import Redactor
from storage.catalog.ledger import LedgerInterval, LedgerKind, account
from storage.catalog.records import OpenedSegment
from storage.errors import IntegrityBroken, UnderLegalHold
from storage.exit_codes import ExitCode
from storage.files import FileStore, directory_of, file_name
from tests.integration.storage_desk import Desk
from tests.integration.storage_samples import closing, rendered

pytestmark = pytest.mark.integration

RATE, FRAMES = 8000, 80_000
WORDS = ("recordings", "redact", "CALL0001", "--reason", "card number", "--yes")


async def recorded(desk: Desk) -> tuple[OpenedSegment, FileStore, NDArray[np.uint8]]:
    """Ten seconds of two parties, with a loss of the right one from 2.5 to 3 s."""
    sample, opened = await desk.record()
    await desk.catalog.close_segment(closing(sample))
    store = FileStore(desk.context.files_root)
    samples = np.random.default_rng(1).integers(0, 255, (FRAMES, 2)).astype(np.uint8)
    with store.begin(directory_of(sample.opened_at)) as pending:
        file = WavFile(pending.path, WavEncoding.MULAW, RATE, 2, FRAMES)
        file.write(samples)
        file.close()
        published = pending.publish(lambda digest: file_name("CALL0001", opened.recording_id, digest, ".wav"))
    result = rendered(opened.recording_id, sample)
    master = dataclasses.replace(
        result.files[0],
        path=published.path,
        size_bytes=published.size_bytes,
        sha256=published.sha256,
        frames=FRAMES,
    )
    loss = dataclasses.replace(result.gaps[0], party=1, start_s=2.5, duration_s=0.5)
    parties = [
        account(party, RATE, FRAMES, [LedgerInterval(0, FRAMES, LedgerKind.RECORDED, "received", "segment 1")])
        for party in (0, 1)
    ]
    await desk.catalog.publish(
        dataclasses.replace(result, duration_s=10.0, files=(master,), gaps=(loss,), ledger=tuple(parties)),
        job=await desk.catalog.claim_job("curator"),
    )
    return opened, store, samples


def redactor(desk: Desk, store: FileStore) -> Redactor:
    return Redactor(desk.catalog, lambda _: store, store)


async def redact(desk: Desk, store: FileStore) -> None:
    job = await desk.catalog.claim_job("curator", kinds=("redact",))
    assert job is not None
    await redactor(desk, store).redact(UUID(str(job.payload["recording_id"])), job=job)


def content(store: FileStore) -> list[bytes]:
    return [store.locate(file.path).read_bytes() for file in store.list()]


async def test_the_stretch_is_gone_from_the_disk(desk: Desk) -> None:
    opened, store, samples = await recorded(desk)
    told = await desk.json(*WORDS, "--from", "0:02", "--to", "4.00001", "--party", "1")
    assert (told["id"], told["from_s"], told["to_s"], told["party"], told["result"]) == (
        str(opened.recording_id), 2.0, 4.00001, 1, "redacting"
    )  # fmt: skip
    assert [(one["role"], one["format"], one["store"]) for one in told["recordings"]] == [
        ("recording", "wav-mulaw", "local")
    ]
    await redact(desk, store)
    expected = samples.copy()
    expected[16_000:32_001, 1] = 0xFF
    (only,) = content(store)
    assert expected.tobytes() in only
    shown = await desk.json("recordings", "show", "CALL0001")
    assert [(file["kind"], file["frames"]) for file in shown["files"]] == [("master", FRAMES)]
    assert [(gap["party"], gap["start_s"], gap["duration_s"], gap["kind"], gap["cause"]) for gap in shown["gaps"]] == [
        (1, 2.0, 2.000125, "paused", "redacted")
    ], "the loss inside of it is not told any more"
    (redaction,) = shown["redactions"]
    assert (redaction["reason"], redaction["party"], redaction["from_s"]) == ("card number", 1, 2.0)
    assert redaction["done_at"] is not None
    assert not shown["captures_kept"]
    assert "erase@host-a" in [job.kind for job in await desk.catalog.list_jobs()], "the captures go, too"
    left, right = await desk.catalog.redactions.ledger(opened.recording_id)
    assert [(one.kind, one.cause) for one in left.intervals] == [(LedgerKind.RECORDED, "received")]
    assert [(one.start, one.end, one.cause) for one in right.intervals] == [
        (0, 16_000, "received"),
        (16_000, 32_001, "redacted"),
        (32_001, FRAMES, "received"),
    ]
    assert "card number" in (await desk.type("recordings", "show", "CALL0001")).stdout
    entries = [entry async for entry in desk.catalog.audit.read() if entry.action == "redact"]
    assert [entry.reason for entry in entries] == ["card number"]


async def test_a_job_that_died_goes_on_where_it_was(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, store, _ = await recorded(desk)
    await desk.json(*WORDS, "--from", "1", "--to", "2")
    job = await desk.catalog.claim_job("curator", kinds=("redact",), lease_s=0.0)
    assert job is not None
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", lambda path: (_ for _ in ()).throw(OSError("power cut")))
        with pytest.raises(OSError, match="power cut"):
            await redactor(desk, store).redact(opened.recording_id, job=job)
    assert len(content(store)) == 2, "the old file is still there, and the catalog knows"
    shown = await desk.json("recordings", "show", "CALL0001")
    assert sorted(file["kind"] for file in shown["files"]) == ["master", "to-erase"]
    assert shown["redactions"][0]["done_at"] is None
    await redact(desk, store)
    assert len(content(store)) == 1
    shown = await desk.json("recordings", "show", "CALL0001")
    assert [file["kind"] for file in shown["files"]] == ["master"]
    assert [(gap["party"], gap["cause"]) for gap in shown["gaps"]] == [(0, "redacted"), (1, "redacted"), (1, "network")]
    assert shown["redactions"][0]["done_at"] is not None
    assert opened


async def test_what_is_asked_for_before_the_old_file_is_gone_is_silenced_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, store, samples = await recorded(desk)
    await desk.json(*WORDS, "--from", "1", "--to", "2")
    job = await desk.catalog.claim_job("curator", kinds=("redact",), lease_s=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", lambda path: (_ for _ in ()).throw(OSError("power cut")))
        with pytest.raises(OSError, match="power cut"):
            await redactor(desk, store).redact(opened.recording_id, job=job)
    await desk.json(*WORDS, "--from", "5", "--to", "6")
    await redact(desk, store)
    expected = samples.copy()
    expected[8000:16_000] = expected[40_000:48_000] = 0xFF
    (only,) = content(store)
    assert expected.tobytes() in only
    shown = await desk.json("recordings", "show", "CALL0001")
    assert all(one["done_at"] for one in shown["redactions"])


async def test_a_file_that_somebody_changed_is_not_signed_anew(desk: Desk) -> None:
    _, store, _ = await recorded(desk)
    (file,) = store.list()
    path = store.locate(file.path)
    path.chmod(0o600)
    with path.open("r+b") as changed:
        changed.seek(5000)
        changed.write(b"\0\1\2\3")
    await desk.json(*WORDS, "--from", "1", "--to", "2")
    with pytest.raises(IntegrityBroken, match="not redacted"):
        await redact(desk, store)


async def test_a_hold_forbids_it_also_in_between(desk: Desk) -> None:
    opened, store, samples = await recorded(desk)
    await desk.json(*WORDS, "--from", "1", "--to", "2")
    await desk.catalog.holds.place(opened.recording_id, reason="court", by="anna")
    with pytest.raises(UnderLegalHold):
        await redact(desk, store)
    assert any(samples.tobytes() in one for one in content(store))
    result = await desk.type(*WORDS, "--from", "1", "--to", "2")
    assert result.exit_code == ExitCode.REFUSED
    assert "legal hold" in result.stderr


async def test_a_redacted_recording_can_still_be_compared(desk: Desk) -> None:
    opened, store, _ = await recorded(desk)
    await desk.json(*WORDS, "--from", "1", "--to", "2", "--party", "0")
    await redact(desk, store)
    sound = await AudioReader(desk.catalog, store).open(opened.recording_id)
    assert [(gap.kind, gap.cause) for gap in sound.voices[0].gaps] == [(GapKind.PAUSED, GapCause.REDACTED)]
    assert sound.voices[0].paused.pairs() == [(8000, 16_000)]


async def test_a_cause_that_is_not_known_counts_by_its_kind(desk: Desk, catalog_dsn: str) -> None:
    opened, store, _ = await recorded(desk)
    connection = await asyncpg.connect(catalog_dsn)
    try:
        await connection.execute("UPDATE gaps SET cause = 'of-a-later-recorder'")
    finally:
        await connection.close()
    sound = await AudioReader(desk.catalog, store).open(opened.recording_id)
    assert [(gap.kind, gap.cause) for gap in sound.voices[1].gaps] == [(GapKind.LOST, GapCause.NETWORK)]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--from", "3", "--to", "2"), ExitCode.USAGE),
        (("--from", "x", "--to", "2"), ExitCode.USAGE),
        (("--from", "11", "--to", "12"), ExitCode.USAGE),
        (("--from", "1", "--to", "2", "--party", "2"), ExitCode.USAGE),
    ],
)
async def test_what_cannot_be_is_refused(desk: Desk, options: tuple[str, ...], code: ExitCode) -> None:
    _, store, samples = await recorded(desk)
    assert (await desk.type(*WORDS, *options)).exit_code == code
    assert samples.tobytes() in content(store)[0]


async def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    await recorded(desk)
    told = await desk.json(*WORDS, "--from", "1", "--to", "2", "--dry-run")
    assert told["result"] == "would-redact"
    assert (await desk.json("recordings", "show", "CALL0001"))["redactions"] == []
