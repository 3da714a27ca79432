"""What the certificates of a cluster say: one authority, one leaf for each party, client and driver.

In: an identity (`jmpc://study/party/0`), a key, a span of time. Out: a certificate, or, from the authority
that a launcher makes on the fly, PEM for key, certificate and CA; that authority's key lives in the driver's memory and
dies with the object. This file writes nothing to disk.
"""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from jmpc.runtime.identity import Credentials

LIFETIME = dt.timedelta(days=3650)  # links are ended with their certificates, and a driver may run for long
CLOCK_SKEW = dt.timedelta(minutes=5)  # so much may a clock be behind: certificates begin earlier by it
DIALS, SERVES = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh key of the one kind that jmpc makes."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM, in the clear."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def authority_certificate(
    key: ec.EllipticCurvePrivateKey, name: str, begin: dt.datetime, end: dt.datetime
) -> x509.Certificate:
    """Signed by itself; it may sign leaves and nothing else."""
    subject = _name(name)
    builder = _builder(subject, subject, key.public_key(), begin, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    return builder.sign(key, SHA256())


def leaf_certificate(
    identity: str,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    begin: dt.datetime,
    end: dt.datetime,
    purposes: tuple[ObjectIdentifier, ...] = (SERVES, DIALS),
) -> x509.Certificate:
    """It proves `identity`, by the one alternative name that it has, at the ends of TLS that `purposes` says."""
    builder = _builder(_name("jmpc"), issuer.subject, key, begin, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=False
    )
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
    )
    return builder.sign(issuer_key, SHA256())


class CertificateAuthority:
    """Signs the leaves of one cluster on this machine, which ends long before they do."""

    def __init__(self) -> None:
        self._key = new_key()
        now = dt.datetime.now(dt.UTC)
        self._certificate = authority_certificate(self._key, "jmpc cluster", now - CLOCK_SKEW, now + LIFETIME)
        self.pem = self._certificate.public_bytes(Encoding.PEM)

    def issue(
        self, identity: str, *, lifetime: dt.timedelta = LIFETIME, start: dt.datetime | None = None
    ) -> Credentials:
        """A fresh key and its certificate for `identity`."""
        key = new_key()
        begin = start or dt.datetime.now(dt.UTC) - CLOCK_SKEW
        end = begin + CLOCK_SKEW + lifetime
        leaf = leaf_certificate(identity, key.public_key(), self._certificate, self._key, begin, end)
        return Credentials(identity, key_pem(key), leaf.public_bytes(Encoding.PEM), self.pem)

    def __repr__(self) -> str:
        return "CertificateAuthority(hidden)"


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


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
