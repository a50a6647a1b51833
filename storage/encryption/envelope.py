"""The file of wrapped keys beside encrypted audio. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from storage.encryption.recipients import PrivateKey, Recipient, WrappedKey, key_id_of, unwrap
from storage.errors import IntegrityBroken, WrongKey

FORM: Final = "tandem-keys/1"
SUFFIX: Final = ".keys"
"""After the name of the audio."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A data key, wrapped for its recipients."""

    sha256: bytes
    """Of the encrypted audio."""
    recipients: tuple[WrappedKey, ...]

    @classmethod
    def seal(cls, data_key: bytes, recipients: Sequence[Recipient], *, sha256: bytes) -> Envelope:
        """Wrap a data key for every recipient."""
        return cls(sha256, tuple(recipient.wrap(data_key) for recipient in recipients))

    def open(self, private_key: PrivateKey) -> bytes:
        """Return the data key.

        Errors: `WrongKey` when it is not wrapped for this key, `IntegrityBroken` when it was changed.
        """
        own = key_id_of(private_key.public_key())
        for recipient in self.recipients:
            if recipient.key == own:
                return unwrap(recipient, private_key)
        names = ", ".join(f"{recipient.name} ({recipient.key})" for recipient in self.recipients)
        raise WrongKey(f"this key ({own}) cannot decrypt it; these can: {names}")

    def rewrap(self, private_key: PrivateKey, recipients: Sequence[Recipient]) -> Envelope:
        """Return the envelope for other recipients; the audio stays as it is."""
        return Envelope.seal(self.open(private_key), recipients, sha256=self.sha256)

    def encode(self) -> bytes:
        """Return the file's content."""
        document = {
            "format": FORM,
            "sha256": self.sha256.hex(),
            "recipients": [
                {
                    "key": recipient.key,
                    "name": recipient.name,
                    "scheme": recipient.scheme,
                    "public": recipient.public.hex(),
                    "wrapped": recipient.wrapped.hex(),
                }
                for recipient in self.recipients
            ],
        }
        return json.dumps(document, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes, *, name: str) -> Envelope:
        """Read a file's content; `IntegrityBroken` for anything else."""
        try:
            document = json.loads(data)
            if document["format"] != FORM:
                raise ValueError(document["format"])  # noqa: TRY301 - all that is wrong ends alike
            return cls(
                bytes.fromhex(document["sha256"]),
                tuple(
                    WrappedKey(
                        str(entry["key"]),
                        str(entry["name"]),
                        str(entry["scheme"]),
                        bytes.fromhex(entry["public"]),
                        bytes.fromhex(entry["wrapped"]),
                    )
                    for entry in document["recipients"]
                ),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise IntegrityBroken(f"{name} is not a file of wrapped keys") from error
