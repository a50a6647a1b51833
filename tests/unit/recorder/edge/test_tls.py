"""Certificate files become contexts; every fault of a file is named with its key and a remedy."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recorder.edge.tls import TlsContexts, TlsMaterial, client_context, facts, names_of, read_material, server_context
from recorder.errors import ConfigError
from recorder.settings import SipSettings
from tests.kit.certificates import Authority, KeyPair


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> KeyPair:
    return authority.sign("server", alternative=("rec.example", "127.0.0.1"))


def settings(pair: KeyPair, **more: Any) -> SipSettings:
    return SipSettings(tls_port=5061, tls_certificate=str(pair.certificate), tls_key=str(pair.key), **more)


def read(pair: KeyPair, **more: Any) -> TlsMaterial:
    material = read_material(settings(pair, **more))
    assert material is not None
    return material


def shake_hands(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Shake hands in memory and exchange a byte in both directions; returns client and server."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname="rec.example")
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(6):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    assert not waiting
    client.write(b"x")
    assert server.read(1) == b"x"
    return client, server


def test_without_a_port_nothing_is_read() -> None:
    assert read_material(SipSettings(tls_certificate="/absent", tls_key="/absent")) is None


def test_a_client_that_trusts_the_authority_shakes_hands(authority: Authority, server: KeyPair) -> None:
    client, _ = shake_hands(server_context(read(server)), authority.trusting())
    assert client.version() == "TLSv1.3"


def test_tls_1_2_is_the_oldest_version(authority: Authority, server: KeyPair) -> None:
    context = server_context(read(server))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    modern = authority.trusting()
    modern.maximum_version = ssl.TLSVersion.TLSv1_2
    client, _ = shake_hands(context, modern)
    cipher = client.cipher()
    assert client.version() == "TLSv1.2"
    assert cipher is not None
    assert cipher[0].startswith("ECDHE-")


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"])
def test_ciphers_without_forward_secrecy_or_authentication_are_refused(
    authority: Authority, server: KeyPair, cipher: str
) -> None:
    weak = authority.trusting()
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)no.shared.cipher|handshake.failure"):
        shake_hands(server_context(read(server)), weak)


def test_material_survives_the_way_to_another_process(server: KeyPair) -> None:
    material = read(server)
    assert TlsMaterial.decode(material.encode()) == material


# Mutual TLS


def test_a_required_certificate_that_is_missing_ends_the_handshake(authority: Authority, server: KeyPair) -> None:
    material = read(server, tls_client_ca=str(authority.file), tls_client_certificate="required")
    with pytest.raises(ssl.SSLError, match=r"(?i)peer did not return a certificate"):
        shake_hands(server_context(material), authority.trusting())


def test_a_certificate_of_the_named_authority_is_accepted(authority: Authority, server: KeyPair) -> None:
    material = read(server, tls_client_ca=str(authority.file), tls_client_certificate="required")
    _, ours = shake_hands(server_context(material), authority.trusting(authority.sign("client")))
    assert ours.getpeercert()


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path, authority: Authority, server: KeyPair) -> None:
    material = read(server, tls_client_ca=str(authority.file), tls_client_certificate="required")
    stranger = Authority(tmp_path, "Other Authority").sign("stranger")
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate.verify.failed"):
        shake_hands(server_context(material), authority.trusting(stranger))


def test_an_optional_certificate_may_be_missing_but_not_wrong(
    tmp_path: Path, authority: Authority, server: KeyPair
) -> None:
    context = server_context(read(server, tls_client_ca=str(authority.file), tls_client_certificate="optional"))
    shake_hands(context, authority.trusting())
    stranger = Authority(tmp_path, "Other Authority").sign("stranger")
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate.verify.failed"):
        shake_hands(context, authority.trusting(stranger))


@pytest.mark.parametrize(
    ("alternative", "listed", "accepted"),
    [
        (("sbc1.site.example",), "sbc1.site.example", True),
        (("SBC1.Site.Example",), "*.site.example", True),
        (("sip:site.example",), "site.example", True),
        (("sbc1.site.example",), "sbc2.site.example", False),
        ((), "peer", True),
        (("sbc1.site.example",), "peer", False),
    ],
    ids=["name", "pattern, any case", "SIP URI", "another name", "common name", "common name beside others"],
)
def test_only_listed_identities_get_in(
    authority: Authority, server: KeyPair, alternative: tuple[str, ...], listed: str, accepted: bool
) -> None:
    """C26; RFC 5922 section 7.1: the common name counts only where there is no subjectAltName."""
    material = read(server, tls_client_ca=str(authority.file), tls_client_certificate="required")
    context = server_context(material, ["other.example", listed])
    client = authority.trusting(authority.sign("client", alternative=alternative))
    if accepted:
        shake_hands(context, client)
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"not in access\.tls_identities"):
            shake_hands(context, client)


def test_a_sip_uri_loses_its_scheme_and_other_uris_do_not_count() -> None:
    certificate = {"subjectAltName": (("URI", "sip:Example.COM"), ("URI", "https://web.example"), ("DNS", "a.example"))}
    assert names_of(certificate) == ("example.com", "a.example")


# Connections of ours


def test_we_show_our_certificate_and_check_the_peers(authority: Authority, server: KeyPair) -> None:
    material = read(server, tls_client_ca=str(authority.file))
    theirs = read(
        authority.sign("peer", alternative=("rec.example",)),
        tls_client_ca=str(authority.file),
        tls_client_certificate="required",
    )
    _, peer = shake_hands(server_context(theirs), client_context(material))
    shown = peer.getpeercert()
    assert shown is not None
    assert names_of(shown) == ("rec.example", "127.0.0.1")
    elsewhere = read(authority.sign("elsewhere", alternative=("elsewhere.example",)))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)hostname mismatch"):
        shake_hands(server_context(elsewhere), client_context(material))


# Facts for people


def test_facts_tell_names_and_dates(server: KeyPair) -> None:
    about = facts(read(server))
    assert about.names == ("rec.example", "127.0.0.1")
    assert abs(about.not_after - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)
    assert about.in_force


@pytest.mark.parametrize(("days", "begins"), [(-1, -2), (2, 1)], ids=["expired", "not valid yet"])
def test_a_certificate_out_of_its_dates_is_told_but_usable(authority: Authority, days: float, begins: float) -> None:
    about = facts(read(authority.sign("late", days=days, begins_in_days=begins)))
    assert not about.in_force
    assert about.names == ("127.0.0.1",)


# Faults of files


def fault_of(configured: SipSettings) -> str:
    with pytest.raises(ConfigError) as caught:
        read_material(configured)
    return str(caught.value)


def test_an_absent_file_is_named_with_its_key(server: KeyPair) -> None:
    fault = fault_of(SipSettings(tls_port=5061, tls_certificate="/absent.pem", tls_key=str(server.key)))
    assert "sip.tls_certificate = '/absent.pem': No such file" in fault
    assert "give a PEM file" in fault


def test_both_absent_files_are_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        read_material(SipSettings(tls_port=5061, tls_certificate="/absent.pem", tls_key="/absent-key.pem"))
    assert len(caught.value.faults) == 2


def test_a_file_that_is_not_pem_is_named(tmp_path: Path, server: KeyPair) -> None:
    der = tmp_path / "certificate.der"
    der.write_bytes(bytes(200))
    fault = fault_of(SipSettings(tls_port=5061, tls_certificate=str(der), tls_key=str(server.key)))
    assert f"sip.tls_certificate = '{der}': not a PEM file" in fault


def test_a_key_of_another_certificate_is_told(authority: Authority, server: KeyPair) -> None:
    other = authority.sign("other")
    fault = fault_of(SipSettings(tls_port=5061, tls_certificate=str(server.certificate), tls_key=str(other.key)))
    assert "the key is not that of the certificate" in fault
    assert str(server.certificate) in fault
    assert str(other.key) in fault


def test_a_key_with_a_passphrase_is_told_instead_of_asked_for(authority: Authority) -> None:
    fault = fault_of(settings(authority.sign("locked", passphrase=b"secret")))
    assert "protected by a passphrase; remove it" in fault


def test_a_key_that_everybody_can_read_is_refused(server: KeyPair) -> None:
    server.key.chmod(0o644)
    assert "every user can read it; chmod o-rwx" in fault_of(settings(server))


def test_a_broken_certificate_is_told(server: KeyPair) -> None:
    text = server.certificate.read_text()
    server.certificate.write_text(text[:100] + text[140:])
    assert "cannot be used" in fault_of(settings(server))


def test_a_broken_authority_file_is_told(tmp_path: Path, server: KeyPair) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    fault = fault_of(settings(server, tls_client_ca=str(broken), tls_client_certificate="required"))
    assert f"sip.tls_client_ca = '{broken}'" in fault


# Replacing


def test_a_replaced_certificate_is_used_from_the_next_connection_on(authority: Authority, server: KeyPair) -> None:
    contexts = TlsContexts(read(server))
    assert contexts.server is not None
    before, _ = shake_hands(contexts.server, authority.trusting())
    contexts.replace(read(authority.sign("renewed", alternative=("rec.example", "new.example"))))
    after, _ = shake_hands(contexts.server, authority.trusting())
    names = [names_of(one.getpeercert() or {}) for one in (before, after)]
    assert names == [("rec.example", "127.0.0.1"), ("rec.example", "new.example")]


def test_without_material_there_are_no_contexts() -> None:
    contexts = TlsContexts(None)
    assert (contexts.server, contexts.client) == (None, None)
