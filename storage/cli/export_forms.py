"""Makes what `recordings export` was asked for beside its target, durably, and puts it there at the end.

Nothing appears under the target's name before it is whole, and nothing that is there is replaced without being told to.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from storage.catalog.views import MetadataView, RecordingDetail
from storage.cli.context import CommandFailed
from storage.cli.conversion import Converter, ExportFormat, SoundWanted
from storage.cli.evidence import Evidence
from storage.cli.export_documents import gir_document, signed_vcon, vcon_document
from storage.cli.presentation import detail_json
from storage.exit_codes import ExitCode
from storage.files.durable import file_errors
from storage.integrity import SigningKeys
from storage.integrity.evidence import CONTENTS, sign_contents

MAX_INLINE: Final = 256 << 20
"""Bytes of audio inside a vCon; it is held in memory, and few readers take more."""

_TEMPORARY: Final = ".export-"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """What to make, and from what."""

    recording: RecordingDetail
    revisions: Sequence[MetadataView]
    file_name: str
    """Of the master, encryption's suffix taken off."""
    channels: int
    copy: Callable[[Path], None]
    """Writes the verified master to a path."""
    converter: Converter
    wanted: SoundWanted
    now: datetime
    keys: SigningKeys | None = None
    """Sign the vCon with these, and evidence."""
    evidence: Evidence | None = None
    """What evidence has besides a bundle."""


def export_form(
    job: ExportJob, target: Path, *, force: bool, progress: Callable[[float], None] = lambda _: None
) -> int:
    """Make the wanted form and return its size in bytes (of a directory: of all files). Blocks.

    Errors: `CommandFailed` with `REFUSED` when the target exists, those of converter and file system.
    """
    if not target.parent.is_dir():
        raise CommandFailed(f"{target.parent} is not a directory: make it first", ExitCode.REFUSED)
    _refuse_existing(target, force=force)
    work = target.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
    with file_errors(target):
        work.mkdir(mode=0o700)
        try:
            master = work / job.file_name
            job.copy(master)
            made = _make(job, master, work, zipped=target.suffix == ".zip", progress=progress)
            size = _synced_size(made)
            _refuse_existing(target, force=force)
            if made.is_dir() and target.is_dir():
                shutil.rmtree(target)
            made.replace(target)
            _sync(target.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return size


def _make(job: ExportJob, master: Path, work: Path, *, zipped: bool, progress: Callable[[float], None]) -> Path:
    made = work / "made"
    match job.wanted.format:
        case ExportFormat.PNG:
            job.converter.draw(master, made)
        case ExportFormat.GIR:
            _write_json(made, gir_document(job.recording, master.name, master.stat().st_size))
        case ExportFormat.VCON:
            _write_json(made, _vcon(job, master))
        case ExportFormat.BUNDLE | ExportFormat.EVIDENCE:
            made.mkdir()
            _fill(job, master, made, progress)
            if job.evidence is not None and job.keys is not None:
                _add_evidence(job, job.evidence, job.keys, made)
            if zipped:
                return _zip(made, work / "made.zip")
        case _:
            job.converter.convert(master, made, job.wanted, progress)
    return made


def _fill(job: ExportJob, master: Path, folder: Path, progress: Callable[[float], None]) -> None:
    """Put everything into the folder: audio, picture, metadata in all forms, revisions as received."""
    audio = folder / master.name
    os.link(master, audio)
    progress(0.3)
    job.converter.draw(audio, folder / "waveform.png")
    progress(0.7)
    _write_json(folder / "recording.json", detail_json(job.recording))
    _write_json(folder / "gir.json", gir_document(job.recording, audio.name, audio.stat().st_size))
    _write_json(folder / "vcon.json", _vcon(job, master))
    for number, revision in enumerate(job.revisions, start=1):
        if revision.body is not None:
            suffix = "xml" if "xml" in revision.content_type else "txt"
            (folder / f"metadata-{number:03d}.{suffix}").write_bytes(revision.body)
    progress(1.0)


def _add_evidence(job: ExportJob, evidence: Evidence, keys: SigningKeys, folder: Path) -> None:
    evidence.write(folder)
    contents = sign_contents(
        folder,
        keys,
        recording_id=job.recording.summary.recording_id,
        exported_at=job.now,
        exported_by=evidence.by,
        reason=evidence.reason,
        not_here=evidence.not_here,
    )
    (folder / CONTENTS).write_bytes(contents)


def _vcon(job: ExportJob, master: Path) -> dict[str, object]:
    size = master.stat().st_size
    if size > MAX_INLINE:
        raise CommandFailed(
            f"the audio has {size >> 20} MiB: a vCon carries it up to {MAX_INLINE >> 20} MiB; export audio and gir",
            ExitCode.REFUSED,
        )
    vcon = vcon_document(job.recording, master.name, master.read_bytes(), channels=job.channels, created_at=job.now)
    return vcon if job.keys is None else signed_vcon(vcon, job.keys)


def _zip(folder: Path, target: Path) -> Path:
    # Audio does not get smaller; what is text does.
    with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target


def _write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="ascii")


def _refuse_existing(target: Path, *, force: bool) -> None:
    if not (target.exists() or target.is_symlink()):
        return
    if not force:
        raise CommandFailed(f"{target} exists: use --force to replace it", ExitCode.REFUSED)
    if target.is_dir() and not (target / "recording.json").is_file():
        raise CommandFailed(f"{target} is a directory that no export has made; it is left alone", ExitCode.REFUSED)


def _synced_size(made: Path) -> int:
    size = 0
    for path in (*made.rglob("*"), made):
        _sync(path)
        size += 0 if path.is_dir() else path.stat().st_size
    return size


def _sync(path: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
