"""Evidence: an exported recording whose every file is listed in one signed document (docs/integrity.md).

`sign_contents` makes the list, `contents_faults` compares a folder with it. All calls block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from storage.errors import IntegrityBroken
from storage.integrity.chain import instant
from storage.integrity.keys import PublicKeys, SigningKeys
from storage.integrity.signed import read_signed, sign_document

FORM: Final = "tandem-evidence/1"
CONTENTS: Final = "contents.json"
"""The signed list, at the top of the folder."""
CAPTURES: Final = "captures"
"""Folder of the raw captures."""
TRACE: Final = "trace.json"
"""The SIP messages; no other export has them, so that they tell of evidence whose list was taken out."""


def sign_contents(
    folder: Path,
    keys: SigningKeys,
    *,
    recording_id: UUID,
    exported_at: datetime,
    exported_by: str,
    reason: str,
    not_here: Sequence[Mapping[str, str]],
) -> bytes:
    """Return the signed list of everything in a folder; write it as `CONTENTS`, last.

    Args:
        folder: of the export, complete but for the list.
        keys: those of this host.
        recording_id: what was exported.
        exported_at: when, `exported_by` whom and for what `reason`, as the audit log has it.
        exported_by: see `exported_at`.
        reason: see `exported_at`.
        not_here: captures of the recording that the folder lacks: `path`, `host`.

    """
    document: dict[str, Any] = {
        "format": FORM,
        "recording": str(recording_id),
        "exported_at": instant(exported_at),
        "exported_by": exported_by,
        "reason": reason,
        "files": [_entry(folder, path) for path in _files(folder)],
        "captures_not_here": [dict(one) for one in not_here],
    }
    return sign_document(document, keys)


def contents_faults(contents: Path, trusted: PublicKeys) -> Iterator[tuple[str, str]]:
    """Yield what differs between a list and its folder: file, and what is wrong with it."""
    folder = contents.parent
    try:
        document = read_signed(contents.read_bytes(), trusted, form=FORM, name=str(contents))
        listed = {str(entry["path"]): (int(entry["size_bytes"]), str(entry["sha256"])) for entry in document["files"]}
    except IntegrityBroken as error:
        yield str(contents), str(error)
        return
    except (OSError, KeyError, TypeError, ValueError) as error:
        yield str(contents), f"cannot be read as a list of contents: {error}"
        return
    present = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    for name in sorted(listed.keys() - present.keys()):
        yield str(folder / name), "missing: the signed list of contents has it"
    for name in sorted(present.keys() - listed.keys()):
        yield str(present[name]), "the signed list of contents does not have it"
    for name in sorted(listed.keys() & present.keys()):
        entry = _entry(folder, present[name])
        if (entry["size_bytes"], entry["sha256"]) != listed[name]:
            yield (
                str(present[name]),
                "was changed after it was exported: the signed list of contents has another digest",
            )


def _files(folder: Path) -> list[Path]:
    top = folder / CONTENTS
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != top)


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": path.relative_to(folder).as_posix(), "size_bytes": path.stat().st_size, "sha256": digest}
