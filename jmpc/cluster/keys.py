"""Private keys: made, fingerprinted, sealed with a passphrase, and read.

In: a key, or what a file holds. Out: PEM, or PKCS#12 where a passphrase seals it; a fingerprint, which is that of the
public key, so that it outlives a renewed certificate. No error says anything of a key. This file opens no file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)

from jmpc.errors import ConfigError

Passphrase = Callable[[], bytes]  # asked only where one is needed
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
LEAST_PASSPHRASE = 8
SEALING_ROUNDS = 600_000  # of PBKDF2 with SHA-256


def fingerprint(certified: x509.Certificate | x509.CertificateSigningRequest | PrivateKey) -> str:
    """SHA-256 of the public key, as `cluster.toml` has it."""
    public = certified.public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(spki).hexdigest()}"


def certificate_pem(certificate: x509.Certificate) -> str:
    """A certificate in the one form that files of a cluster have."""
    return certificate.public_bytes(Encoding.PEM).decode()


def seal(key: ec.EllipticCurvePrivateKey, passphrase: bytes) -> bytes:
    """A private key as PKCS#12, of no use without the passphrase."""
    check_passphrase(passphrase)
    how = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(SEALING_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(SHA256())
        .build(passphrase)
    )
    return pkcs12.serialize_key_and_certificates(b"jmpc authority", key, None, None, how)


def check_passphrase(passphrase: bytes) -> None:
    """Refuse one that anybody could guess."""
    if len(passphrase) < LEAST_PASSPHRASE:
        raise ConfigError(
            "the passphrase is too short",
            where="the passphrase of the authority's key",
            why=f"it has fewer than {LEAST_PASSPHRASE} bytes",
            todo="take five random words or more",
        )


def unseal(content: bytes, passphrase: bytes, where: str) -> PrivateKey:
    """What `seal` sealed."""
    try:
        return _known(pkcs12.load_pkcs12(content, passphrase).key)
    except ValueError:
        raise ConfigError(
            "the authority's key does not open",
            where=where,
            why="the passphrase is another one, or the file is damaged",
            todo="give the passphrase with which the cluster was made, or take the file from a backup",
        ) from None


def open_key(content: bytes, where: str) -> PrivateKey:
    """A private key in the clear, or ConfigError."""
    try:
        return read_pem(content)
    except ValueError as exc:
        todo = "take the file from a backup, or make a new key: jmpc cluster rotate, or keygen"
        raise ConfigError("the private key cannot be read", where=where, why=str(exc), todo=todo) from None


def read_pem(content: bytes) -> PrivateKey:
    """A private key in the clear. ValueError says why it is none."""
    if b"ENCRYPTED" in content:
        raise ValueError("it is encrypted, and a service has nobody to ask for a passphrase")
    try:
        return _known(load_pem_private_key(content, None))
    except Exception:  # of cryptography, of several kinds; none of its words are kept, since they may quote the file
        raise ValueError("it is no private key as PEM of a kind that TLS takes here (P-256, Ed25519, RSA)") from None


def _known(key: object) -> PrivateKey:
    if not isinstance(key, PrivateKey):
        raise ValueError("it is no key of a kind that TLS takes here")
    return key
