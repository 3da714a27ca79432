"""All that is wrong with a cluster's folder, found at once.

In: a folder, whose identity it is if it is one member's, the time, how names of hosts are looked up. Out: faults, each
by its name and with its remedy. This file changes nothing, but for what an interrupted command had already declared.
"""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jmpc.cluster import chains, files, identity, names, roster
from jmpc.cluster.authority import authority_key_faults
from jmpc.cluster.faults import Fault
from jmpc.cluster.identity import Identity
from jmpc.cluster.names import Address
from jmpc.cluster.roster import Roster

Resolve = Callable[[Address], object]


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and what is wrong with it. roster: None where the file has none."""

    roster: Roster | None
    members: tuple[str, ...]
    faults: tuple[Fault, ...]

    @property
    def sound(self) -> bool:
        """Nothing is wrong but what may be warned of."""
        return all(fault.warning for fault in self.faults)


def look_up(address: Address) -> object:
    """Ask the system where a host is; OSError if it does not know."""
    return socket.getaddrinfo(*address, type=socket.SOCK_STREAM)


def check(
    folder: Path, *, name: str | None = None, now: dt.datetime | None = None, resolve: Resolve | None = look_up
) -> Report:
    """Look at a cluster's folder.

    name: a member whose key must be here; else all whose folders are.  resolve: None looks no host up.
    """
    now, path = now or dt.datetime.now(dt.UTC), folder / roster.FILE
    found, faults = _roster(path, now)
    if found is None:
        return Report(None, (), tuple(faults))
    if name is not None and (strange := _stranger(name, found, path)):
        return Report(found, (), (*faults, strange))
    here = [member.name for member in found.members if _is_there(folder / names.folder_of(member.name))]
    looked_at = [name] if name is not None else here
    for each in looked_at:
        faults += identity.load(folder / names.folder_of(each), found, each, now)[1]
    faults += authority_key_faults(folder, found)
    faults += _keyless(found, path) + (_unknown_hosts(found, path, resolve) if resolve else [])
    return Report(found, tuple(looked_at), tuple(faults))


def check_member(
    path: Path, own: Path, name: str, now: dt.datetime
) -> tuple[Roster | None, Identity | None, list[Fault]]:
    """The roster of a file and the identity of one member, whose folder may lie elsewhere; None for what cannot be
    read. With all that is wrong with them."""
    found, faults = _roster(path, now)
    if found is None:
        return None, None, faults
    if strange := _stranger(name, found, path):
        return found, None, [*faults, strange]
    known, more = identity.load(own, found, name, now)
    return found, known, faults + more


def _roster(path: Path, now: dt.datetime) -> tuple[Roster | None, list[Fault]]:
    found, faults = roster.load(path)
    if found is None:
        return None, faults
    return found, [*faults, *_shared_files(path), *chains.authority_faults(found, now, str(path))]


def _stranger(name: str, found: Roster, path: Path) -> Fault | None:
    """The fault that nobody of this name is in the cluster."""
    if any(member.name == name for member in found.members):
        return None
    known = "it has " + ", ".join(member.name for member in found.members)
    todo = "use one of these names, or ask those who made the cluster to add it: jmpc cluster add-client"
    return Fault("not-in-cluster", f"{name} is not in the cluster", str(path), known, todo)


def _is_there(folder: Path) -> bool:
    return folder.is_symlink() or folder.exists()


def _shared_files(path: Path) -> list[Fault]:
    """The cluster's file, or its folder, where others may put something else into their place."""
    why = "who changes it decides whom this member trusts"
    faults: list[Fault] = []
    for place, name, mode in ((path, "writable-file", "644"), (path.parent, "writable-folder", "755")):
        if files.others_write(place.stat()):
            faults.append(
                Fault(name, f"others may change {place.name or place}", str(place), why, f"chmod {mode} {place}")
            )
    return faults


def _keyless(found: Roster, path: Path) -> list[Fault]:
    return [
        Fault(
            "no-key",
            f"{member.name} has no key in the cluster's file",
            str(path),
            "it cannot connect until it has",
            f"jmpc cluster rotate {member.name}; where keys are made elsewhere, keygen there and sign",
            warning=True,
        )
        for member in found.members
        if not member.key
    ]


def _unknown_hosts(found: Roster, path: Path, resolve: Resolve) -> list[Fault]:
    faults: list[Fault] = []
    for party in found.parties:
        assert party.address is not None
        try:
            resolve(party.address)
        except (OSError, UnicodeError):
            what = f"the host of {party.name} is not known here: {party.address[0]}"
            todo = "correct its name, or tell it to this machine (DNS, /etc/hosts); --no-resolve skips this"
            faults.append(Fault("unknown-host", what, str(path), "no look-up finds it", todo))
    return faults
