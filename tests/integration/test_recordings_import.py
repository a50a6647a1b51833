"""Recordings that come from another site: two catalogs and two stores, bundles between them, pairing at the end."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from recorder.admin.recordings_import import ImportOptions
from recorder.admin.recordings_import import run as import_
from storage.catalog import Catalog, migrate
from storage.catalog.copy_records import CopyState
from storage.catalog.records import Role
from storage.catalog.redactions import Refusal
from storage.catalog.views import RecordingDetail, RecordingFilter
from storage.cli.context import CliContext
from storage.cli.recordings_bundle import BundleOptions
from storage.cli.recordings_bundle import run as bundle
from storage.errors import InputMissing
from storage.exit_codes import ExitCode
from storage.files.bundle import open_bundle, write_bundle
from tests.integration.copies_site import SECONDS, Site
from tests.kit.redacting import begin_redaction

pytestmark = pytest.mark.integration


class Office(Site):
    """A site with its administrator."""

    async def bundle(self, number: int, out: Path, *, force: bool = False) -> list[Path]:
        await asyncio.to_thread(out.mkdir, exist_ok=True)
        options = BundleOptions(references=[str(self.ids[number])], out=out, force=force, as_json=True)
        code, printed = await self._run(bundle, options, CliContext(dsn="", files_root=self.store.root, state_dir=out))
        assert code is ExitCode.OK
        return [Path(one["out"]) for one in printed]

    async def take(self, *paths: Path, dry_run: bool = False) -> tuple[ExitCode, list[str]]:
        options = ImportOptions(paths=paths, dry_run=dry_run, as_json=True)
        code, printed = await self._run(import_, options, self.depot(self.catalog))
        return code, [one["outcome"] for one in printed]

    async def _run(self, run: Any, options: Any, tools: Any) -> tuple[ExitCode, Any]:
        printed = io.StringIO()
        code = await run(options, self.catalog, tools, Console(file=printed))
        return code, json.loads(printed.getvalue())

    def files(self) -> list[Path]:
        return sorted(self.store.root.rglob("*.wav"))


@pytest.fixture
async def here(catalog: Catalog, tmp_path: Path) -> Office:
    return Office(catalog, tmp_path / "here", await catalog.acquire_lease(), random.Random(1))


@pytest.fixture
async def there(empty_dsn: str, tmp_path: Path) -> AsyncIterator[Office]:
    await migrate(empty_dsn)
    async with await Catalog.connect(empty_dsn) as catalog:
        yield Office(catalog, tmp_path / "there", await catalog.acquire_lease(), random.Random(2))


async def test_a_copy_of_another_site_is_imported_once_and_healed_with_ours(
    here: Office, there: Office, tmp_path: Path
) -> None:
    await there.begin(1)
    await there.end(1)
    (sent,) = await there.bundle(1, tmp_path / "exchange")
    await here.begin(2)
    await here.end(2)

    assert await here.take(sent, dry_run=True) == (ExitCode.OK, ["would-import"])
    assert len(here.files()) == 1
    assert await here.take(tmp_path / "exchange") == (ExitCode.OK, ["imported"])
    assert await here.take(sent) == (ExitCode.OK, ["unchanged"])
    assert len(here.files()) == 2
    detail = await here.catalog.get_recording(there.ids[1])
    assert isinstance(detail, RecordingDetail)
    assert [gap.cause for gap in detail.summary.gaps] == ["network"]

    await here.seek(here.catalog)
    while await here.work(here.catalog, 60.0):
        pass
    (listed,) = await here.catalog.list_recordings(RecordingFilter())
    assert listed.role is Role.MASTER
    assert listed.gaps == ()
    assert listed.duration_s == pytest.approx(SECONDS)
    subjects = [entry.subject async for entry in here.catalog.audit.read() if entry.action == "import"]
    assert subjects == [str(there.ids[1])]


async def test_a_version_that_went_on_replaces_the_former_one_and_is_healed_again(
    here: Office, there: Office, tmp_path: Path
) -> None:
    await there.begin(1)
    await there.end(1)
    await here.begin(2)
    await here.end(2)
    await here.take(*await there.bundle(1, tmp_path / "first"))
    await here.seek(here.catalog)
    while await here.work(here.catalog, 60.0):
        pass
    (before,) = await here.catalog.list_recordings(RecordingFilter())
    await there.begin(1)
    await there.end(1)
    assert await here.take(*await there.bundle(1, tmp_path / "second")) == (ExitCode.OK, ["replaced"])
    await here.seek(here.catalog)
    while await here.work(here.catalog, 60.0):
        pass
    (after,) = await here.catalog.list_recordings(RecordingFilter())
    assert after.recording_id == before.recording_id
    sources = (await here.catalog.copies.sources([after.recording_id]))[after.recording_id]
    audio = await here.catalog.copies.audio(there.ids[1])
    assert audio is not None
    assert audio.sha256 in {source.sha256 for source in sources}


async def test_what_is_ours_is_left_alone_and_what_is_damaged_is_told(
    here: Office, there: Office, tmp_path: Path
) -> None:
    await there.begin(1)
    await there.end(1)
    (sent,) = await there.bundle(1, tmp_path / "exchange")
    assert await there.take(sent) == (ExitCode.REFUSED, ["own"])
    assert len(there.files()) == 1

    content = bytearray(sent.read_bytes())
    content[len(content) // 2] ^= 1
    sent.write_bytes(content)
    (tmp_path / "exchange" / "other.tandem").write_bytes(b"not a bundle")
    assert await here.take(tmp_path / "exchange") == (ExitCode.INTEGRITY, ["damaged", "damaged"])
    assert here.files() == []
    assert await here.catalog.list_recordings(RecordingFilter(copies=True)) == []
    with pytest.raises(InputMissing, match="No such file"):
        await here.take(tmp_path / "nowhere")


async def test_a_bundle_whose_suffix_leads_elsewhere_keeps_no_other_one_out(
    here: Office, there: Office, tmp_path: Path
) -> None:
    await there.begin(1)
    await there.end(1)
    (sent,) = await there.bundle(1, tmp_path / "exchange")
    with open_bundle(sent) as bundle:
        description = {**bundle.description, "audio": {**bundle.description["audio"], "suffix": "/../../x"}}
    (audio,) = there.files()
    write_bundle(tmp_path / "exchange" / "0.tandem", description, audio)
    assert await here.take(tmp_path / "exchange") == (ExitCode.INTEGRITY, ["damaged", "imported"])


async def test_what_was_redacted_here_is_not_replaced_by_a_version_with_the_stretch(
    here: Office, there: Office, tmp_path: Path
) -> None:
    await there.begin(1)
    await there.end(1)
    first = await there.bundle(1, tmp_path / "first")
    await here.take(*first)
    assert await redacted(here, there.ids[1]) is None
    await there.begin(1)
    await there.end(1)
    files = here.files()
    assert await here.take(*await there.bundle(1, tmp_path / "second")) == (ExitCode.REFUSED, ["redacted"])
    assert await here.take(*first) == (ExitCode.OK, ["unchanged"])
    audio = await here.catalog.copies.audio(there.ids[1])
    assert audio is not None
    assert here.store.locate(audio.path) in files


async def test_what_may_have_copies_is_not_redacted(here: Office) -> None:
    for number in (1, 2):
        await here.begin(number)
        await here.end(number)
    await here.seek(here.catalog)
    refusal = await redacted(here, here.ids[1])
    assert refusal is not None
    assert (refusal.reason, refusal.recording_id) == ("pairs", here.ids[1])
    await here.catalog.copies.rule(
        [(here.ids[1], here.ids[2])], CopyState.REJECTED, "two calls", by="anna", action="copies.rule"
    )
    assert await redacted(here, here.ids[1]) is None


async def test_a_redacted_stretch_does_not_come_back_from_a_copy(here: Office) -> None:
    await here.begin(1)
    await here.end(1)
    assert await redacted(here, here.ids[1]) is None
    await here.begin(2)
    await here.end(2)
    await here.catalog.copies.rule(
        [(here.ids[1], here.ids[2])], CopyState.CONFIRMED, "one call", by="anna", action="copies.rule"
    )
    while await here.work(here.catalog, 60.0):
        pass
    listed = await here.catalog.list_recordings(RecordingFilter(copies=True))
    assert [one.role for one in listed] == [Role.RECORDING, Role.RECORDING]
    audios = [await here.catalog.copies.audio(recording_id) for recording_id in here.ids.values()]
    (healed,) = {str(file.relative_to(here.store.root)) for file in here.files()} - {one.path for one in audios if one}
    assert await here.catalog.files.is_doomed("local", healed)


async def redacted(office: Office, recording_id: UUID) -> Refusal | None:
    return await begin_redaction(office.catalog, recording_id, start_s=1.0, end_s=2.0)
