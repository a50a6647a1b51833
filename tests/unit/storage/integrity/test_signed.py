"""Signed documents and the keys behind them: any changed byte is found, private keys stay private."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import IntegrityBroken, StorageMisused
from storage.integrity import PublicKeys, SigningKeys, read_signed, sign_document

DOCUMENT = {"format": "test/1", "text": "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "number": 7, "list": [None, True, {}]}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SigningKeys:
    return SigningKeys.open(tmp_path_factory.mktemp("keys") / "keys")


def test_a_signed_document_reads_back(keys: SigningKeys) -> None:
    assert read_signed(sign_document(DOCUMENT, keys), keys.trusted(), form="test/1", name="x") == DOCUMENT


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_found(keys: SigningKeys, data: st.DataObject) -> None:
    signed = bytearray(sign_document(DOCUMENT, keys))
    position = data.draw(st.integers(0, len(signed) - 1))
    signed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityBroken):
        read_signed(bytes(signed), keys.trusted(), form="test/1", name="x")


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\n", lambda d: d.replace(b":", b": ", 1)])
def test_what_json_forgives_is_a_change(keys: SigningKeys, change: object) -> None:
    assert callable(change)
    with pytest.raises(IntegrityBroken):
        read_signed(change(sign_document(DOCUMENT, keys)), keys.trusted(), form="test/1", name="x")


def test_another_form_is_refused(keys: SigningKeys) -> None:
    with pytest.raises(IntegrityBroken, match="test/1"):
        read_signed(sign_document(DOCUMENT, keys), keys.trusted(), form="test/2", name="x")


def test_a_key_that_is_not_trusted_is_named(keys: SigningKeys, tmp_path: Path) -> None:
    other = SigningKeys.open(tmp_path / "other")
    with pytest.raises(IntegrityBroken, match=other.key_id):
        read_signed(sign_document(DOCUMENT, other), keys.trusted(), form="test/1", name="x")


def test_floats_have_no_canonical_form(keys: SigningKeys) -> None:
    with pytest.raises(ValueError, match="float"):
        sign_document({"format": "test/1", "seconds": [1.5]}, keys)


def test_the_private_key_is_for_its_owner_only(tmp_path: Path) -> None:
    SigningKeys.open(tmp_path / "keys")
    path = tmp_path / "keys" / "signing.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(StorageMisused, match="chmod 600"):
        SigningKeys.open(tmp_path / "keys")


def test_processes_that_start_together_get_one_key(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(SigningKeys.open(tmp_path).key_id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert SigningKeys.open(tmp_path).trusted().key_ids == (found[0],)


def test_rotation_keeps_what_was_signed_before(tmp_path: Path) -> None:
    old = SigningKeys.open(tmp_path)
    signed = sign_document(DOCUMENT, old)
    new = old.rotate()
    assert new.key_id != old.key_id
    assert SigningKeys.open(tmp_path).key_id == new.key_id
    assert read_signed(signed, new.trusted(), form="test/1", name="x") == DOCUMENT
    # A verifier elsewhere, with the exported public key only.
    public = tmp_path / "exported.pem"
    public.write_bytes(old.public_pem)
    assert read_signed(signed, PublicKeys.read([public]), form="test/1", name="x") == DOCUMENT


def test_what_is_no_key_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_bytes(b"nonsense")
    with pytest.raises(StorageMisused, match="not a public key"):
        PublicKeys.read([tmp_path / "x.pem"])
    with pytest.raises(StorageMisused, match="readable"):
        PublicKeys.read([tmp_path / "absent.pem"])
