"""Signed JSON for other systems: anybody with the public key can check it, and no changed byte passes."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.console import Console

from storage.cli.context import CommandFailed
from storage.cli.export_documents import signed_vcon
from storage.cli.verify import VerifyOptions, run_offline
from storage.errors import InputMissing, IntegrityBroken
from storage.exit_codes import ExitCode
from storage.integrity import SigningKeys
from storage.integrity.jws import base64url, read_jws, sign_jws

PAYLOAD = b'{"vcon":"0.3.0","uuid":"01890000-0000-8000-8000-000000000001"}'


@pytest.fixture
def keys(tmp_path: Path) -> SigningKeys:
    return SigningKeys.open(tmp_path / "keys")


def plain(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_signature_is_checked_with_nothing_of_ours(keys: SigningKeys) -> None:
    document = json.loads(json.dumps(sign_jws(PAYLOAD, keys, media_type="application/vcon", header={"uuid": "u"})))
    assert document.keys() == {"payload", "signatures"}
    (signature,) = document["signatures"]
    protected = json.loads(plain(signature["protected"]))
    assert (protected["alg"], protected["cty"], protected["uuid"]) == ("EdDSA", "application/vcon", "u")
    certificate = x509.load_der_x509_certificate(base64.b64decode(protected["x5c"][0]))
    key = certificate.public_key()
    assert isinstance(key, Ed25519PublicKey)
    key.verify(plain(signature["signature"]), f"{signature['protected']}.{document['payload']}".encode())
    certificate.verify_directly_issued_by(certificate)
    assert plain(document["payload"]) == PAYLOAD
    assert keys.certificate == keys.certificate


def test_what_was_signed_comes_back_and_nothing_else(keys: SigningKeys, tmp_path: Path) -> None:
    data = json.dumps(sign_jws(PAYLOAD, keys, media_type="application/vcon", header={})).encode()
    document: dict[str, Any] = json.loads(data)
    assert read_jws(data, keys.trusted(), name="a") == PAYLOAD
    stranger = SigningKeys.open(tmp_path / "other")
    with pytest.raises(IntegrityBroken, match="not trusted"):
        read_jws(data, stranger.trusted(), name="a")
    (signature,) = document["signatures"]
    changed = base64url(PAYLOAD.replace(b"0001", b"0002"))
    damaged: list[object] = [
        {**document, "payload": changed},
        {**document, "payload": document["payload"] + "="},
        {**document, "signatures": []},
        {**document, "signatures": [{**signature, "signature": base64url(bytes(64))}]},
        {**document, "signatures": [{**signature, "protected": base64url(b'{"alg":"none"}')}]},
        {**document, "signatures": [{**signature, "protected": base64url(b'{"alg":"none","kid":"x"}')}]},
        [],
    ]
    for broken in damaged:
        with pytest.raises(IntegrityBroken):
            read_jws(json.dumps(broken).encode(), keys.trusted(), name="a")


def test_a_vcon_is_verified_by_command(keys: SigningKeys, tmp_path: Path) -> None:
    file = tmp_path / "call.json"
    file.write_text(json.dumps(signed_vcon({"vcon": "0.3.0", "uuid": "u"}, keys)))

    def verdict(path: Path, *trusted: Path) -> ExitCode:
        return run_offline(VerifyOptions(vcon=path, keys=trusted), Console(file=io.StringIO()))

    assert verdict(file, keys.public_directory) is ExitCode.OK
    file.write_text('{"vcon":"0.3.0"}')
    assert verdict(file, keys.public_directory) is ExitCode.INTEGRITY
    with pytest.raises(CommandFailed, match="--key"):
        verdict(file)
    with pytest.raises(InputMissing, match="No such file"):
        verdict(tmp_path / "none", keys.public_directory)


def test_a_vcon_and_a_folder_are_both_checked(keys: SigningKeys, tmp_path: Path) -> None:
    file, folder = tmp_path / "call.json", tmp_path / "evidence"
    folder.mkdir()
    file.write_text('{"vcon":"0.3.0"}')
    answer = io.StringIO()
    options = VerifyOptions(vcon=file, offline=folder, keys=(keys.public_directory,), as_json=True)
    assert run_offline(options, Console(file=answer)) is ExitCode.INTEGRITY
    assert [fault["subject"] for fault in json.loads(answer.getvalue())["faults"]] == [str(folder), str(file)]


@pytest.mark.parametrize("more", [{"references": ("CALL0001",)}, {"every": True}, {"orphans": True}])
def test_nothing_of_the_catalog_is_left_unchecked_in_silence(keys: SigningKeys, more: dict[str, Any]) -> None:
    options = VerifyOptions(vcon=Path("call.json"), keys=(keys.public_directory,), **more)
    with pytest.raises(CommandFailed, match="a command of their own") as refused:
        run_offline(options, Console(file=io.StringIO()))
    assert refused.value.exit_code is ExitCode.USAGE
