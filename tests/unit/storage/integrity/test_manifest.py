"""Manifests: what is written, and that those of earlier programs stay readable."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storage.errors import IntegrityBroken
from storage.integrity import Anchor, SigningKeys
from storage.integrity.manifest import Manifest, compose, root_of, sign

LEDGER = [{"party": 0, "sample_rate": 8000, "frames": 160, "ends": [160], "facts": [1]}]


@pytest.fixture
def keys(tmp_path: Path) -> SigningKeys:
    return SigningKeys.open(tmp_path / "keys")


def document(**changes: Any) -> dict[str, Any]:
    composed = compose(
        recording="r",
        version=1,
        previous=None,
        sealed_at=datetime(2026, 11, 22, tzinfo=UTC),
        node="host-a",
        log=Anchor(7, bytes(32)),
        parts={"facts": {}, "segments": [], "gaps": [], "ledger": LEDGER},
        files=[],
        captures=[],
    )
    return composed | changes


def read(written: dict[str, Any], keys: SigningKeys) -> Manifest:
    return Manifest.read(sign(written, keys), keys.trusted(), name="x")


def test_the_ledger_is_a_leaf_of_the_tree_and_the_audit_log_is_not(keys: SigningKeys) -> None:
    manifest = read(document(), keys)
    assert manifest.log == Anchor(7, bytes(32))
    assert manifest.document["ledger"] == LEDGER
    with pytest.raises(IntegrityBroken, match="root"):
        read(document(ledger=[]), keys)
    assert read(document(log={"number": 8, "digest": "00"}), keys).root == manifest.root


def test_a_manifest_of_the_former_form_is_read(keys: SigningKeys) -> None:
    former = document(format="tandem-manifest/1")
    del former["ledger"], former["log"]
    former["root"] = root_of(former).hex()
    manifest = read(former, keys)
    assert (manifest.parts, manifest.log) == (("facts", "segments", "gaps"), None)


def test_another_form_is_refused(keys: SigningKeys) -> None:
    with pytest.raises(IntegrityBroken, match="tandem-manifest/3"):
        read(document(format="tandem-manifest/3"), keys)
