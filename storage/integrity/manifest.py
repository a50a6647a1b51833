"""A manifest: one signed statement of what a recording is. The form is in docs/integrity.md.

`compose` makes the document, `Manifest.read` checks one that was signed: signature, digests of its own parts, and root.
Whether the files it names are what it says is for `storage.integrity.verify`. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from storage.errors import IntegrityBroken
from storage.integrity.anchor import Anchor
from storage.integrity.chain import instant
from storage.integrity.keys import PublicKeys, SigningKeys
from storage.integrity.merkle import leaf_hash, merkle_root
from storage.integrity.signed import canonical, read_signed, sign_document

SUFFIX: Final = ".manifest"

PARTS: Final = {
    "tandem-manifest/1": ("facts", "segments", "gaps"),
    "tandem-manifest/2": ("facts", "segments", "gaps", "ledger"),
}
"""Forms, and the parts of the document that are leaves of the tree by the digest of their canonical form."""

FORM: Final = "tandem-manifest/2"
"""Which is written. The former one, of earlier programs, is read: evidence outlives programs."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A file of a recording, as a manifest states it."""

    path: str
    size_bytes: int
    sha256: bytes
    kind: str = ""
    """As in the catalog, such as `master`; empty of captures."""
    clear: ManifestFile | None = None
    """Of encrypted audio: what it is in clear."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read and is consistent in itself."""

    recording: str
    version: int
    previous: bytes | None
    """SHA-256 of the manifest before it, the whole file."""
    sealed_at: str
    root: bytes
    files: tuple[ManifestFile, ...]
    captures: tuple[ManifestFile, ...]
    """Those whose digest is stated; paths are their names."""
    log: Anchor | None
    """What the audit log ended with when this was signed; None of the first form."""
    document: Mapping[str, Any]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that its form states."""
        return PARTS[self.document["format"]]

    @classmethod
    def read(cls, data: bytes, trusted: PublicKeys, *, name: str) -> Manifest:
        """Read a manifest's file; `IntegrityBroken` unless it is exactly what a trusted key signed."""
        document = read_signed(data, trusted, form=FORM, former=PARTS, name=name)
        try:
            root = bytes.fromhex(document["root"])
            if root != root_of(document):
                raise IntegrityBroken(f"{name}: its root is not that of its parts")
            return cls(
                recording=str(document["recording"]),
                version=int(document["version"]),
                previous=None if document["previous"] is None else bytes.fromhex(document["previous"]),
                sealed_at=str(document["sealed_at"]),
                root=root,
                files=tuple(_file(file, file.get("clear")) for file in document["files"]),
                captures=tuple(_file(one, None) for one in document["captures"] if one["sha256"] is not None),
                log=_log(document["log"]) if "log" in document else None,
                document=document,
            )
        except (KeyError, ValueError, TypeError) as error:
            raise IntegrityBroken(f"{name} lacks what a manifest states: {error}") from error


def _file(stated: Mapping[str, Any], clear: Mapping[str, Any] | None) -> ManifestFile:
    path = str(stated["path"])
    return ManifestFile(
        path,
        int(stated["size_bytes"]),
        bytes.fromhex(stated["sha256"]),
        str(stated.get("kind", "")),
        None if clear is None else _file({"path": path, **clear}, None),
    )


def _log(stated: Mapping[str, Any]) -> Anchor:
    return Anchor(int(stated["number"]), bytes.fromhex(stated["digest"]))


def compose(
    *,
    recording: str,
    version: int,
    previous: bytes | None,
    sealed_at: datetime,
    node: str,
    log: Anchor,
    parts: Mapping[str, Any],
    files: Sequence[Mapping[str, Any]],
    captures: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the document of a manifest, with its root.

    Args:
        recording: its id.
        version: 1, 2, 3 ...; `previous` is the SHA-256 of the manifest before it.
        previous: see `version`.
        sealed_at: when and `node` where it is signed.
        node: see `sealed_at`.
        log: head of the audit log, which this manifest is an anchor of.
        parts: values of the form's `PARTS`, without floating point numbers.
        files: each with `path`, `size_bytes`, `sha256` (hexadecimal) and more.
        captures: the same; `sha256` is null for one that is not here.

    """
    document = {
        "format": FORM,
        "recording": recording,
        "version": version,
        "previous": None if previous is None else previous.hex(),
        "sealed_at": instant(sealed_at),
        "node": node,
        "log": {"number": log.number, "digest": log.digest.hex()},
        **{name: parts[name] for name in PARTS[FORM]},
        "files": list(files),
        "captures": list(captures),
    }
    document["root"] = root_of(document).hex()
    return document


def same_statement(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two manifests state the same of a recording; time, place and version aside."""
    return all(bool(one[name] == other[name]) for name in ("root", "files", "captures"))


def sign(document: dict[str, Any], keys: SigningKeys) -> bytes:
    """Return the bytes of the manifest's file."""
    return sign_document(document, keys)


def root_of(document: Mapping[str, Any]) -> bytes:
    """Return the Merkle root over parts, files and captures, in this order."""
    leaves = [leaf_hash(name, hashlib.sha256(canonical(document[name])).digest()) for name in PARTS[document["format"]]]
    for kind in ("files", "captures"):
        leaves += [
            leaf_hash(f"{kind}/{entry['path']}", bytes.fromhex(entry["sha256"]))
            for entry in document[kind]
            if entry["sha256"] is not None
        ]
    return merkle_root(leaves)
