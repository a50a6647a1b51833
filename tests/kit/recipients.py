"""Recipients of encrypted audio with their private keys, of every kind that is offered."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID

KINDS = ("x25519", "p256", "p384", "rsa")
PASSPHRASE = "correct horse"


def make_recipient(folder: Path, kind: str, *, name: str = "archive", passphrase: bool = False) -> tuple[Path, Path]:
    """Write a public part (X25519: key; others: certificate) and its private key; returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    public, private = folder / f"{name}-{kind}.pem", folder / f"{name}-{kind}.key"
    if kind == "x25519":
        key: X25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = X25519PrivateKey.generate()
        public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    else:
        signer = (
            rsa.generate_private_key(65537, 2048)
            if kind == "rsa"
            else ec.generate_private_key(ec.SECP256R1() if kind == "p256" else ec.SECP384R1())
        )
        key = signer
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(signer.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(signer, hashes.SHA256())
        )
        public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    how: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(PASSPHRASE.encode()) if passphrase else serialization.NoEncryption()
    )
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
    return public, private
