"""Certificates of one cluster, made on the fly: one CA, one leaf for each party and for the driver.

In: an identity (`jmpc://party/0`, `jmpc://driver`). Out: PEM for key, certificate and CA. The CA's key lives
in the driver's memory and dies with the object. This file writes nothing to disk.
"""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jmpc.runtime.identity import Credentials

LIFETIME = dt.timedelta(days=1)
_CLOCK_SKEW = dt.timedelta(minutes=5)


class CertificateAuthority:
    """Signs the leaves of one cluster."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jmpc cluster")])
        usage = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
        now = dt.datetime.now(dt.UTC)
        builder = _builder(self._name, self._name, self._key.public_key(), now - _CLOCK_SKEW, now + LIFETIME)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False)
        self.pem = builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM)

    def issue(
        self, identity: str, *, lifetime: dt.timedelta = LIFETIME, start: dt.datetime | None = None
    ) -> Credentials:
        """A fresh key and its certificate for `identity`."""
        key = ec.generate_private_key(ec.SECP256R1())
        begin = start or dt.datetime.now(dt.UTC) - _CLOCK_SKEW
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jmpc")])
        builder = _builder(name, self._name, key.public_key(), begin, begin + _CLOCK_SKEW + lifetime)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=False
        )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        certificate = builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM)
        return Credentials(identity, pem, certificate, self.pem)

    def __repr__(self) -> str:
        return "CertificateAuthority(hidden)"


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: dt.datetime, end: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
