"""Certificates made on the spot: an authority of our own, and servers it vouches for, rightly or not."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import mkdtemp

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, *, expired: bool) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * DAY)
        .not_valid_after(now - DAY if expired else now + DAY)
    )


class Authority:
    """`ca_file` is what a client must trust; `server_context(...)` is what a server serves with."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = (
            _builder("Test authority", "Test authority", self._key, expired=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server_context(self, fault: str = "") -> ssl.SSLContext:
        """For 127.0.0.1 and localhost; `fault` is expired, wrong-host or self-signed."""
        key = ec.generate_private_key(ec.SECP256R1())
        host = x509.DNSName("elsewhere.example") if fault == "wrong-host" else x509.DNSName("localhost")
        names: list[x509.GeneralName] = [host]
        if fault != "wrong-host":
            names.append(x509.IPAddress(ip_address("127.0.0.1")))
        own = fault == "self-signed"
        builder = _builder("Test server", "Test server" if own else "Test authority", key, expired=fault == "expired")
        certificate = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
            key if own else self._key, hashes.SHA256()
        )
        path = self._folder / f"{fault or 'good'}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@cache
def authority() -> Authority:
    return Authority(Path(mkdtemp(prefix="relayhouse-certificates-")))
