"""A cluster's own authority: its key, in a folder of its own, and what it signs.

In: a passphrase, if the key is sealed; public keys. Out: certificates. A cluster whose certificates an existing
authority signs has none of this. This file writes no file.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from jmpc.cluster import files, keys, names
from jmpc.cluster.faults import Fault, refuse
from jmpc.cluster.files import Entry
from jmpc.cluster.keys import Passphrase
from jmpc.cluster.members import moment_text
from jmpc.cluster.roster import Roster
from jmpc.errors import ConfigError
from jmpc.runtime.certificates import (
    CLOCK_SKEW,
    DIALS,
    SERVES,
    authority_certificate,
    key_pem,
    leaf_certificate,
    new_key,
)

FOLDER, OPEN_KEY, SEALED_KEY = "authority", "key.pem", "key.p12"
DAYS, AUTHORITY_DAYS = 90, 1825
MOST_DAYS = 3650


@dataclass(frozen=True, slots=True, repr=False)
class Authority:
    """A key that signs for one cluster, and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, cluster: str, now: dt.datetime, days: int) -> Authority:
        """A fresh one, which outlives what it signs on its first day."""
        key = new_key()
        end = now + dt.timedelta(days=max(AUTHORITY_DAYS, days))
        return cls(key, authority_certificate(key, f"jmpc cluster {cluster}", now - CLOCK_SKEW, end))

    @classmethod
    def open(cls, cluster_folder: Path, roster: Roster, passphrase: Passphrase) -> Authority:
        """The one of a cluster's folder. passphrase: asked only if the key is sealed."""
        folder = cluster_folder / FOLDER
        sealed = (folder / SEALED_KEY).exists()
        path = folder / (SEALED_KEY if sealed else OPEN_KEY)
        content, faults = files.read(path, private=True)
        if any(fault.name == "missing-file" for fault in faults):
            raise ConfigError(
                "the authority's key is not here",
                where=str(path),
                todo=[
                    "run the command in the folder in which the cluster was made",
                    "where an authority of your own signs, take its certificate in: jmpc cluster accept",
                ],
            )
        refuse([*files.folder_faults(folder), *faults])
        key = keys.unseal(content, passphrase(), str(path)) if sealed else keys.open_key(content, str(path))
        return cls(_fitting(key, roster, path), roster.certificate)

    def sign(self, roster: Roster, name: str, key: ec.EllipticCurvePublicKey, days: int, now: dt.datetime) -> str:
        """A certificate of a member, as PEM."""
        end = now + dt.timedelta(days=check_days(days))
        last = self.certificate.not_valid_after_utc
        if end > last:
            raise ConfigError(
                "the certificate would outlive the authority's",
                where="--days",
                why=f"the authority's ends at {moment_text(last)}",
                todo=f"take at most {max(0, (last - now).days)} days, or make a new cluster",
            )
        purposes = (SERVES, DIALS) if name.startswith(names.PARTY) else (DIALS,)
        issuer = self.certificate
        leaf = leaf_certificate(roster.uri(name), key, issuer, self.key, now - CLOCK_SKEW, end, purposes)
        return keys.certificate_pem(leaf)

    def entry(self, passphrase: bytes | None) -> Entry:
        """The file of its key, sealed if there is a passphrase."""
        if passphrase is None:
            return Entry(f"{FOLDER}/{OPEN_KEY}", key_pem(self.key), files.PRIVATE)
        return Entry(f"{FOLDER}/{SEALED_KEY}", keys.seal(self.key, passphrase), files.PRIVATE)


def check_days(days: int) -> int:
    """A number of days for which a certificate may be valid."""
    if not 1 <= days <= MOST_DAYS:
        raise ConfigError(
            f"a certificate is not valid for {days} days",
            where="--days",
            why=f"it goes from 1 to {MOST_DAYS}",
            todo=f"leave it out for {DAYS}",
        )
    return days


def authority_key_faults(cluster_folder: Path, roster: Roster) -> list[Fault]:
    """What is wrong with the key; none, where there is no such folder. Whether a sealed one fits is not known."""
    folder = cluster_folder / FOLDER
    if not folder.exists() and not folder.is_symlink():
        return []
    path = folder / (SEALED_KEY if (folder / SEALED_KEY).exists() else OPEN_KEY)
    content, of_file = files.read(path, private=True)
    faults = files.folder_faults(folder) + of_file
    if content and path.name == OPEN_KEY:
        try:
            _fitting(keys.open_key(content, str(path)), roster, path)
        except ConfigError as exc:
            faults.append(Fault("authority-key", exc.what, exc.where, exc.why, exc.todo[0]))
    return faults


def _fitting(key: keys.PrivateKey, roster: Roster, path: Path) -> ec.EllipticCurvePrivateKey:
    if keys.fingerprint(key) != keys.fingerprint(roster.certificate) or not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(
            "the authority's key is of another cluster",
            where=str(path),
            why="it does not fit the authority's certificate in cluster.toml",
            todo="put back the key with which this cluster was made",
        )
    return key
