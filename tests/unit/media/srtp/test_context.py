"""libsrtp through our binding, against the vectors of the RFCs and an implementation of our own."""

from __future__ import annotations

import os
import struct

import pytest

from media.errors import LocalError
from media.srtp import REPLAYED, SUITES, Context, Failure
from tests.kit.srtp_oracle import LENGTHS, Oracle, keystream

SSRC = 0xCAFEBABE
REPORT = struct.pack(">BBHIII", 0x80, 201, 3, 7, 8, 9)


def packet(sequence: int, size: int = 160) -> bytes:
    return struct.pack(">BBHII", 0x80, 0, sequence & 0xFFFF, 0xDECAFBAD, SSRC) + bytes(range(256))[:size]


def made(suite: str) -> tuple[Oracle, Context]:
    key_salt = os.urandom(SUITES[suite].key_salt_length)
    return Oracle(suite, key_salt), Context(suite, key_salt)


def test_the_oracle_reproduces_rfc_3711_appendix_b_2_and_b_3() -> None:
    """RFC 3711 §B.2 and §B.3: key stream and session keys."""
    stream = keystream(bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"), 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFD0000, 16)
    assert stream.hex().upper() == "E03EAD0935C95E80E166B16DD92B4EB4"
    oracle = Oracle(
        "AES_CM_128_HMAC_SHA1_80", bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139" + "0EC675AD498AFEEBB6960B3AABE6")
    )
    assert oracle.rtp_key.hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert oracle.rtp_salt.hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
    assert oracle.rtp_auth.hex().upper() == "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"


def test_the_oracle_reproduces_rfc_6188_7_2() -> None:
    """RFC 6188 §7.2: session keys of AES_256_CM_PRF."""
    oracle = Oracle(
        "AES_256_CM_HMAC_SHA1_80",
        bytes.fromhex(
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6" + "3b04803de51ee7c96423ab5b78d2"
        ),
    )
    assert oracle.rtp_key.hex() == "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"
    assert oracle.rtp_salt.hex() == "fa31791685ca444a9e07c6c64e93"
    assert oracle.rtp_auth.hex() == "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"


@pytest.mark.parametrize("suite", SUITES)
def test_rtp_and_rtcp_of_every_suite(suite: str) -> None:
    oracle, context = made(suite)
    assert context.open_rtp(oracle.rtp(packet(5), 0)) == packet(5)
    assert context.open_rtp(oracle.rtp(packet(6, 0), 0)) == packet(6, 0)
    assert context.open_rtcp(oracle.rtcp(REPORT, 1)) == REPORT


@pytest.mark.parametrize("suite", SUITES)
def test_what_we_seal_others_open(suite: str) -> None:
    key_salt = os.urandom(SUITES[suite].key_salt_length)
    outbound = Context(suite, key_salt, outbound=True)
    assert outbound.seal_rtp(packet(5)) == Oracle(suite, key_salt).rtp(packet(5), 0)
    assert outbound.seal_rtcp(REPORT) == Oracle(suite, key_salt).rtcp(REPORT, 1)


def test_the_rollover_counter_rises_at_a_wrap_and_can_be_set() -> None:
    oracle, context = made("AES_CM_128_HMAC_SHA1_80")
    assert context.rollovers(SSRC) is None
    assert isinstance(context.open_rtp(oracle.rtp(packet(65535), 0)), bytes)
    assert isinstance(context.open_rtp(oracle.rtp(packet(0), 1)), bytes)
    assert context.rollovers(SSRC) == 1
    context.expect(SSRC, 70_000)
    assert isinstance(context.open_rtp(oracle.rtp(packet(9), 70_000)), bytes)
    assert context.rollovers(SSRC) == 70_000
    context.expect(SSRC, 0)
    assert isinstance(context.open_rtp(oracle.rtp(packet(9), 0)), bytes)


def test_faults_are_values() -> None:
    oracle, context = made("AES_CM_128_HMAC_SHA1_32")
    sealed = oracle.rtp(packet(5), 0)
    assert context.open_rtp(sealed[:-1] + bytes([sealed[-1] ^ 1])) == Failure.NOT_AUTHENTIC
    assert isinstance(context.open_rtp(sealed), bytes)
    assert context.open_rtp(sealed) in REPLAYED
    for junk in (b"", b"\x80", bytes(2048), bytes(5000), os.urandom(100)):
        assert isinstance(context.open_rtp(junk), int)
        assert isinstance(context.open_rtcp(junk), int)


def test_a_key_must_fit_its_suite() -> None:
    with pytest.raises(LocalError):
        Context("AES_CM_128_HMAC_SHA1_80", bytes(29))
    with pytest.raises(LocalError):
        Context("AES_192_CM_HMAC_SHA1_80", bytes(38))  # libsrtp issue 763


def test_the_oracle_knows_every_suite() -> None:
    assert set(SUITES) <= set(LENGTHS)
