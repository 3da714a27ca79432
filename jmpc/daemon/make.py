"""A new party's folder: its settings, its storage key, an empty store, a place for programs.

In: the cluster's folder, whose party it is, where it listens. Out: the folder, all of it or nothing. The party's
identity stays where `jmpc cluster` put it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from jmpc.cluster import names
from jmpc.cluster.faults import files_of, refuse
from jmpc.cluster.make import given
from jmpc.cluster.names import Address
from jmpc.cluster.roster import FILE as CLUSTER_FILE
from jmpc.cluster.roster import Roster
from jmpc.daemon.settings import FILE, METRICS, Settings, read_settings, text_of
from jmpc.errors import ConfigError
from jmpc.store import Disk, StorageKey, Store
from jmpc.store.copies import new_folder
from jmpc.store.disk import write_file

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE, _EVERYWHERE_6 = "0.0.0.0", "::"


@dataclass(frozen=True, slots=True)
class Order:
    """What a new party shall be.

    cluster: the folder with `cluster.toml`.  party: `party/0`.  identity: the folder of its key, if not that in the
    cluster's.  listen, metrics: `host:port`, if not the usual.
    """

    cluster: Path
    party: str
    identity: Path | None = None
    listen: str = ""
    metrics: str = ""


def create(folder: Path, order: Order) -> Settings:
    """Make a party in a folder that does not exist or is empty."""
    folder, cluster = Path(os.path.abspath(folder)), Path(os.path.abspath(order.cluster))
    address = _address(cluster, order.party)
    own = Path(os.path.abspath(order.identity)) if order.identity else cluster / names.folder_of(order.party)
    settings = Settings(
        path=folder / FILE,
        party=order.party,
        cluster=cluster,
        identity=own,
        storage_key=folder / "storage.key",
        state=folder,
        programs=folder / "programs",
        policy=folder / "policy.toml",
        policy_named=False,
        listen=given(order.listen, names.address, "--listen") if order.listen else _everywhere(address),
        metrics=given(order.metrics, names.address, "--metrics") if order.metrics else METRICS,
    )
    text = text_of(settings)
    made, faults = read_settings(text, settings.path)
    refuse(faults)
    assert made == settings
    disk = Disk()
    with new_folder(disk, folder) as making:
        write_file(disk, making / FILE, text.encode())
        inside = {name: making / getattr(settings, name).name for name in ("storage_key", "programs")}
        prepare(replace(settings, state=making, **inside))
    return settings


def prepare(settings: Settings) -> list[Path]:
    """Make what settings name and is not there: the state's folders, the storage key, the store. Returns what was made.

    What is there stays as it is. Where a disk was lost, this makes a store that is empty: it is not for every start.
    """
    disk, made = Disk(), list[Path]()
    for place in (settings.state, settings.programs, settings.cache):
        if not place.exists():
            with files_of(place, "a folder of the party cannot be made"):
                disk.make_folder(place)
            made.append(place)
    if not settings.storage_key.exists():
        StorageKey.create(settings.storage_key, disk)
        made.append(settings.storage_key)
    if not settings.store.exists():
        Store.create(settings.store, StorageKey.read(settings.storage_key), disk)
        made.append(settings.store)
    return made


def _address(cluster: Path, party: str) -> Address:
    roster = Roster.read(cluster / CLUSTER_FILE)
    address = roster.member(party).address
    if address is None:
        raise ConfigError(
            f"{party} is no party", where="--as", why="clients need no folder", todo="name a party: party/0"
        )
    return address


def _everywhere(address: Address) -> Address:
    """At all addresses of this machine, at the port that others dial; at its loopback, if they dial that."""
    host, port = address
    if host in _LOOPBACK:
        return address
    return (_EVERYWHERE_6 if ":" in host else _EVERYWHERE, port)
