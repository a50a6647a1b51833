"""Signed documents: JSON in one canonical form, so that a document has exactly one sequence of bytes.

A reader writes again what it has read and compares: any changed byte is found, also one that JSON would forgive. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Any, Final

from storage.errors import IntegrityBroken
from storage.integrity.keys import PublicKeys, SigningKeys

_ALGORITHM: Final = "ed25519"


def canonical(value: object) -> bytes:
    """Write a value of strings, integers, booleans, null, lists and mappings: ASCII, keys sorted, no spaces.

    `ValueError` for a float: its text is not the same in every language.
    """
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def sign_document(document: dict[str, Any], keys: SigningKeys) -> bytes:
    """Return the bytes of a signed document; `document["format"]` says what it is."""
    body = canonical(document)
    key_id, signature = keys.sign(body)
    signed = canonical({"algorithm": _ALGORITHM, "key": key_id, "value": signature.hex()})
    # The canonical form of both together, without writing the document a second time.
    return b'{"document":' + body + b',"signature":' + signed + b"}\n"


def read_signed(
    data: bytes, trusted: PublicKeys, *, form: str, name: str, former: Container[str] = ()
) -> dict[str, Any]:
    """Return the document inside signed bytes.

    Args:
        data: the whole file.
        trusted: keys of which one must have signed it.
        form: what `document["format"]` must say.
        name: of the file, for messages.
        former: forms of earlier programs that are read as well.

    Errors: `IntegrityBroken` unless every byte is as it was signed.

    """
    try:
        envelope = json.loads(data)
        document = envelope["document"]
        signature = envelope["signature"]
        as_written = canonical(envelope) + b"\n" == data and signature["algorithm"] == _ALGORITHM
        found = document["format"]
        value = bytes.fromhex(signature["value"])
        key_id = str(signature["key"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityBroken(f"{name} is not a signed document as this program writes it") from error
    if not as_written or value.hex() != signature["value"] or len(envelope) != 2 or len(signature) != 3:
        raise IntegrityBroken(f"{name} is not a signed document as this program writes it")
    if found != form and found not in former:
        raise IntegrityBroken(f"{name} is of the form {str(found)[:60]!r}, not {form!r}")
    trusted.verify(key_id, value, canonical(document), name=name)
    return dict(document)


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise ValueError(f"{value!r} is a float")  # noqa: TRY004 - one error for all that cannot be canonical
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
