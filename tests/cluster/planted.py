"""Faults to plant in a good cluster's folder, and what a check must call each.

In: nothing. Out: a table; `plant` changes a folder so that exactly one thing is wrong, as far as that can be.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ObjectIdentifier

from jmpc.cluster import change, keys, make
from jmpc.cluster.authority import Authority
from jmpc.cluster.roster import Roster
from jmpc.runtime.certificates import CLOCK_SKEW, DIALS, SERVES, leaf_certificate, new_key

HOSTS = ("localhost:7001", "localhost:7002", "localhost:7003")
CLIENTS = ("hospital-a", "model-owner")
NOW = dt.datetime(2031, 5, 1, 8, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def signing(now: dt.datetime = NOW, days: int = 90) -> change.Signing:
    return change.Signing(lambda: b"not asked", now, days)


def authority_of(folder: Path) -> tuple[Roster, Authority]:
    roster = Roster.read(folder / "cluster.toml")
    return roster, Authority.open(folder, roster, lambda: b"not asked")


def edit(folder: Path, old: str, new: str, file: str = "cluster.toml") -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))


def key_of(folder: Path, name: str) -> str:
    return Roster.read(folder / "cluster.toml").member(name).key


def certify(
    folder: Path,
    uri: str,
    authority: Authority,
    purposes: tuple[ObjectIdentifier, ...] = (SERVES, DIALS),
    begin: dt.datetime | None = None,
    end: dt.datetime | None = None,
) -> None:
    """Give party 0, in place of its certificate, another one for the same key."""
    key = keys.read_pem((folder / "party-0" / "key.pem").read_bytes())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    start = Roster.read(folder / "cluster.toml").changed
    span = begin or start - CLOCK_SKEW, end or start + 90 * DAY
    leaf = leaf_certificate(uri, key.public_key(), authority.certificate, authority.key, *span, purposes)
    (folder / "party-0" / "certificate.pem").write_text(keys.certificate_pem(leaf))


def swap(folder: Path, one: str = "party-0", other: str = "party-1") -> None:
    (folder / one).rename(folder / "aside")
    (folder / other).rename(folder / one)
    (folder / "aside").rename(folder / other)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of_another(folder: Path) -> None:
    """A certificate of the same name and key, by another authority that calls itself the same."""
    roster = Roster.read(folder / "cluster.toml")
    certify(folder, roster.uri("party/0"), Authority.new(roster.name, NOW, 90))


def revoked(folder: Path) -> None:
    shutil.copytree(folder / "party-0", folder / "kept")
    change.rotate(folder, "party/0", signing())
    shutil.rmtree(folder / "party-0")
    (folder / "kept").rename(folder / "party-0")


def replaced_certificate(folder: Path) -> None:
    before = (folder / "party-0" / "certificate.pem").read_bytes()
    change.rotate(folder, "party/0", signing(), same_key=True)
    (folder / "party-0" / "certificate.pem").write_bytes(before)


def encrypted(folder: Path) -> None:
    pem = new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase"))
    (folder / "party-0" / "key.pem").write_bytes(pem)


def leaf_as_authority(folder: Path) -> None:
    pem = (folder / "party-0" / "certificate.pem").read_text()
    edit(folder, Roster.read(folder / "cluster.toml").authority, pem)


def other_authority_key(folder: Path) -> None:
    shutil.copy(folder / "party-0" / "key.pem", folder / "authority" / "key.pem")


def without_last_party(folder: Path) -> None:
    text = (folder / "cluster.toml").read_text()
    begin, end = text.index('[[party]]\nname = "party/2"'), text.index("[[client]]")
    (folder / "cluster.toml").write_text(text[:begin] + text[end:])


def party_twice(folder: Path) -> None:
    edit(folder, 'name = "party/1"', 'name = "party/0"')
    edit(folder, "jmpc://study/party/1", "jmpc://study/party/0")


def without_client(folder: Path) -> None:
    text = (folder / "cluster.toml").read_text()
    begin = text.index('[[client]]\nname = "client/model-owner"')
    (folder / "cluster.toml").write_text(text[:begin])


def another_owner(path: Path) -> None:
    os.chown(path, 4242, -1)


@dataclass(frozen=True)
class Planted:
    """name: what a check calls the fault.  member: whose folder is asked for.  later: how the clock is off."""

    name: str
    plant: Callable[[Path], object]
    member: str | None = None
    later: dt.timedelta = dt.timedelta()
    warning: bool = False
    id: str = ""


def _edit(name: str, old: str, new: str, id: str = "") -> Planted:
    return Planted(name, lambda folder: edit(folder, old, new), id=id)


PLANTED = [
    Planted("missing-file", lambda f: (f / "cluster.toml").unlink(), id="no cluster.toml"),
    Planted("missing-file", lambda f: (f / "party-0" / "key.pem").unlink(), id="no key"),
    Planted("missing-file", lambda f: (f / "party-1" / "certificate.pem").unlink(), id="no certificate"),
    Planted("missing-file", lambda f: shutil.rmtree(f / "party-2"), "party/2", id="no folder"),
    Planted("not-a-file", lambda f: to_folder(f / "cluster.toml"), id="cluster.toml a folder"),
    Planted("not-a-file", lambda f: to_folder(f / "party-0" / "key.pem"), id="key a folder"),
    Planted("not-a-folder", lambda f: (shutil.rmtree(f / "party-0"), (f / "party-0").write_text(""))),
    Planted("too-large", lambda f: (f / "cluster.toml").write_text("#" * (1 << 21))),
    Planted("not-toml", lambda f: (f / "cluster.toml").write_bytes(b"\xff\xfe"), id="no UTF-8"),
    _edit("not-toml", 'name = "study"', "name = study"),
    _edit("newer-format", "format = 1", "format = 2"),
    _edit("unknown-key", "launch_s =", "lanch_s ="),
    _edit("missing-key", "revision = 1\n", ""),
    _edit("wrong-type", "revision = 1", 'revision = "1"'),
    _edit("wrong-type", "revision = 1", "revision = true", id="a truth value"),
    _edit("bad-value", "round_s = 60.0", "round_s = -1.0"),
    Planted("bad-value", leaf_as_authority, id="a leaf as authority"),
    Planted("too-few-parties", without_last_party),
    Planted("same-name", party_twice),
    Planted("same-key", lambda f: edit(f, key_of(f, "party/1"), key_of(f, "party/0"))),
    _edit("same-address", "localhost:7002", "LOCALHOST:7001"),
    _edit("bad-address", "localhost:7001", "localhost:70001", id="a port too high"),
    _edit("bad-address", "localhost:7001", "::1:7001", id="IPv6 without brackets"),
    _edit("wrong-uri", "jmpc://study/party/1", "jmpc://study/party/2", id="in cluster.toml"),
    _edit("unknown-host", "localhost:7003", "nowhere.invalid:7003"),
    Planted("writable-file", lambda f: (f / "cluster.toml").chmod(0o666)),
    Planted("writable-folder", lambda f: f.chmod(0o777)),
    Planted("readable-key", lambda f: (f / "party-0" / "key.pem").chmod(0o640)),
    Planted("readable-key", lambda f: (f / "authority" / "key.pem").chmod(0o604), id="of the authority"),
    Planted("open-folder", lambda f: (f / "party-0").chmod(0o750)),
    Planted("open-folder", lambda f: (f / "authority").chmod(0o711), id="of the authority, open"),
    Planted("symbolic-link", lambda f: link(f / "party-0" / "key.pem"), id="key"),
    Planted("symbolic-link", lambda f: link(f / "party-0"), id="folder"),
    Planted("bad-key", lambda f: (f / "party-0" / "key.pem").write_text("no key"), id="no PEM"),
    Planted("bad-key", encrypted, id="encrypted"),
    Planted("bad-certificate", lambda f: (f / "party-0" / "certificate.pem").write_text("none")),
    Planted("key-does-not-fit", lambda f: shutil.copy(f / "party-1" / "key.pem", f / "party-0" / "key.pem")),
    Planted("authority-key", other_authority_key),
    Planted("swapped-folder", swap),
    Planted("other-authority", of_another),
    Planted(
        "wrong-uri", lambda f: certify(f, "https://example.org", authority_of(f)[1]), "party/0", id="of a stranger"
    ),
    Planted("wrong-usage", lambda f: certify(f, "jmpc://study/party/0", authority_of(f)[1], purposes=(DIALS,))),
    Planted("other-key", lambda f: edit(f, key_of(f, "party/0"), f"sha256:{'0' * 64}")),
    Planted("revoked", revoked),
    Planted("revoked", replaced_certificate, id="the certificate before"),
    Planted("not-in-cluster", lambda f: None, "client/nobody"),
    Planted("not-in-cluster", without_client, "client/model-owner", id="no longer there"),
    Planted("expired", lambda f: None, later=91 * DAY),
    Planted("expired", lambda f: None, later=3000 * DAY, id="the authority"),
    Planted("not-yet-valid", lambda f: None, later=-DAY),
    Planted("clock-behind", lambda f: None, later=-DAY),
    Planted("ends-soon", lambda f: None, later=60 * DAY, warning=True, id="30 days"),
    Planted("ends-soon", lambda f: None, later=83 * DAY, warning=True, id="7 days"),
    Planted("ends-soon", lambda f: None, later=89 * DAY, warning=True, id="1 day"),
    Planted("no-key", lambda f: change.revoke(f, "client/hospital-a", NOW), "party/0", warning=True),
]


def new_cluster(folder: Path, **how: object) -> Roster:
    return make.create(folder, make.Order(HOSTS, CLIENTS, **how), NOW)  # type: ignore[arg-type]
