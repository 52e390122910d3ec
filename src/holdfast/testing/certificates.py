# SPDX-License-Identifier: Apache-2.0
"""An authority of a test or a lab, and certificates that it signs. Needs ``cryptography``."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from ..errors import MissingExtra

try:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError as error:
    raise MissingExtra("secrets", "making certificates") from error


class Authority:
    """Keeps its certificates in a folder. ``ca`` is its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(name, self._key).add_extension(x509.BasicConstraints(True, 0), True).add_extension(
            x509.KeyUsage(True, False, False, False, False, True, True, False, False), True)
        self._certificate = builder.sign(self._key, SHA256())
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str, *, server: bool = False) -> tuple[Path, Path]:
        """A certificate and its key, as files. server: for 127.0.0.1; else a client's."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(name, key).add_extension(x509.ExtendedKeyUsage([usage]), False).add_extension(
            x509.BasicConstraints(False, None), True).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False)
        if server:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        certificate, at = builder.sign(self._key, SHA256()), self._folder / f"{name}.pem"
        at.write_bytes(certificate.public_bytes(Encoding.PEM))
        secret = self._folder / f"{name}.key"
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return at, secret

    def _builder(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        public = key.public_key()
        return x509.CertificateBuilder(
            issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)]),
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), public_key=public,
            serial_number=x509.random_serial_number(), not_valid_before=now - dt.timedelta(hours=1),
            not_valid_after=now + dt.timedelta(days=2)).add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public), False)
