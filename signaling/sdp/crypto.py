"""The `a=crypto` attribute: SRTP keys inside the session description (RFC 4568 §4, §6 and §9).

Parses, checks and writes the attribute. Does not encrypt, and never shows a key in a text form other than the
encoded attribute itself.
"""

from __future__ import annotations

import binascii
from typing import Any, Final

import msgspec

from signaling.errors import LocalProtocolError
from signaling.sdp.description import MASK
from signaling.sdp.errors import SdpSyntaxError
from signaling.sdp.grammar import number

MAX_TAG: Final = 999_999_999
MAX_MKI_LENGTH: Final = 128
"""Bytes (RFC 4568 §6.1)."""

MAX_KEYS: Final = 16
"""Master keys in one attribute; key rotation uses two or three, and each costs the receiver a key derivation."""

MAX_LIFETIME: Final = 1 << 48
"""Packets; the SRTP lifetime of every suite below (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §12)."""

KEY_SALT_LENGTHS: Final[dict[str, int]] = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "F8_128_HMAC_SHA1_80": 30,
    "AES_192_CM_HMAC_SHA1_80": 38,
    "AES_192_CM_HMAC_SHA1_32": 38,
    "AES_256_CM_HMAC_SHA1_80": 46,
    "AES_256_CM_HMAC_SHA1_32": 46,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}
"""Crypto-suite to bytes of master key and master salt together (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §12 and §14)."""

# RFC 4568 §6.3: parameters that we honour by doing nothing, because they only advise the receiver.
_HINTS: Final = ("WSH=",)


class MasterKey(msgspec.Struct, frozen=True, gc=False):
    """One inline key; its text form shows everything but the key."""

    key_salt: bytes
    """Master key followed by master salt."""
    lifetime: int | None = None
    """Packets; None for the default of the suite."""
    mki: int | None = None
    """Master key identifier, or None."""
    mki_length: int = 0
    """Bytes of the identifier in each packet."""

    def __repr__(self) -> str:
        return f"MasterKey({MASK}, lifetime={self.lifetime}, mki={self.mki}, mki_length={self.mki_length})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [
            ("key_salt", MASK),
            ("lifetime", self.lifetime),
            ("mki", self.mki),
            ("mki_length", self.mki_length),
        ]

    def encode(self) -> str:
        """Return one key parameter, key included."""
        fields = ["inline:" + binascii.b2a_base64(self.key_salt, newline=False).decode("ascii")]
        if self.lifetime is not None:
            power = self.lifetime.bit_length() - 1
            fields.append(f"2^{power}" if self.lifetime == 1 << power else str(self.lifetime))
        if self.mki is not None:
            fields.append(f"{self.mki}:{self.mki_length}")
        return "|".join(fields)


class Crypto(msgspec.Struct, frozen=True):
    """One `a=crypto` attribute (RFC 4568 §4)."""

    tag: int
    suite: str
    keys: tuple[MasterKey, ...]
    parameters: tuple[str, ...] = ()
    """Session parameters as written."""

    def encode(self) -> str:
        """Return the attribute's value, keys included."""
        keys = ";".join([key.encode() for key in self.keys])
        return " ".join((str(self.tag), self.suite, keys, *self.parameters))

    @property
    def acceptable(self) -> bool:
        """Whether all session parameters can be honoured.

        Key derivation rates, forward error correction, and everything that weakens protection are not; an unknown
        parameter counts only when it is not marked optional by a dash (RFC 4568 §6.3.7).
        """
        return all(parameter.upper().startswith(_HINTS) or parameter[0] == "-" for parameter in self.parameters)

    def answer(self, key_salt: bytes) -> Crypto:
        """Build the attribute that accepts this one: its tag and suite, our key (RFC 4568 §5.1.2).

        Raises:
            LocalProtocolError: the key has the wrong length, or is one of the offerer's (RFC 4568 §7.1.2).

        """
        check_key(self.suite, key_salt)
        if any(key.key_salt == key_salt for key in self.keys):
            raise LocalProtocolError("the answer repeats a master key of the offer")
        return Crypto(self.tag, self.suite, (MasterKey(key_salt),))


def check_key(suite: str, key_salt: bytes) -> None:
    """Check a key of ours against its suite.

    Raises:
        LocalProtocolError: unknown suite or wrong length.

    """
    if len(key_salt) != KEY_SALT_LENGTHS.get(suite):
        raise LocalProtocolError("master key and salt do not have the length of the crypto-suite")


def parse_crypto(value: str) -> Crypto:
    """Read the value of an `a=crypto` attribute.

    Raises:
        SdpSyntaxError: RFC 4568 makes the attribute invalid; the next one of the m-line may still be used.

    """
    fields = value.split()
    if len(fields) < 3:
        raise SdpSyntaxError("crypto attribute lacks a field")
    tag = number(fields[0], MAX_TAG)
    if tag is None or (len(fields[0]) > 1 and fields[0][0] == "0"):
        raise SdpSyntaxError("crypto tag is not a decimal number")
    suite = fields[1].upper()
    length = KEY_SALT_LENGTHS.get(suite)
    if length is None:
        raise SdpSyntaxError("unknown crypto-suite")
    inline = fields[2].split(";")
    if len(inline) > MAX_KEYS:
        raise SdpSyntaxError("too many master keys")
    keys = tuple([_master_key(text, length) for text in inline])
    # RFC 4568 §6.1: several keys need an MKI each, of one length.
    if len(keys) > 1 and (any(key.mki is None for key in keys) or len({key.mki_length for key in keys}) > 1):
        raise SdpSyntaxError("several master keys without distinct identifiers")
    return Crypto(tag, suite, keys, tuple(fields[3:]))


def _master_key(text: str, length: int) -> MasterKey:
    method, _, info = text.partition(":")
    if method.lower() != "inline":
        raise SdpSyntaxError("unknown key method")
    key_text, *rest = info.split("|")
    lifetime: int | None = None
    mki: int | None = None
    mki_length = 0
    if rest and ":" not in rest[0]:
        lifetime = _lifetime(rest.pop(0))
    if rest:
        mki, mki_length = _identifier(rest.pop(0))
    if rest:
        raise SdpSyntaxError("surplus field in key parameter")
    return MasterKey(_key_salt(key_text, length), lifetime, mki, mki_length)


def _key_salt(text: str, length: int) -> bytes:
    # RFC 4568 §6.1: padding is discarded, so it may be missing.
    text = text.rstrip("=")
    try:
        key_salt = binascii.a2b_base64((text + "=" * (-len(text) % 4)).encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise SdpSyntaxError("key is not base64") from None
    if len(key_salt) != length:
        raise SdpSyntaxError("key length does not fit the crypto-suite")
    return key_salt


def _lifetime(text: str) -> int:
    if text[:2] == "2^":
        exponent = number(text[2:], 48)
        lifetime = None if exponent is None else 1 << exponent
    else:
        lifetime = number(text, MAX_LIFETIME)
    if not lifetime:
        raise SdpSyntaxError("invalid key lifetime")
    return lifetime


def _identifier(text: str) -> tuple[int, int]:
    value_text, _, length_text = text.partition(":")
    length = number(length_text, MAX_MKI_LENGTH)
    if not length:
        raise SdpSyntaxError("invalid length of a master key identifier")
    if not value_text.isascii() or not value_text.isdigit() or len(value_text) > 3 * MAX_MKI_LENGTH:
        raise SdpSyntaxError("invalid master key identifier")
    value = int(value_text)
    if value >> (8 * length):
        raise SdpSyntaxError("master key identifier exceeds its length")
    return value, length
