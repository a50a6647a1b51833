"""SRTP written from RFC 3711 and RFC 7714 with nothing but block ciphers and a hash: a second opinion on libsrtp."""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LENGTHS = {  # suite: master key, master salt, tag of RTP, tag of RTCP
    "AES_CM_128_HMAC_SHA1_80": (16, 14, 10, 10),
    "AES_CM_128_HMAC_SHA1_32": (16, 14, 4, 10),
    "AES_192_CM_HMAC_SHA1_80": (24, 14, 10, 10),
    "AES_192_CM_HMAC_SHA1_32": (24, 14, 4, 10),
    "AES_256_CM_HMAC_SHA1_80": (32, 14, 10, 10),
    "AES_256_CM_HMAC_SHA1_32": (32, 14, 4, 10),
    "AEAD_AES_128_GCM": (16, 12, 16, 16),
    "AEAD_AES_256_GCM": (32, 12, 16, 16),
}


def keystream(key: bytes, iv: int, size: int) -> bytes:
    """AES in counter mode, RFC 3711 §4.1.1; `iv` is a number of 128 bits."""
    encryptor = Cipher(algorithms.AES(key), modes.CTR((iv % (1 << 128)).to_bytes(16, "big"))).encryptor()
    return encryptor.update(bytes(size))


class Oracle:
    """One master key on the sender's side."""

    def __init__(self, suite: str, key_salt: bytes, mki: bytes = b"") -> None:
        key_length, salt_length, self.rtp_tag, self.rtcp_tag = LENGTHS[suite]
        self.gcm = "GCM" in suite
        self.mki = mki
        key, salt = key_salt[:key_length], key_salt[key_length : key_length + salt_length]
        padded = int.from_bytes(salt.ljust(14, b"\0"), "big")

        def derive(label: int, size: int) -> bytes:  # RFC 3711 §4.3.1, key derivation rate 0
            return keystream(key, (padded ^ label << 48) << 16, size)

        self.rtp_key, self.rtp_auth, self.rtp_salt = derive(0, key_length), derive(1, 20), derive(2, salt_length)
        self.rtcp_key, self.rtcp_auth, self.rtcp_salt = derive(3, key_length), derive(4, 20), derive(5, salt_length)

    def rtp(self, packet: bytes, rollovers: int) -> bytes:
        """RFC 3711 §3.1 and §4.1.1; RFC 7714 §8.1. No extension headers, no CSRCs."""
        header, payload = packet[:12], packet[12:]
        sequence, ssrc = struct.unpack(">H", packet[2:4])[0], packet[8:12]
        if self.gcm:
            iv = _xor(bytes(2) + ssrc + struct.pack(">IH", rollovers, sequence), self.rtp_salt)
            return header + AESGCM(self.rtp_key).encrypt(iv, payload, header) + self.mki
        index = rollovers << 16 | sequence
        iv_number = (int.from_bytes(self.rtp_salt, "big") << 16) ^ (int.from_bytes(ssrc, "big") << 64) ^ (index << 16)
        sealed = header + _xor(payload, keystream(self.rtp_key, iv_number, len(payload)))
        tag = hmac.new(self.rtp_auth, sealed + struct.pack(">I", rollovers), hashlib.sha1).digest()
        return sealed + self.mki + tag[: self.rtp_tag]

    def rtcp(self, packet: bytes, index: int) -> bytes:
        """RFC 3711 §3.4; RFC 7714 §9.1. Encrypted."""
        header, payload, ssrc = packet[:8], packet[8:], packet[4:8]
        trailer = struct.pack(">I", 1 << 31 | index)
        if self.gcm:
            iv = _xor(bytes(2) + ssrc + bytes(2) + struct.pack(">I", index), self.rtcp_salt)
            return header + AESGCM(self.rtcp_key).encrypt(iv, payload, header + trailer) + trailer + self.mki
        iv_number = (int.from_bytes(self.rtcp_salt, "big") << 16) ^ (int.from_bytes(ssrc, "big") << 64) ^ (index << 16)
        sealed = header + _xor(payload, keystream(self.rtcp_key, iv_number, len(payload))) + trailer
        tag = hmac.new(self.rtcp_auth, sealed, hashlib.sha1).digest()
        return sealed + self.mki + tag[: self.rtcp_tag]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
