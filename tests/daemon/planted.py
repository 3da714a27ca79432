"""What can be wrong with a party's folder, and what a check must call it.

In: nothing. Out: a table; each row changes a folder with `study` and `machine` so that one thing is wrong.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.cluster.planted import edit

Plant = Callable[[Path], object]


def settings(old: str, new: str) -> Plant:
    """Another text in `party.toml`."""
    return lambda root: edit(root / "machine", old, new, "party.toml")


def appended(text: str) -> Plant:
    def plant(root: Path) -> None:
        with (root / "machine" / "party.toml").open("a") as file:
            file.write(text)

    return plant


def mode(path: str, mode: int) -> Plant:
    return lambda root: os.chmod(root / path, mode)


def gone(path: str) -> Plant:
    def plant(root: Path) -> None:
        found = root / path
        shutil.rmtree(found) if found.is_dir() else found.unlink()

    return plant


def written(path: str, text: str) -> Plant:
    return lambda root: (root / path).write_text(text)


def linked(path: str) -> Plant:
    """The same under another name, and a link to it."""

    def plant(root: Path) -> None:
        found = root / path
        away = root / "elsewhere"
        found.rename(away)
        found.symlink_to(away)

    return plant


def with_policy(root: Path) -> None:
    edit(root / "machine", "log_level", 'policy = "policy.toml"\nlog_level', "party.toml")
    (root / "machine" / "policy.toml").touch()
    os.chmod(root / "machine" / "policy.toml", 0o666)


def own_folder(root: Path) -> None:
    """The settings apart from the state, in a folder where others write; a link leads there."""
    folder = root / "settings"
    folder.mkdir()
    text = (root / "machine" / "party.toml").read_text()
    text = text.replace('state = "."', 'state = "../machine"')
    for name in ("storage.key", "programs"):
        text = text.replace(f'"{name}"', f'"../machine/{name}"')
    (folder / "party.toml").write_text(text)
    os.chmod(folder / "party.toml", 0o600)
    os.chmod(folder, 0o777)


def hosts(address: str, count: str = "2") -> Plant:
    return appended(f"[hosts]\naddress = {address}\ncount = {count}\n")


# The settings by themselves: what is planted, the fault, the key that it names.
SETTINGS: dict[str, tuple[Plant, str, str]] = {
    "no TOML": (appended("limits = ["), "not-toml", "party.toml"),
    "no text": (lambda root: (root / "machine/party.toml").write_bytes(b"\xff\xfe\x00"), "not-toml", "party.toml"),
    "another format": (settings("format = 1", "format = 2"), "newer-format", "format"),
    "no format": (settings("format = 1", ""), "missing-key", "format"),
    "no party": (settings('party = "party/1"', ""), "missing-key", "party"),
    "a client": (settings('"party/1"', '"client/hospital-a"'), "bad-value", "party"),
    "no name": (settings('"party/1"', '"the second"'), "bad-value", "party"),
    "no cluster": (settings('cluster = "../study"', ""), "missing-key", "cluster"),
    "a cluster that is no path": (settings('"../study"', "7"), "wrong-type", "cluster"),
    "an empty path": (settings('"../study"', '""'), "bad-value", "cluster"),
    "somebody's home": (settings('"storage.key"', '"~/storage.key"'), "bad-value", "storage_key"),
    "a path with a zero": (settings('state = "."', 'state = "a\\u0000b"'), "bad-value", "state"),
    "nowhere to listen": (settings("listen", "listens"), "missing-key", "listen"),
    "no port": (settings('metrics = "127.0.0.1:', 'metrics = "127.0.0.1'), "bad-address", "metrics"),
    "a port that is none": (settings('listen = "127.0.0.1:', 'listen = "127.0.0.1:9'), "bad-address", "listen"),
    "seconds as text": (settings("grace_s = 60", 'grace_s = "60"'), "wrong-type", "grace_s"),
    "less than no time": (settings("grace_s = 60", "grace_s = -1"), "bad-value", "grace_s"),
    "no number": (settings("grace_s = 60", "grace_s = nan"), "bad-value", "grace_s"),
    "no level": (settings('"info"', '"loud"'), "bad-value", "log_level"),
    "no device": (settings("devices = 1", "devices = 0"), "bad-value", "devices"),
    "a part of a device": (settings("devices = 1", "devices = 1.5"), "wrong-type", "devices"),
    "devices in words": (settings("devices = 1", 'devices = "two"'), "bad-value", "devices"),
    "hosts without a number": (appended('[hosts]\naddress = "10.0.0.1:7100"\n'), "missing-key", "hosts.count"),
    "no hosts": (hosts('"10.0.0.1:7100"', "0"), "bad-value", "hosts.count"),
    "one host": (hosts('"10.0.0.1:7100"', "1"), "bad-count", "hosts.count"),
    "too many hosts": (hosts('"10.0.0.1:7100"', "1025"), "bad-count", "hosts.count"),
    "hosts that meet nowhere": (appended("[hosts]\ncount = 2\n"), "missing-key", "hosts.address"),
    "an empty place to meet": (hosts('""'), "bad-address", "hosts.address"),
    "a name to meet at": (hosts('"head.example.org:7100"'), "bad-address", "hosts.address"),
    "no port to meet at": (hosts('"10.0.0.1"'), "bad-address", "hosts.address"),
    "a port that is too high": (hosts('"10.0.0.1:65536"'), "bad-address", "hosts.address"),
    "hosts that meet in public": (hosts('"8.8.8.8:7100"'), "bad-address", "hosts.address"),
    "hosts that meet everywhere": (hosts('"0.0.0.0:7100"'), "bad-address", "hosts.address"),
    "an open network in words": (hosts('"10.0.0.1:7100"', '2\npublic = "yes"'), "wrong-type", "hosts.public"),
    "hosts without patience": (hosts('"10.0.0.1:7100"', "2\nlaunch_s = 0"), "bad-value", "hosts.launch_s"),
    "a slip among hosts": (hosts('"10.0.0.1:7100"', "2\nindex = 1"), "unknown-key", "hosts.index"),
    "hosts that are no table": (settings("format = 1", "format = 1\nhosts = 2"), "wrong-type", "hosts"),
    "no platform": (settings('platform = "any"', 'platform = "abacus"'), "bad-value", "platform"),
    "a slip of the pen": (settings("log_level", "loglevel"), "unknown-key", "loglevel"),
    "sessions as text": (settings("sessions = 8", 'sessions = "8"'), "wrong-type", "limits.sessions"),
    "no sessions": (settings("sessions = 8", "sessions = 0"), "bad-value", "limits.sessions"),
    "half a session": (settings("sessions = 8", "sessions = 0.5"), "wrong-type", "limits.sessions"),
    "memory without a unit": (settings('"4 GiB"', '"4"'), "bad-value", "limits.memory"),
    "memory as a number": (settings('"4 GiB"', "4"), "wrong-type", "limits.memory"),
    "no memory": (settings('"4 GiB"', '"0 GiB"'), "bad-value", "limits.memory"),
    "a quota in other units": (settings('"64 GiB"', '"64 GB"'), "bad-value", "limits.quota"),
    "a quota of a client in words": (settings('"32 GiB"', '"half"'), "bad-value", "limits.client_quota"),
    "a quota of nobody": (
        settings("[client_quotas]", '[client_quotas]\n"client/a" = "1 GiB"'),
        "bad-value",
        "client_quotas",
    ),
    "no quota": (settings("[client_quotas]", '[client_quotas]\nalice = "0 B"'), "bad-value", "client_quotas.alice"),
    "no patience": (settings("waiting_s = 300", "waiting_s = 0"), "bad-value", "limits.waiting_s"),
    "no links": (settings("links = 32", "links = true"), "wrong-type", "limits.links"),
    "no uploads": (settings("uploads = 8", "uploads = -8"), "bad-value", "limits.uploads"),
    "a limit that is none": (settings("idle_s", "idle"), "unknown-key", "limits.idle"),
    "limits that are no table": (settings("[limits]", "[[limits]]"), "wrong-type", "limits"),
    "a variable that a party may not have": (appended('LD_PRELOAD = "x"\n'), "unknown-key", "environment.LD_PRELOAD"),
    "where Python looks": (appended('PYTHONPATH = "x"\n'), "unknown-key", "environment.PYTHONPATH"),
    "a variable that is set": (appended('JMPC_CACHE_DIR = "x"\n'), "unknown-key", "environment.JMPC_CACHE_DIR"),
    "a variable that is no text": (appended("XLA_FLAGS = 1\n"), "wrong-type", "environment.XLA_FLAGS"),
}

# What the settings name, and the rest of the folder.
FOLDERS: dict[str, tuple[Plant, str, str]] = {
    "no settings": (gone("machine/party.toml"), "missing-file", "party.toml"),
    "settings that others write": (mode("machine/party.toml", 0o666), "writable-file", "party.toml"),
    "a place where others put settings": (own_folder, "writable-folder", "settings"),
    "no cluster's file": (gone("study/cluster.toml"), "missing-file", "cluster.toml"),
    "a cluster's file that others write": (mode("study/cluster.toml", 0o666), "writable-file", "cluster.toml"),
    "a cluster's folder that others write": (mode("study", 0o777), "writable-folder", "study"),
    "a cluster's file that does not name it": (settings('"party/1"', '"party/3"'), "not-in-cluster", "cluster.toml"),
    "another party's folder": (settings("study/party-1", "study/party-2"), "swapped-folder", "certificate.pem"),
    "a client's folder": (settings("study/party-1", "study/client-hospital-a"), "swapped-folder", "certificate.pem"),
    "no identity": (gone("study/party-1"), "missing-file", "party-1"),
    "no key": (gone("study/party-1/key.pem"), "missing-file", "key.pem"),
    "a key that others read": (mode("study/party-1/key.pem", 0o644), "readable-key", "key.pem"),
    "an identity that others look into": (mode("study/party-1", 0o755), "open-folder", "party-1"),
    "a storage key that others read": (mode("machine/storage.key", 0o640), "storage-key", "storage.key"),
    "no storage key": (gone("machine/storage.key"), "storage-key", "storage.key"),
    "a storage key that is none": (written("machine/storage.key", "x"), "storage-key", "storage.key"),
    "a storage key elsewhere": (linked("machine/storage.key"), "storage-key", "storage.key"),
    "no store": (gone("machine/store"), "missing-file", "store"),
    "an empty store": (gone("machine/store/store.json"), "no-store", "store"),
    "a store that others look into": (mode("machine/store", 0o755), "open-folder", "store"),
    "a store elsewhere": (linked("machine/store"), "symbolic-link", "store"),
    "state that others look into": (mode("machine", 0o750), "open-folder", "machine"),
    "no place for programs": (gone("machine/programs"), "missing-file", "programs"),
    "approvals that others write": (mode("machine/programs", 0o777), "open-folder", "programs"),
    "a policy that is not there": (settings("log_level", 'policy = "p.toml"\nlog_level'), "missing-file", "p.toml"),
    "a policy that others write": (with_policy, "writable-file", "policy.toml"),
    "one address for two": (lambda root: _same_address(root), "same-address", "metrics"),
}

# What a party runs with all the same.
WARNINGS: dict[str, tuple[Plant, str, str]] = {
    "more memory than there is": (settings('"4 GiB"', '"4000 TiB"'), "more-memory", "limits.memory"),
    "a quota of a stranger": (
        settings("[client_quotas]", '[client_quotas]\nalcie = "1 GiB"'),
        "no-such-client",
        "client_quotas",
    ),
    "another port": (settings('listen = "', 'listen = "127.0.0.1:1"  # "'), "other-port", "listen"),
}


def _same_address(root: Path) -> None:
    text = (root / "machine" / "party.toml").read_text().splitlines()
    listen = next(line for line in text if line.startswith("listen"))
    edit(root / "machine", listen, listen.replace("listen", "metrics", 1) + "\n" + listen, "party.toml")
    metrics = next(line for line in text if line.startswith("metrics"))
    edit(root / "machine", metrics, "", "party.toml")
