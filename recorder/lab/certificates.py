"""Throwaway certificates by which the hosts of a lab know each other; docs/operations/cluster.md says how a site does.

The keys are as good as any, but lie in a directory that is removed with the lab.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALID: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Files of one host."""

    certificate: Path
    key: Path
    ca: Path


class LabAuthority:
    """Signs the certificates of one lab."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tandem lab")])
        builder = self._builder(self._name, self._key)
        certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._ca = directory / "ca.pem"
        self._write(self._ca, certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def sign(self, host: str) -> HostFiles:
        """Make the key and the certificate of a host."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._builder(name, key).sign(self._key, hashes.SHA256())
        files = HostFiles(self._directory / f"{host}.pem", self._directory / f"{host}.key", self._ca)
        self._write(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        self._write(
            files.key,
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        return files

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + _VALID)
        )

    def _write(self, path: Path, data: bytes) -> None:
        path.touch(mode=0o600)
        path.write_bytes(data)
