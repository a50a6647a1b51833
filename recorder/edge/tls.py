"""TLS of the SIP port: certificate files become contexts (RFC 3261 section 26.3.1, RFC 5922, RFC 9325).

The supervisor reads the files, proves that they work together, and hands their content to the frontends, so that a
frontend which starts while a file is being replaced still has the last good one. Does not open sockets.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from recorder.errors import ConfigError
from recorder.settings import SipSettings

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"
"""For TLS 1.2: what RFC 9325 section 4.2 recommends, forward secret and authenticated; TLS 1.3 has only such suites."""
MAX_FILE: Final = 4 << 20
"""Bytes of one file; the bundle of every public authority has about 250 kB."""
_OTHERS_MAY_READ: Final = 0o004
_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which the ssl module has no name."""
_FLIGHTS: Final = 4
"""A TLS 1.2 handshake takes two flights of each side, one of TLS 1.3 fewer."""

ClientCertificate = Literal["none", "optional", "required"]


class TlsMaterial(msgspec.Struct, frozen=True):
    """Content of the certificate files, and what is asked of clients."""

    certificate: bytes
    """PEM: our certificate, then those that lead to its authority."""
    key: bytes
    """PEM, without a passphrase."""
    client_ca: bytes = b""
    """PEM of the authorities that sign certificates of clients; empty: none."""
    client_certificate: ClientCertificate = "none"

    def encode(self) -> bytes:
        """Return it as bytes for another process; they hold the key."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> TlsMaterial:
        """Return what `encode` was given."""
        return msgspec.msgpack.decode(data, type=cls)


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What people want to know of the certificate in use."""

    names: tuple[str, ...]
    """DNS names and addresses it is good for (RFC 5922 section 7.1)."""
    not_after: datetime
    in_force: bool
    """False when it has expired or is not valid yet."""


class IdentityRefusedError(ssl.SSLCertVerificationError):
    """Remote: the client's certificate is valid, but its name is not on the list."""


def read_material(settings: SipSettings) -> TlsMaterial | None:
    """Read the configured files and prove that they work together; None where TLS is off.

    Raises:
        ConfigError: names key, file and remedy of everything that is wrong.

    """
    if not settings.tls_port:
        return None
    faults: list[str] = []
    certificate = _read("sip.tls_certificate", settings.tls_certificate, faults)
    key = _read("sip.tls_key", settings.tls_key, faults, secret=True)
    client_ca = _read("sip.tls_client_ca", settings.tls_client_ca, faults) if settings.tls_client_ca else b""
    if not faults:
        material = TlsMaterial(certificate, key, client_ca, settings.tls_client_certificate)
        faults = _prove(material, settings)
    if faults:
        raise ConfigError(faults)
    return material


def server_context(material: TlsMaterial, identities: Sequence[str] = ()) -> ssl.SSLContext:
    """Return the context for connections that clients open.

    Args:
        material: from `read_material`.
        identities: names of which a client's certificate must bear one, `*` standing for anything; empty: any name.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, material)
    context.verify_mode = {
        "none": ssl.CERT_NONE,
        "optional": ssl.CERT_OPTIONAL,
        "required": ssl.CERT_REQUIRED,
    }[material.client_certificate]
    if identities:
        context.sslobject_class = _checking(identities)
    return context


def client_context(material: TlsMaterial) -> ssl.SSLContext:
    """Return the context for connections that we open for requests of ours; the peer's name is checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, material)
    if not material.client_ca:
        context.load_default_certs()
    return context


def facts(material: TlsMaterial) -> CertificateFacts:
    """Look at our own certificate, by a handshake with ourselves in memory.

    Raises:
        ssl.SSLError: no client could shake hands with these files.

    """
    try:
        certificate = _handshake(material)
        in_force = True
    except ssl.SSLCertVerificationError:
        # It is trusted by itself here, so only its dates can be wrong.
        certificate = _handshake(material, dates=False)
        in_force = False
    seconds = ssl.cert_time_to_seconds(certificate["notAfter"])
    return CertificateFacts(names_of(certificate), datetime.fromtimestamp(seconds, UTC), in_force)


