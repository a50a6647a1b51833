"""Evidence: an export that proves itself with nothing but a public key, and in which no byte can be changed."""

from __future__ import annotations

import asyncio
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from recorder.admin.conversion import MediaConverter
from storage.catalog import Catalog
from storage.cli.context import CliContext
from storage.cli.groups import GROUPS
from storage.cli.verify import verify_recordings
from storage.exit_codes import ExitCode
from storage.verify import main as verify_main
from tests.kit.curating import Curating
from tests.kit.recipients import make_recipient

pytestmark = pytest.mark.integration


class Auditor:
    """Asks a recorder for evidence, and looks at it elsewhere."""

    def __init__(self, catalog: Catalog, dsn: str, folder: Path, **recordings: object) -> None:
        self.curator = Curating(catalog, folder / "state", recordings=recordings)
        self._context = CliContext(
            dsn=dsn,
            files_root=self.curator.depot.local.root,
            state_dir=self.curator.state_dir,
            converter=MediaConverter,
        )
        self._app = typer.Typer()
        self._app.add_typer(GROUPS["recordings"].app(), name="recordings")
        self._app.command("verify")(verify_recordings)

    async def type(self, *words: object) -> Result:
        return await asyncio.to_thread(
            lambda: CliRunner().invoke(self._app, [str(word) for word in words], obj=self._context)
        )

    async def export(self, out: Path, *words: object) -> dict[str, Any]:
        result = await self.type(
            *("recordings", "export", "CALL0001", "--format", "evidence", "--out", out, "--json"), *words
        )
        assert result.exit_code == 0, result.output
        told: dict[str, Any] = json.loads(result.stdout)
        return told

    async def finalise(self) -> None:
        """Have it rendered and not sealed; a job that was given back is tried again."""
        async with asyncio.timeout(120):
            while any(job.kind == "finalise" for job in await self.curator.catalog.list_jobs()):
                await self.curator.work(kinds=("finalise",))
                await asyncio.sleep(0.05)

    @property
    def key(self) -> Path:
        (key,) = (self.curator.state_dir / "keys" / "public").iterdir()
        return key

    def verify(self, place: Path) -> int:
        return verify_main([str(place), "--key", str(self.key), "--json"])

    @property
    def captures(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.curator.state_dir / "captures").rglob("*.tcap")}


@pytest.mark.parametrize("encrypted", [False, True])
async def test_no_byte_of_it_can_be_changed_taken_out_or_added(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path, *, encrypted: bool
) -> None:
    public, private = make_recipient(tmp_path, "x25519")
    auditor = Auditor(catalog, catalog_dsn, tmp_path, encrypt_to=[str(public)] if encrypted else [])
    await auditor.curator.record("CALL0001")
    await auditor.curator.work()
    out = tmp_path / "case"
    told = await auditor.export(out, "--reason", "court order", *(("--key", private) if encrypted else ()))
    held = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    kinds = {Path(name).suffix for name in held}
    assert kinds == {".wav", ".png", ".json", ".manifest", ".tcap"}
    assert {path.name: path.read_bytes() for path in (out / "captures").iterdir()} == auditor.captures
    assert (told["captures"], told["captures_not_here"]) == ([*auditor.captures], [])
    contents = json.loads((out / "contents.json").read_text())["document"]
    assert contents["reason"] == "court order"
    assert {entry["path"] for entry in contents["files"]} == held.keys() - {"contents.json"}
    assert auditor.verify(out) == 0
    for path in held.values():
        original = path.read_bytes()
        path.write_bytes(original[:-2] + bytes([original[-2] ^ 1]) + original[-1:])
        assert auditor.verify(out) == ExitCode.INTEGRITY, f"{path.name} was changed"
        path.unlink()
        assert auditor.verify(out) == ExitCode.INTEGRITY, f"{path.name} was taken out"
        path.write_bytes(original)
    (out / "more.txt").write_text("added")
    assert auditor.verify(out) == ExitCode.INTEGRITY


async def test_a_zip_file_is_checked_as_it_is(catalog: Catalog, catalog_dsn: str, tmp_path: Path) -> None:
    auditor = Auditor(catalog, catalog_dsn, tmp_path)
    await auditor.curator.record("CALL0001")
    await auditor.curator.work()
    out = tmp_path / "case.zip"
    await auditor.export(out)
    assert auditor.verify(out) == 0
    told = await auditor.type("verify", "--offline", out, "--key", auditor.key, "--json")
    assert (told.exit_code, json.loads(told.stdout)["files"]) == (0, 2), "audio and capture"
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("captures/more.tcap", b"added")
    told = await auditor.type("verify", "--offline", out, "--key", auditor.key, "--json")
    assert told.exit_code == ExitCode.INTEGRITY
    assert [fault["subject"] for fault in json.loads(told.stdout)["faults"]] == [f"{out}/captures/more.tcap"]
    out.write_bytes(out.read_bytes()[:-30])
    told = await auditor.type("verify", "--offline", out, "--key", auditor.key)
    assert told.exit_code == ExitCode.INTEGRITY
    assert "whole zip file" in told.stderr


async def test_what_is_not_here_is_told_and_a_changed_capture_is_no_evidence(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path
) -> None:
    auditor = Auditor(catalog, catalog_dsn, tmp_path)
    await auditor.curator.record("CALL0001")
    await auditor.finalise()
    early = await auditor.type("recordings", "export", "CALL0001", "--format", "evidence", "--out", tmp_path / "a.zip")
    assert (early.exit_code, "not sealed yet" in early.stderr) == (ExitCode.NOT_READY, True)
    await auditor.curator.work()
    (capture,) = (auditor.curator.state_dir / "captures").rglob("*.tcap")
    capture.write_bytes(capture.read_bytes()[:-1] + b"x")
    changed = await auditor.type("recordings", "export", "CALL0001", "--format", "evidence", "--out", tmp_path / "a")
    assert changed.exit_code == ExitCode.INTEGRITY
    assert not (tmp_path / "a").exists()
    capture.unlink()
    told = await auditor.export(tmp_path / "a")
    assert (told["captures"], told["captures_not_here"]) == ([], [{"path": capture.name, "host": "host-a"}])
    assert auditor.verify(tmp_path / "a") == 0
