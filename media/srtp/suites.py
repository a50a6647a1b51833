"""Crypto-suites that libsrtp offers, by their SDP names (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14). Data only.

AES_192_CM is missing on purpose: libsrtp up to 2.7 derives its session keys in another way than RFC 6188 (libsrtp
issue 763), so it would understand nobody but itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Suite:
    """One crypto-suite."""

    key_salt_length: int
    """Bytes of master key and master salt together."""
    rtp: str
    """What follows `srtp_crypto_policy_set_` in the name of the function that sets it for RTP."""
    rtcp: str
    """The same for RTCP: its tag has 80 bits also where that of RTP has 32 (RFC 4568 §6.2.2, RFC 6188 §4)."""
    rtp_tag: int
    """Bytes of the authentication tag behind the MKI of an RTP packet; AEAD has none there (RFC 7714 §8.2)."""
    rtcp_tag: int


SUITES: Final = {
    "AES_CM_128_HMAC_SHA1_80": Suite(30, "rtp_default", "rtcp_default", 10, 10),
    "AES_CM_128_HMAC_SHA1_32": Suite(30, "aes_cm_128_hmac_sha1_32", "rtcp_default", 4, 10),
    "AES_256_CM_HMAC_SHA1_80": Suite(46, "aes_cm_256_hmac_sha1_80", "aes_cm_256_hmac_sha1_80", 10, 10),
    "AES_256_CM_HMAC_SHA1_32": Suite(46, "aes_cm_256_hmac_sha1_32", "aes_cm_256_hmac_sha1_80", 4, 10),
    "AEAD_AES_128_GCM": Suite(28, "aes_gcm_128_16_auth", "aes_gcm_128_16_auth", 0, 0),
    "AEAD_AES_256_GCM": Suite(44, "aes_gcm_256_16_auth", "aes_gcm_256_16_auth", 0, 0),
}