def names_of(certificate: dict[str, Any]) -> tuple[str, ...]:
    """Return the names that a verified certificate bears, lower case.

    RFC 5922 section 7.1: SIP URIs and DNS names of the subjectAltName; the common name only where there is neither.
    """
    names = []
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "URI" and value.lower().startswith(("sip:", "sips:")):
            names.append(value.partition(":")[2].lower())
        elif kind in {"DNS", "IP Address"}:
            names.append(value.lower())
    return tuple(names) or tuple(name.lower() for name in _common_names(certificate))


def _common_names(certificate: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        value for relative in certificate.get("subject", ()) for name, value in relative if name == "commonName"
    )


def _checking(identities: Sequence[str]) -> type[ssl.SSLObject]:
    wanted = tuple(identity.lower() for identity in identities)

    class CheckedConnection(ssl.SSLObject):
        """A connection whose handshake fails for names that are not listed."""

        def do_handshake(self) -> None:
            super().do_handshake()
            names = names_of(self.getpeercert() or {})
            if not any(fnmatchcase(name, pattern) for name in names for pattern in wanted):
                raise IdentityRefusedError(
                    f"certificate of {', '.join(names) or 'a client without one'} is not in access.tls_identities"
                )

    return CheckedConnection


def _read(key: str, path: str, faults: list[str], *, secret: bool = False) -> bytes:
    try:
        with Path(path).open("rb") as file:
            if secret and os.fstat(file.fileno()).st_mode & _OTHERS_MAY_READ:
                faults.append(f"{key} = {path!r}: every user can read it; chmod o-rwx")
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        faults.append(f"{key} = {path!r}: {error.strerror}; give a PEM file that this user can read")
        return b""
    if b"-----BEGIN " not in data or len(data) > MAX_FILE:
        faults.append(f"{key} = {path!r}: not a PEM file; convert it with openssl (-outform PEM)")
    elif secret and b"ENCRYPTED" in data:
        faults.append(f"{key} = {path!r}: protected by a passphrase; remove it (openssl pkey -in ... -out ...)")
    return data


def _prove(material: TlsMaterial, settings: SipSettings) -> list[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = f"sip.tls_certificate = {settings.tls_certificate!r} and sip.tls_key = {settings.tls_key!r}"
    try:
        _load(context, msgspec.structs.replace(material, client_ca=b""))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return [f"{pair}: the key is not that of the certificate; give the two that were made together"]
        return [f"{pair}: cannot be used: {_reason(error)}; check both with openssl"]
    try:
        _load(context, material)
    except ssl.SSLError as error:
        return [f"sip.tls_client_ca = {settings.tls_client_ca!r}: cannot be used: {_reason(error)}; check with openssl"]
    try:
        facts(material)
    except ssl.SSLError as error:
        return [f"{pair}: no client can shake hands with them: {_reason(error)}"]
    return []


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")


def _load(context: ssl.SSLContext, material: TlsMaterial) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    with _as_file(material.certificate) as certificate, _as_file(material.key) as key:
        # An empty passphrase keeps OpenSSL from asking for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    if material.client_ca:
        context.load_verify_locations(cadata=material.client_ca.decode("ascii", "replace"))


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """OpenSSL takes certificates and keys from files only; this one never reaches a disk."""
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _handshake(material: TlsMaterial, *, dates: bool = True) -> dict[str, Any]:
    """Shake hands with ourselves in memory and return the certificate as the client sees it."""
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(ours, msgspec.structs.replace(material, client_ca=b""))
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.check_hostname = False
    theirs.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not dates:
        theirs.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    theirs.load_verify_locations(cadata=material.certificate.decode("ascii", "replace"))
    to_us, to_them = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = theirs.wrap_bio(to_them, to_us)
    unfinished = [client, ours.wrap_bio(to_us, to_them, server_side=True)]
    for _ in range(_FLIGHTS):
        for side in list(unfinished):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
                unfinished.remove(side)
    return client.getpeercert() or {}


class TlsContexts:
    """The contexts of a frontend, replaced together when certificates are renewed.

    Args:
        material: None where TLS is off.
        identities: see `server_context`.

    """

    def __init__(self, material: TlsMaterial | None, identities: Sequence[str] = ()) -> None:
        self.server: ssl.SSLContext | None = None
        self.client: ssl.SSLContext | None = None
        self._identities = tuple(identities)
        if material is not None:
            self.replace(material)

    def replace(self, material: TlsMaterial) -> None:
        """Use other certificates from the next connection on."""
        self.server = server_context(material, self._identities)
        self.client = client_context(material)
