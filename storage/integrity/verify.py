"""Checks recordings against their manifests with nothing but the files and a public key: no catalog, no recorder.

`check_folder` reads every `*.manifest` of a folder and what lies beside it. `python -m storage.verify` is its command.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from storage.errors import IntegrityBroken, StorageMisused
from storage.inputs import named
from storage.integrity.evidence import CAPTURES, CONTENTS, TRACE, contents_faults
from storage.integrity.keys import PublicKeys
from storage.integrity.manifest import SUFFIX, Manifest, ManifestFile

AUDIO_SUFFIXES: Final = (".wav", ".flac", ".opus", ".enc")
MISSING: Final = "missing"
"""What is wrong with a file that is not there."""
_BLOCK: Final = 1 << 20


@dataclass(slots=True)
class FolderCheck:
    """What was found in a folder."""

    manifests: int = 0
    files: int = 0
    """Audio files and captures that are exactly what a manifest says."""
    faults: list[tuple[str, str]] = field(default_factory=list)
    """File or recording, and what is wrong with it."""

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong, and something was checked at all."""
        return not self.faults and self.manifests > 0


def check_folder(folder: Path, trusted: PublicKeys) -> FolderCheck:
    """Check all recordings below a folder.

    A file is looked for under the path that the manifest gives, from the folder on, and beside the manifest. Only the
    newest manifest of a recording must have its files; older ones must be signed, whole and linked. Where there is a
    signed list of contents (`storage.integrity.evidence`), its folder must hold just what it says.

    Errors: `InputMissing` when there is no such folder.
    """
    with named(folder, "name a folder of recordings, or an exported zip file"):
        next(folder.iterdir(), None)
    check = FolderCheck()
    newest: dict[str, tuple[Path, Manifest]] = {}
    versions: dict[str, dict[int, tuple[Manifest, bytes]]] = {}
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        try:
            data = path.read_bytes()
            manifest = Manifest.read(data, trusted, name=str(path))
        except IntegrityBroken as error:
            check.faults.append((str(path), str(error)))
            continue
        check.manifests += 1
        versions.setdefault(manifest.recording, {})[manifest.version] = (manifest, hashlib.sha256(data).digest())
        if manifest.recording not in newest or newest[manifest.recording][1].version < manifest.version:
            newest[manifest.recording] = (path, manifest)
    for recording, chain in versions.items():
        check.faults += [(recording, fault) for fault in _chain_faults(chain)]
    claimed: set[Path] = set()
    for path, manifest in newest.values():
        for found, file in _stated_files(folder, path, manifest):
            claimed.add(found)
            fault = file_fault(found, file)
            if fault is None:
                check.files += 1
            else:
                check.faults.append((str(found), fault))
    for path in _audio(folder):
        if path not in claimed:
            check.faults.append((str(path), "no manifest states this file"))
    for contents in sorted(folder.rglob(CONTENTS)):
        check.faults += contents_faults(contents, trusted)
    for trace in sorted(folder.rglob(TRACE)):
        if not (contents := trace.parent / CONTENTS).exists():
            check.faults.append((str(contents), "missing: evidence has a signed list of its contents"))
    return check


def check_place(place: Path, trusted: PublicKeys) -> FolderCheck:
    """Check a folder, or a zip file of one; see `check_folder`.

    Errors: `InputMissing` when there is neither, `StorageMisused` when there is no room to unpack it,
    `IntegrityBroken` for a damaged zip file.
    """
    with _opened(place) as folder:
        check = check_folder(folder, trusted)
    check.faults = [(subject.replace(str(folder), str(place)), what) for subject, what in check.faults]
    return check


@contextlib.contextmanager
def _opened(place: Path) -> Iterator[Path]:
    if not place.is_file():
        yield place
        return
    with named(place, "name a folder of recordings, or an exported zip file"):
        file = place.open("rb")
    with file, tempfile.TemporaryDirectory(prefix="evidence-") as folder:
        try:
            with zipfile.ZipFile(file) as archive:
                size = sum(one.file_size for one in archive.infolist())
                if size > shutil.disk_usage(folder).free:
                    raise StorageMisused(f"{place} holds {size >> 20} MiB, too much for {folder}: unpack it elsewhere")
                archive.extractall(folder)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise IntegrityBroken(f"{place} is not a folder, nor a whole zip file: {error}") from error
        yield Path(folder)


def file_fault(path: Path, file: ManifestFile) -> str | None:
    """Return what is wrong with a file; None when it is exactly what its manifest says."""
    try:
        with path.open("rb") as reader:
            hasher = hashlib.sha256()
            size = 0
            while block := reader.read(_BLOCK):
                hasher.update(block)
                size += len(block)
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if size != file.size_bytes:
        return f"has {size} bytes instead of {file.size_bytes}"
    return None if hasher.digest() == file.sha256 else "was changed: its SHA-256 is another one"


def _chain_faults(chain: dict[int, tuple[Manifest, bytes]]) -> Iterator[str]:
    for version, (manifest, _) in sorted(chain.items()):
        former = chain.get(version - 1)
        if version == 1 and manifest.previous is not None:
            yield "its first manifest names one before it"
        if version > 1 and former is None:
            yield f"manifest {version - 1} is missing"
        if former is not None and manifest.previous != former[1]:
            yield f"manifest {version} does not follow from manifest {version - 1}"


def _stated_files(folder: Path, path: Path, manifest: Manifest) -> Iterator[tuple[Path, ManifestFile]]:
    """Yield what a manifest states, and where it is: files as they were stored or in clear, captures that are here."""
    exported = (path.parent / CONTENTS).exists()
    for file in manifest.files:
        found = _find(folder, path, file)
        clear = path.parent / PurePosixPath(file.path).with_suffix("").name
        if file.clear is not None and not found.exists() and clear.exists():
            yield clear, file.clear
        elif found.exists() or not exported or file.kind == "master":
            yield found, file
    for capture in manifest.captures:
        found = path.parent / CAPTURES / capture.path
        if found.exists():
            yield found, capture


def _find(folder: Path, manifest: Path, file: ManifestFile) -> Path:
    relative = PurePosixPath(file.path)
    beside = manifest.parent / relative.name
    inside = folder / relative
    if beside.exists() or relative.is_absolute() or ".." in relative.parts:
        return beside
    return inside


def _audio(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in AUDIO_SUFFIXES and path.is_file() and not path.name.startswith("."):
            yield path
