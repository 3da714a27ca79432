"""A member's own folder: its private key and its certificate, checked against the roster.

In: a folder, a roster, the time. Out: an Identity, whose credentials are what TLS needs, or all that is wrong. Nothing
of a key is in any message. This file writes nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path

from jmpc.cluster import chains, files, keys, names
from jmpc.cluster.chains import Chain
from jmpc.cluster.faults import Fault, refuse
from jmpc.cluster.roster import FILE, Roster
from jmpc.runtime.identity import Credentials

KEY, CERTIFICATE = "key.pem", "certificate.pem"
NEXT_KEY, REQUEST = "next-key.pem", "request.pem"
_SWAPPED = "put each folder back to whom it is named for"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is, proven.

    name: `party/0` or `client/hospital-a`.  key: the fingerprint.  ends: when the certificate does.
    """

    name: str
    credentials: Credentials
    key: str
    ends: dt.datetime

    @classmethod
    def read(
        cls, folder: str | Path, roster: Roster, *, name: str | None = None, now: dt.datetime | None = None
    ) -> Identity:
        """Of a folder with a key and a certificate. What is wrong with either is a ConfigError.

        name: who it must be; else whoever the certificate says, if the folder is not named for another.
        """
        now = now or dt.datetime.now(dt.UTC)
        identity, faults = load(Path(folder), roster, name, now)
        refuse([*chains.authority_faults(roster, now, FILE), *faults])
        assert identity is not None
        return identity


def load(folder: Path, roster: Roster, name: str | None, now: dt.datetime) -> tuple[Identity | None, list[Fault]]:
    """The identity in a folder, or None, and what is wrong with it."""
    if folder.parent.is_dir():
        files.finish(folder.parent)
    faults = files.folder_faults(folder)
    if any(fault.name in ("missing-file", "symbolic-link", "not-a-folder") for fault in faults):
        return None, faults
    pem, of_key = files.read(folder / KEY, private=True)
    content, of_certificate = files.read(folder / CERTIFICATE)
    faults += of_key + of_certificate
    key, chain = _key(pem, folder / KEY, faults), _chain(content, folder / CERTIFICATE, faults)
    if chain is None:
        return None, faults
    where = str(folder / CERTIFICATE)
    faults += chains.chain_faults(chain, roster, now, where)
    faults += _fit(key, chain, folder)
    known, of_roster = whose(chain, roster, where, name or _named_by(folder, roster))
    faults += of_roster
    if known is None or key is None:
        return None, faults
    leaf = chain[0]
    credentials = Credentials(roster.uri(known), pem, content, roster.authority.encode())
    return Identity(known, credentials, keys.fingerprint(leaf), leaf.not_valid_after_utc), faults


def whose(chain: Chain, roster: Roster, where: str, expected: str | None) -> tuple[str | None, list[Fault]]:
    """Whose a certificate is, and what is wrong with that."""
    try:
        uri = chains.subject(chain[0])
    except ValueError:
        return None, []  # which chains.py has said
    name = roster.named(uri)
    if name and expected and name != expected:
        why = f"it is {name}'s, and {expected}'s belongs here"
        return None, [Fault("swapped-folder", "the certificate is another member's", where, why, _SWAPPED)]
    fault = roster.fault_of(uri, chain[0], where)
    if fault and fault.name == "not-in-cluster":
        fault = replace(fault, name="wrong-uri")
    return name, [fault] if fault else []


def _named_by(folder: Path, roster: Roster) -> str | None:
    """Whom a folder is named for."""
    return next((member.name for member in roster.members if names.folder_of(member.name) == folder.name), None)


def _key(pem: bytes, path: Path, faults: list[Fault]) -> keys.PrivateKey | None:
    if not pem:
        return None
    try:
        return keys.read_pem(pem)
    except ValueError as exc:
        todo = "take the file from a backup, or make a new key: jmpc cluster keygen"
        faults.append(Fault("bad-key", f"{path.name} holds no key", str(path), str(exc), todo))
        return None


def _chain(content: bytes, path: Path, faults: list[Fault]) -> Chain | None:
    if not content:
        return None
    try:
        return chains.read_chain(content)
    except ValueError as exc:
        todo = "take the file anew from who signed it"
        faults.append(Fault("bad-certificate", f"{path.name} holds no certificate", str(path), str(exc), todo))
        return None


def _fit(key: keys.PrivateKey | None, chain: Chain, folder: Path) -> list[Fault]:
    if key is None or keys.fingerprint(key) == keys.fingerprint(chain[0]):
        return []
    why = f"the key is {keys.fingerprint(key)}, and the certificate is for {keys.fingerprint(chain[0])}"
    todo = f"put the certificate of this key there, or the key of this certificate: both lie in {folder}"
    return [Fault("key-does-not-fit", "the key is not that of the certificate", str(folder / KEY), why, todo)]
