"""Redaction in every store and form: in clear and encrypted, on disk and in object storage, lossless and lossy."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from rich.console import Console

from recorder.admin.recordings_redact import Redaction, RedactOptions
from recorder.stores import s3_options
from storage.catalog import Catalog
from storage.catalog.views import FileView, RecordingDetail
from storage.cli.audio_source import open_audio
from storage.cli.context import CliContext, CommandFailed
from storage.encryption import Envelope
from storage.errors import WrongKey
from tests.integration.test_curator_files import s3_tables
from tests.kit.curating import QUICK, Curating
from tests.kit.object_storage import ObjectStorage, object_storage
from tests.kit.recipients import make_recipient

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

RATE = 8000


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStorage]:
    with object_storage() as running:
        yield running


class Desk:
    """Types the command at a curator's side."""

    def __init__(self, curator: Curating, dsn: str) -> None:
        self.curator = curator
        self.context = CliContext(
            dsn=dsn,
            files_root=curator.depot.local.root,
            state_dir=curator.state_dir,
            object_store=s3_options(curator.settings),
        )

    async def redact(self, reference: str, key: Path | None = None, *, dry_run: bool = False) -> dict[str, object]:
        answer = io.StringIO()
        options = RedactOptions(
            reference=reference,
            start="1",
            end="1.5",
            party=1,
            reason="card number",
            key=key,
            yes=True,
            dry_run=dry_run,
            as_json=True,
        )
        command = Redaction(self.curator.catalog, self.context, Console(file=answer, width=200), by="anna")
        await command.run(options)
        told: dict[str, object] = json.loads(answer.getvalue())
        return told

    async def file(self, reference: str) -> FileView:
        recording = await self.curator.catalog.get_recording(reference)
        assert isinstance(recording, RecordingDetail)
        (file,) = recording.files
        return file

    async def sound(self, reference: str, key: Path | None, out: Path) -> NDArray[np.int16]:
        source = await open_audio(self.curator.catalog, self.context, await self.file(reference), key)
        source.write(out, replace=True)
        samples: NDArray[np.int16] = soundfile.read(str(out), dtype="int16", always_2d=True)[0]
        return samples


@pytest.mark.parametrize(
    "stored",
    [("flac", False, False), ("g711", True, False), ("flac", True, True), ("opus", False, True)],
)
async def test_it_is_gone_and_everything_else_is_there(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, server: ObjectStorage, *, stored: tuple[str, bool, bool]
) -> None:
    """Format, whether in the object store, whether encrypted."""
    form, remote, encrypted = stored
    public, private = make_recipient(tmp_path / "archive", "x25519")
    _, stranger = make_recipient(tmp_path / "other", "x25519")
    own = {"format": form, "encrypt_to": [str(public)] if encrypted else []}
    curator = Curating(catalog, tmp_path / "state", **(s3_tables(server, **own) if remote else {"recordings": own}))
    await curator.record("CALL0001", seconds=2.0)
    await curator.work()
    desk, key, out = Desk(curator, catalog_dsn), private if encrypted else None, tmp_path / "out"
    old = await desk.file("CALL0001")
    assert old.store == ("s3" if remote else "local")
    assert old.path.endswith(".enc") is encrypted
    before = await desk.sound("CALL0001", key, out)
    if encrypted:
        with pytest.raises(CommandFailed, match="--key"):
            await desk.redact("CALL0001")
        with pytest.raises(WrongKey):
            await desk.redact("CALL0001", stranger)
        assert (await desk.redact("CALL0001", dry_run=True))["result"] == "would-redact"
    assert await desk.file("CALL0001") == old
    recording = await catalog.get_recording("CALL0001")
    assert isinstance(recording, RecordingDetail)
    assert recording.redactions == ()

    told = await desk.redact("CALL0001", key)
    assert [one["done"] for one in told["recordings"]] == [encrypted]  # type: ignore[attr-defined]
    await curator.work(kinds=("redact", *QUICK))
    new = await desk.file("CALL0001")
    assert (new.store, new.format, new.frames) == (old.store, old.format, old.frames)
    assert new.sha256 != old.sha256
    after = await desk.sound("CALL0001", key, out)
    silent = after[RATE : RATE + RATE // 2, 1]
    assert np.abs(before[RATE : RATE + RATE // 2, 1]).max() > 1000, "there was something"
    if form == "opus":
        assert np.abs(silent[400:-400]).max() < 200, "the coding of the other channel may be heard a little"
    else:
        assert not silent.any()
        expected = before.copy()
        expected[RATE : RATE + RATE // 2, 1] = silent
        assert np.array_equal(after, expected)
    store = curator.depot.store(old.store)
    assert store.stat(old.path) is None
    assert store.stat(old.path + ".keys") is None
    recording = await catalog.get_recording("CALL0001")
    assert isinstance(recording, RecordingDetail)
    assert [one.done_at is not None for one in recording.redactions] == [True]
    if encrypted:
        row = await catalog.files.envelope(new.sha256)
        assert row is not None
        names = [one.name for one in Envelope.decode(row.keys, name="keys").recipients]
        assert names == ["archive-x25519"]
        assert await catalog.files.envelope(old.sha256) is None
    manifests = await catalog.files.manifests(recording.summary.recording_id)
    assert len(manifests) == 2


async def test_what_a_death_left_is_ended_by_the_same_words(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = make_recipient(tmp_path / "archive", "x25519")
    curator = Curating(catalog, tmp_path / "state", recordings={"encrypt_to": [str(public)]})
    await curator.record("CALL0001", seconds=2.0)
    await curator.work()
    desk = Desk(curator, catalog_dsn)
    for broken in ("swap", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr(type(catalog.redactions), broken, _killed)
            with pytest.raises(KeyboardInterrupt):
                await desk.redact("CALL0001", private)
    await desk.redact("CALL0001", private)
    samples = await desk.sound("CALL0001", private, tmp_path / "out")
    assert not samples[RATE : RATE + RATE // 2, 1].any()
    recording = await catalog.get_recording("CALL0001")
    assert isinstance(recording, RecordingDetail)
    assert [one.done_at is not None for one in recording.redactions] == [True]
    await catalog.files.withdraw(None)
    await curator.work()
    audio = [file.path for file in curator.depot.local.list() if file.path.endswith(".enc")]
    assert audio == [(await desk.file("CALL0001")).path], "nothing with the stretch is left"


async def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
