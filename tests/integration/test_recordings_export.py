"""Exports in every form, from a real catalog and a file that the recorder's own writer made."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

from media.pipeline.codec import Law
from media.pipeline.codec.g711 import expand
from media.pipeline.output.choice import open_sink
from media.pipeline.report import OutputFormat
from recorder.admin.conversion import MediaConverter
from storage.catalog import Catalog
from storage.catalog.records import GapKind, MetadataRevision, RenderedGap
from storage.cli.context import CliContext
from storage.cli.groups import GROUPS
from storage.exit_codes import ExitCode
from storage.files import FileStore, directory_of, file_name
from storage.integrity import SigningKeys
from storage.integrity.jws import read_jws
from tests.integration.storage_samples import closing, opening, rendered

pytestmark = pytest.mark.integration

FRAMES = 16_000
CODES = np.random.default_rng(9).integers(0, 256, (FRAMES, 2), np.uint8)
XML = b"<recording xmlns='urn:ietf:params:xml:ns:recording:1'/>"


class Exporter:
    def __init__(self, catalog: Catalog, context: CliContext) -> None:
        self.catalog = catalog
        self.context = context

    async def type(self, *words: str) -> Result:
        app = typer.Typer()
        app.add_typer(GROUPS["recordings"].app(), name="recordings")
        words = ("recordings", "export", "CALL0001", *words)
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(words), obj=self.context))

    async def made(self, *words: str) -> dict[str, Any]:
        result = await self.type(*words, "--json")
        assert result.exit_code == 0, result.output
        facts: dict[str, Any] = json.loads(result.stdout)
        return facts


@pytest.fixture
async def exporter(catalog: Catalog, catalog_dsn: str, tmp_path: Path) -> Exporter:
    """Two seconds of two parties, a pause, and a metadata document."""
    context = CliContext(
        dsn=catalog_dsn, files_root=tmp_path / "recordings", state_dir=tmp_path, converter=MediaConverter
    )
    sample = opening("CALL0001", epoch=await catalog.acquire_lease())
    opened = await catalog.open_segment(sample)
    await catalog.add_metadata(
        MetadataRevision(
            epoch=sample.epoch,
            segment_id=sample.segment_id,
            received_at=sample.opened_at + timedelta(seconds=1),
            content_type="application/rs-metadata+xml",
            body=XML,
        )
    )
    await catalog.close_segment(closing(sample))
    with FileStore(context.files_root).begin(directory_of(sample.opened_at)) as pending:
        pending.path.unlink()
        sink = open_sink(OutputFormat.WAV_MULAW, pending.path, 8000, 2, FRAMES)
        sink.write(CODES)
        sink.close()
        published = pending.publish(lambda digest: file_name("CALL0001", opened.recording_id, digest, ".wav"))
    result = rendered(opened.recording_id, sample)
    file = dataclasses.replace(
        result.files[0],
        path=published.path,
        size_bytes=published.size_bytes,
        sha256=published.sha256,
        frames=FRAMES,
    )
    pause = RenderedGap(party=0, start_s=0.5, duration_s=0.25, kind=GapKind.PAUSED, cause="paused")
    await catalog.publish(dataclasses.replace(result, files=(file,), gaps=(pause,), duration_s=2.0))
    return Exporter(catalog, context)


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("format_", "suffix"), [("wav", "wav"), ("pcm16", "wav"), ("mulaw", "wav"), ("flac", "flac")])
async def test_lossless_audio_is_the_same_sound(exporter: Exporter, tmp_path: Path, format_: str, suffix: str) -> None:
    out = tmp_path / f"out.{suffix}"
    facts = await exporter.made("--format", format_, "--out", str(out))
    assert (facts["format"], facts["size_bytes"]) == (format_, out.stat().st_size)
    assert (soundfile.read(str(out), dtype="int16")[0] == expand(CODES, Law.MULAW)).all()
    assert left_behind(tmp_path) == []


async def test_one_party_of_a_stretch(exporter: Exporter, tmp_path: Path) -> None:
    out = tmp_path / "right.wav"
    await exporter.made(
        "--format", "wav", "--party", "right", "--from", "500ms", "--to", "1.5s", "--out", str(out)
    )  # fmt: skip
    assert (soundfile.read(str(out), dtype="int16")[0] == expand(CODES[4000:12_000, 1].copy(), Law.MULAW)).all()


async def test_opus_and_picture(exporter: Exporter, tmp_path: Path) -> None:
    await exporter.made("--format", "opus", "--party", "mix", "--out", str(tmp_path / "mix.opus"))
    assert soundfile.info(str(tmp_path / "mix.opus")).channels == 1
    await exporter.made("--format", "png", "--out", str(tmp_path / "wave.png"))
    assert (tmp_path / "wave.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


async def test_gir_names_what_genesys_sites_know(exporter: Exporter, tmp_path: Path) -> None:
    await exporter.made("--format", "gir", "--out", str(tmp_path / "gir.json"))
    document = json.loads((tmp_path / "gir.json").read_text())
    assert (document["id"], document["callerPhoneNumber"], document["dialedPhoneNumber"]) == (
        "CALL0001", "5550199", "5550100",
    )  # fmt: skip
    (media,) = document["mediaFiles"]
    assert (media["type"], media["duration"], document["stopTime"]) == ("audio/x-wav", "2000", "2026-11-22T09:30:02Z")
    assert media["masks"] == [
        {"time": "2026-11-22T09:30:00Z", "type": "paused"},
        {"time": "2026-11-22T09:30:00Z", "type": "resume"},
    ]
    assert media["parameters"]["sipsAppName"] == "SIP_Switch"


async def test_a_vcon_carries_the_sound(exporter: Exporter, tmp_path: Path) -> None:
    await exporter.made("--format", "vcon", "--out", str(tmp_path / "a.json"))
    vcon = json.loads((tmp_path / "a.json").read_text())
    (dialog,) = vcon["dialog"]
    audio = base64.urlsafe_b64decode(dialog["body"] + "==")
    (stored,) = exporter.context.files_root.rglob("*.wav")
    assert audio == stored.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha512(audio).digest()).rstrip(b"=").decode()
    assert dialog["content_hash"] == f"sha512-{digest}"
    assert (vcon["vcon"], dialog["type"], dialog["parties"]) == ("0.3.0", "recording", [0, 1])
    assert [party["tel"] for party in vcon["parties"]] == ["5550100", "5550111"]
    assert vcon["parties"][1]["sip"] == "sip:5550111@192.0.2.7"
    await exporter.made("--format", "vcon", "--out", str(tmp_path / "b.json"))
    assert json.loads((tmp_path / "b.json").read_text())["uuid"] == vcon["uuid"]


async def test_a_signed_vcon_is_the_same_one(exporter: Exporter, tmp_path: Path) -> None:
    out = tmp_path / "signed.json"
    await exporter.made("--format", "vcon", "--sign", "--out", str(out))
    keys = SigningKeys.open(exporter.context.keys_directory)
    vcon = json.loads(read_jws(out.read_bytes(), keys.trusted(), name="signed.json"))
    await exporter.made("--format", "vcon", "--out", str(tmp_path / "plain.json"))
    unsigned = json.loads((tmp_path / "plain.json").read_text())
    assert {**vcon, "created_at": ""} == {**unsigned, "created_at": ""}


@pytest.mark.parametrize("name", ["case", "case.zip"])
async def test_a_bundle_has_everything(exporter: Exporter, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    await exporter.made("--format", "bundle", "--out", str(out), "--reason", "court order")
    if name.endswith(".zip"):
        with zipfile.ZipFile(out) as archive:
            assert archive.testzip() is None
            found = {entry: archive.read(entry) for entry in archive.namelist()}
    else:
        found = {path.name: path.read_bytes() for path in out.iterdir()}
    (audio,) = (entry for entry in found if entry.endswith(".wav"))
    assert set(found) == {
        audio, "waveform.png", "recording.json", "gir.json", "vcon.json", "metadata-001.xml",
    }  # fmt: skip
    assert found["metadata-001.xml"] == XML
    assert json.loads(found["recording.json"])["record_identifier"] == "CALL0001"
    assert [entry.reason async for entry in exporter.catalog.audit.read() if entry.action == "export"] == [
        "court order"
    ]
    result = await exporter.type("--format", "bundle", "--out", str(out))
    if name.endswith(".zip"):
        assert (result.exit_code, "--force" in result.stderr) == (ExitCode.REFUSED, True)
        await exporter.made("--format", "bundle", "--out", str(out), "--force")


async def test_what_is_there_is_left_alone(exporter: Exporter, tmp_path: Path) -> None:
    mine = tmp_path / "mine.flac"
    mine.write_bytes(b"mine")
    result = await exporter.type("--format", "flac", "--out", str(mine))
    assert (result.exit_code, mine.read_bytes()) == (ExitCode.REFUSED, b"mine")
    assert left_behind(tmp_path) == []
    await exporter.made("--format", "flac", "--out", str(mine), "--force")
    assert mine.read_bytes()[:4] == b"fLaC"


async def test_into_a_directory_the_stored_name_is_used(exporter: Exporter, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    facts = await exporter.made("--format", "flac", "--out", str(tmp_path / "out"))
    assert Path(facts["out"]).parent == tmp_path / "out"
    assert Path(facts["out"]).name.startswith("CALL0001")
    assert Path(facts["out"]).suffix == ".flac"


async def test_a_changed_master_is_not_exported_in_any_form(exporter: Exporter, tmp_path: Path) -> None:
    (stored,) = exporter.context.files_root.rglob("*.wav")
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.chmod(0o644)
    stored.write_bytes(content)
    result = await exporter.type("--format", "bundle", "--out", str(tmp_path / "case"))
    assert result.exit_code == ExitCode.INTEGRITY
    assert not (tmp_path / "case").exists()
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--party", "left"), ExitCode.USAGE, "need an audio format"),
        (("--format", "gir", "--from", "1s"), ExitCode.USAGE, "need an audio format"),
        (("--format", "wav", "--from", "5s"), ExitCode.REFUSED, "2.0 s long"),
        (("--format", "wav", "--from", "soon"), ExitCode.USAGE, "is not a position"),
        (("--format", "mp3"), ExitCode.USAGE, "mp3"),
    ],
)
async def test_what_cannot_be_is_told(
    exporter: Exporter, tmp_path: Path, words: tuple[str, ...], code: ExitCode, message: str
) -> None:
    result = await exporter.type(*words, "--out", str(tmp_path / "x.wav"))
    assert result.exit_code == code
    assert message in result.output
    assert not (tmp_path / "x.wav").exists()
