"""What seals checkpoints: whoever has the site's key reads them, for their own segment, and nobody else."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from recorder.errors import SetupError
from recorder.ha.vault import SealedError, Vault, make_key_file, open_vault

SEGMENT = UUID(int=7)
SECRET = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"


def test_what_is_sealed_is_opened_again_and_shows_nothing() -> None:
    vault = Vault([b"k" * 32])
    sealed = vault.seal(SECRET, SEGMENT)
    assert vault.open(sealed, SEGMENT) == SECRET
    assert SECRET[20:30] not in sealed
    assert vault.seal(SECRET, SEGMENT) != sealed


def test_another_host_opens_it_with_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    make_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    sealed = open_vault(path).seal(SECRET, SEGMENT)
    copied = tmp_path / "copy.key"
    copied.write_bytes(path.read_bytes())
    copied.chmod(0o600)
    assert open_vault(copied).open(sealed, SEGMENT) == SECRET


def test_a_key_file_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    make_key_file(path)
    before = path.read_bytes()
    make_key_file(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["site.key"]


def test_a_former_key_opens_and_the_first_one_seals(tmp_path: Path) -> None:
    old, new = Vault([b"o" * 32]), Vault([b"n" * 32, b"o" * 32])
    assert new.open(old.seal(SECRET, SEGMENT), SEGMENT) == SECRET
    with pytest.raises(SealedError, match="another site key"):
        old.open(new.seal(SECRET, SEGMENT), SEGMENT)


@pytest.mark.parametrize("place", [0, 5, 10, 30, -1])
def test_a_changed_byte_is_noticed(place: int) -> None:
    vault = Vault([b"k" * 32])
    sealed = bytearray(vault.seal(SECRET, SEGMENT))
    sealed[place] ^= 1
    with pytest.raises(SealedError):
        vault.open(bytes(sealed), SEGMENT)


def test_a_checkpoint_is_good_for_its_own_segment_only() -> None:
    vault = Vault([b"k" * 32])
    with pytest.raises(SealedError):
        vault.open(vault.seal(SECRET, SEGMENT), uuid4())
    for junk in (b"", b"TSC1", SECRET):
        with pytest.raises(SealedError):
            vault.open(junk, SEGMENT)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [("", 0o600, "64 hexadecimal"), ("short\n", 0o600, "64 hexadecimal"), ("ab" * 32, 0o644, "chmod 600")],
)
def test_a_bad_key_file_is_told_with_its_remedy(tmp_path: Path, text: str, mode: int, said: str) -> None:
    path = tmp_path / "site.key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(SetupError, match=said):
        open_vault(path)
    with pytest.raises(SetupError, match="No such file"):
        open_vault(tmp_path / "missing")
