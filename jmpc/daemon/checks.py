"""All that is wrong with a party before it runs, found at once: its settings, the cluster's file, its identity, its
folders and keys, the code that it would run, and who runs it.

In: the path of `party.toml`, the time. Out: what was read, and faults, each by its name and with its remedy. This
file changes nothing.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path

from jmpc.cluster import doctor, files
from jmpc.cluster.faults import Fault
from jmpc.cluster.identity import Identity
from jmpc.cluster.names import CLIENT
from jmpc.cluster.roster import FILE as CLUSTER_FILE
from jmpc.cluster.roster import Roster
from jmpc.daemon import code_path, confinement, devices, settings
from jmpc.daemon.settings import Settings
from jmpc.errors import StoreError
from jmpc.sizes import size_text
from jmpc.store.key import StorageKey
from jmpc.store.store import ABOUT

_MAKE = "make the party's folder: jmpc party new DIR --cluster CLUSTER --as {party}"


@dataclass(frozen=True, slots=True)
class Found:
    """What was read, None where it cannot be, and what is wrong with it."""

    settings: Settings | None
    roster: Roster | None
    identity: Identity | None
    key: StorageKey | None
    faults: tuple[Fault, ...]

    @property
    def wrong(self) -> tuple[Fault, ...]:
        """Those for which the party does not run."""
        return tuple(fault for fault in self.faults if not fault.warning)


def look(path: Path, now: dt.datetime, *, allow_root: bool = False, code: bool = True) -> Found:
    """Look at everything. code: also at the files that a party's process imports, and at the devices that it has."""
    found, faults = settings.load(path)
    faults = [*confinement.user_faults(allow_root), *faults]
    if found is None:
        return Found(None, None, None, None, tuple(faults))
    roster, identity, more = doctor.check_member(found.cluster / CLUSTER_FILE, found.identity, found.party, now)
    key, of_key = _key(found)
    faults += [*_settings(found.path), *more, *of_key, *_state(found), *_policy(found)]
    faults += _sizes(found)
    faults += [*_ports(found, roster), *_quotas(found, roster), *_patience(found, roster)] if roster else []
    faults += _code(found) if code else []
    return Found(found, roster, identity, key, tuple(faults))


def look_at_host(path: Path, index: int, *, allow_root: bool = False, code: bool = True) -> Found:
    """Look at all that another host of a party needs, which has neither its keys nor its store. index: of the host."""
    found, faults = settings.load(path)
    faults = [*confinement.user_faults(allow_root), *faults]
    if found is not None:
        faults += [*_settings(found.path), *_index(found, index), *(_code(found) if code else [])]
    return Found(found, None, None, None, tuple(faults))


def _code(found: Settings) -> list[Fault]:
    """What it imports, and on what it computes."""
    libraries = found.environment.get("LD_LIBRARY_PATH", "").split(":")
    return [*code_path.faults_of_a_party(folder for folder in libraries if folder), *devices.faults(found)]


def _index(found: Settings, index: int) -> list[Fault]:
    where = f"{found.path} (hosts)"
    if found.hosts is None:
        why = "there is no [hosts]"
        todo = "copy the party.toml of its head; where it has one host, there is nothing to follow"
        return [Fault("no-hosts", f"{found.party} is on one host", where, why, todo)]
    if 0 < index < found.hosts.count:
        return []
    why = f"of {found.hosts.count} hosts the head is 0, and the others are 1 to {found.hosts.count - 1}"
    todo = "give each of them another --index; the head itself: jmpc party run"
    return [Fault("no-such-host", f"{found.party} has no host {index} that follows", where, why, todo)]


def _patience(found: Settings, roster: Roster) -> list[Fault]:
    """Its hosts wait while its head waits for another party."""
    if found.hosts is None or found.hosts.patience_s > roster.deadlines.round_s:
        return []
    why = f"its head waits for a peer for {roster.deadlines.round_s:g} s, and they for {found.hosts.patience_s:g} s"
    where = f"{found.path} (hosts.patience_s)"
    todo = f"give more than {roster.deadlines.round_s:g} s"
    return [Fault("short-patience", "its hosts would give up before a round is late", where, why, todo)]


def _settings(path: Path) -> list[Fault]:
    """The file, and the folder, in which another one could be put in its place."""
    return _writable(path, "what this party does") or _writable(path.parent, "what this party does")


def _writable(path: Path, what: str) -> list[Fault]:
    found = path.stat()
    why = f"who changes it decides {what}"
    if found.st_uid not in (0, os.geteuid()):
        return [Fault("foreign-owner", "another user may change it", str(path), why, f"chown {os.geteuid()} {path}")]
    if files.others_write(found):
        name = "writable-folder" if path.is_dir() else "writable-file"
        return [Fault(name, f"others may change {path.name}", str(path), why, f"chmod go-w {path}")]
    return []


def _key(found: Settings) -> tuple[StorageKey | None, list[Fault]]:
    try:
        return StorageKey.read(found.storage_key), []
    except StoreError as exc:
        todo = "; ".join(exc.todo) or _MAKE.format(party=found.party)
        return None, [Fault("storage-key", exc.what, exc.where, exc.why, todo)]


def _state(found: Settings) -> list[Fault]:
    """Folders for this user alone, and a store in its own."""
    if faults := files.folder_faults(found.state):
        return faults
    faults = [*files.folder_faults(found.store), *files.folder_faults(found.programs)]
    if not faults and not (found.store / ABOUT).is_file():
        why = f"there is no {ABOUT}"
        faults.append(
            Fault("no-store", "this is no store", str(found.store), why, "restore a backup of it, or make one")
        )
    return faults


def _policy(found: Settings) -> list[Fault]:
    if not found.policy_named and not found.policy.exists():
        return []
    _, faults = files.read(found.policy)
    return faults or _writable(found.policy, "which programs this party runs")


def _sizes(found: Settings) -> list[Fault]:
    """More memory than there is."""
    has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if found.limits.memory <= has:
        return []
    why = f"sessions may use {size_text(found.limits.memory)}, and this machine has {size_text(has)}"
    todo = "lower limits.memory: the system kills a process that takes too much"
    where = f"{found.path} (limits.memory)"
    return [Fault("more-memory", "sessions may use more memory than there is", where, why, todo, warning=True)]


def _ports(found: Settings, roster: Roster) -> list[Fault]:
    address = next((party.address for party in roster.parties if party.name == found.party), None)
    if address is None or address[1] == found.listen[1]:
        return []
    why = f"it listens at port {found.listen[1]}, and {CLUSTER_FILE} sends everybody to port {address[1]}"
    todo = "where nothing forwards the one to the other, correct `listen`"
    where = f"{found.path} (listen)"
    return [Fault("other-port", "the party listens at another port than others dial", where, why, todo, warning=True)]


def _quotas(found: Settings, roster: Roster) -> list[Fault]:
    """Of clients that there are not: a slip of the pen would leave the client with what all have."""
    known = {member.name.removeprefix(CLIENT) for member in roster.clients}
    where, why = f"{found.path} (client_quotas)", f"{CLUSTER_FILE} has no such client"
    todo = "write the name as it is there, or take it out"
    return [
        Fault("no-such-client", f"{name} has a quota, and is no client", where, why, todo, warning=True)
        for name in sorted(set(found.client_quotas) - known)
    ]
