"""Data keys wrapped for recipients of every kind, and nobody else."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from storage.encryption import Envelope, load_private_key, load_recipients
from storage.errors import IntegrityBroken, StorageMisused, WrongKey
from tests.kit.recipients import KINDS, PASSPHRASE, make_recipient

DATA_KEY = bytes(range(32))
DIGEST = b"\x07" * 32


def no_passphrase() -> str:
    raise AssertionError("a key without passphrase asked for one")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_recipient_opens_it(tmp_path: Path, kind: str) -> None:
    public, private = make_recipient(tmp_path, kind)
    other, _ = make_recipient(tmp_path / "other", "x25519")
    envelope = Envelope.seal(DATA_KEY, load_recipients([other, public]), sha256=DIGEST)
    read = Envelope.decode(envelope.encode(), name="x")
    assert read == envelope
    assert DATA_KEY not in envelope.encode()
    assert DATA_KEY.hex().encode() not in envelope.encode()
    assert read.open(load_private_key(private, no_passphrase)) == DATA_KEY


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_wrapping_is_found(tmp_path: Path, kind: str) -> None:
    public, private = make_recipient(tmp_path, kind)
    (wrapped,) = Envelope.seal(DATA_KEY, load_recipients([public]), sha256=DIGEST).recipients
    changed = dataclasses.replace(wrapped, wrapped=wrapped.wrapped[:-1] + bytes([wrapped.wrapped[-1] ^ 1]))
    with pytest.raises(IntegrityBroken):
        Envelope(DIGEST, (changed,)).open(load_private_key(private, no_passphrase))


def test_another_key_is_told_whose_it_needs(tmp_path: Path) -> None:
    public, _ = make_recipient(tmp_path, "p256", name="records office")
    _, stranger = make_recipient(tmp_path / "other", "p256")
    envelope = Envelope.seal(DATA_KEY, load_recipients([public]), sha256=DIGEST)
    with pytest.raises(WrongKey, match="records office"):
        envelope.open(load_private_key(stranger, no_passphrase))


def test_other_recipients_need_no_other_audio(tmp_path: Path) -> None:
    old_public, old = make_recipient(tmp_path, "x25519")
    new_public, new = make_recipient(tmp_path / "new", "rsa")
    envelope = Envelope.seal(DATA_KEY, load_recipients([old_public]), sha256=DIGEST)
    rewrapped = envelope.rewrap(load_private_key(old, no_passphrase), load_recipients([new_public]))
    assert rewrapped.sha256 == DIGEST
    assert rewrapped.open(load_private_key(new, no_passphrase)) == DATA_KEY
    with pytest.raises(WrongKey):
        rewrapped.open(load_private_key(old, no_passphrase))


def test_a_passphrase_is_asked_for_when_there_is_one(tmp_path: Path) -> None:
    public, private = make_recipient(tmp_path, "p384", passphrase=True)
    envelope = Envelope.seal(DATA_KEY, load_recipients([public]), sha256=DIGEST)
    assert envelope.open(load_private_key(private, lambda: PASSPHRASE)) == DATA_KEY
    with pytest.raises(StorageMisused, match="passphrase"):
        load_private_key(private, lambda: "wrong")


def test_keys_of_openssl_are_read(tmp_path: Path) -> None:
    """What docs/operations/storage.md tells an administrator to type."""
    private, public = tmp_path / "archive.key", tmp_path / "archive.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    envelope = Envelope.seal(DATA_KEY, load_recipients([public]), sha256=DIGEST)
    assert envelope.recipients[0].name == "archive"
    assert envelope.open(load_private_key(private, no_passphrase)) == DATA_KEY


def test_what_cannot_encrypt_is_refused(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_bytes(b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n")
    with pytest.raises(StorageMisused, match="neither"):
        load_recipients([nonsense])
    with pytest.raises(StorageMisused, match="readable"):
        load_recipients([tmp_path / "absent.pem"])
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ED25519", "-out", tmp_path / "ed.key"], check=True, capture_output=True
    )
    with pytest.raises(StorageMisused, match="signatures only"):
        load_private_key(tmp_path / "ed.key", no_passphrase)
    public, _ = make_recipient(tmp_path, "p256")
    with pytest.raises(StorageMisused, match="once"):
        load_recipients([public, public])


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"format":"tandem-keys/2"}', b"[]", b'{"format":"tandem-keys/1","sha256":"zz"}']
)
def test_a_damaged_file_of_keys_is_told(data: bytes) -> None:
    with pytest.raises(IntegrityBroken):
        Envelope.decode(data, name="x")
