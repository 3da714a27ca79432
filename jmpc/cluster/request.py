"""A key made where it belongs: the key, and the request to sign it, which holds nothing secret.

In: a folder with the cluster's file. Out: the member's own folder in it, with the key and `request.pem`. The
certificate comes back from who runs the authority, and `change.accept` puts it beside the key.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from jmpc.cluster import files, identity, keys, names
from jmpc.cluster.change import editing
from jmpc.cluster.faults import refuse
from jmpc.cluster.files import Entry
from jmpc.errors import ConfigError
from jmpc.runtime.certificates import key_pem, new_key


def keygen(folder: Path, name: str, *, renew: bool = False, same_key: bool = False) -> tuple[Path, str]:
    """Make a key and a request: the request's path and the key's fingerprint.

    renew: a new key beside the one in use, which stays in use until the new certificate is accepted.
    same_key: a request for a new certificate of the key in use.
    """
    with editing(folder) as known:
        uri, own = known.uri(known.member(name).name), folder / names.folder_of(name)
        if same_key:
            pem, faults = files.read(own / identity.KEY, private=True)
            refuse([*files.folder_faults(own), *faults])
            key, entries = keys.open_key(pem, str(own / identity.KEY)), list[Entry]()
        else:
            key, there = new_key(), (own / identity.KEY).exists()
            _may_make(own, there, renew)
            file = identity.NEXT_KEY if there else identity.KEY
            entries = [Entry(f"{own.name}/{file}", key_pem(key), files.PRIVATE)]
        entries.append(Entry(f"{own.name}/{identity.REQUEST}", _request(key, uri)))
        files.commit(folder, entries)
        return own / identity.REQUEST, keys.fingerprint(key)


def _may_make(own: Path, there: bool, renew: bool) -> None:
    if there and not renew:
        raise ConfigError(
            "there is a key already",
            where=str(own / identity.KEY),
            why="a key is never written over",
            todo="for a new one beside it, until its certificate is accepted: --renew",
        )


def _request(key: keys.PrivateKey, uri: str) -> bytes:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(
            "the key is of another kind", where="--same-key", why="jmpc signs keys of P-256", todo="--renew"
        )
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jmpc")]))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
