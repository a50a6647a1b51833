"""An anchor: the head of the audit log, signed, to be kept where nobody who can write the catalog can write.

A chain proves order and content only to somebody who holds its head from elsewhere (docs/integrity.md). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from storage.errors import IntegrityBroken
from storage.integrity.chain import instant
from storage.integrity.keys import PublicKeys, SigningKeys
from storage.integrity.signed import read_signed, sign_document

FORM: Final = "tandem-audit-anchor/1"


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the audit log's entry `number` is known to be."""

    number: int
    digest: bytes

    def signed(self, keys: SigningKeys, *, at: datetime, node: str) -> bytes:
        """Return the anchor's file; `at` is when and `node` where it was made."""
        document = {
            "format": FORM,
            "number": self.number,
            "digest": self.digest.hex(),
            "at": instant(at),
            "node": node,
        }
        return sign_document(document, keys)

    @classmethod
    def read(cls, data: bytes, trusted: PublicKeys, *, name: str) -> Anchor:
        """Read an anchor's file; `IntegrityBroken` unless it is exactly what a trusted key signed."""
        document = read_signed(data, trusted, form=FORM, name=name)
        try:
            return cls(int(document["number"]), bytes.fromhex(document["digest"]))
        except (KeyError, ValueError, TypeError) as error:
            raise IntegrityBroken(f"{name} lacks the number and digest of an anchor") from error
