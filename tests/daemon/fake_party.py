"""The process of a party with another service in it, which says what it is asked (`launch.command(main=...)`).

It writes a line of JSON for each call to `calls` in the party's folder, and does there what files tell it: `slow`
keeps `stop` from returning, `unready` keeps it from being ready, `broken` lets `start` raise.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jmpc.cluster import Identity, Roster
from jmpc.daemon import process
from jmpc.daemon.process import Parts

SECRET = "c0ffee-is-a-share"


class FakeParty:
    """As a service is, without one."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._folder = parts, parts.settings.state
        self._say("made", port=parts.listener.getsockname()[1], store=str(parts.store.folder), **_myself())

    def _say(self, call: str, **fields: object) -> None:
        with (self._folder / "calls").open("a") as file:
            file.write(json.dumps({"call": call, **fields}) + "\n")

    @property
    def ready(self) -> bool:
        return not (self._folder / "unready").exists()

    def start(self) -> None:
        if (self._folder / "broken").exists():
            raise RuntimeError(f"the value is {SECRET}")
        print(f"a library prints {SECRET}")
        for party in self._parts.roster.parties:
            if party.name != self._parts.settings.party:
                self._parts.observer.event("peer connected", peer=party.name, post_quantum=True)
        self._say("start")

    def stop(self, grace_s: float) -> None:
        self._say("stop", grace_s=grace_s)
        if (self._folder / "slow").exists():
            threading.Event().wait()

    def reload(self, roster: Roster, identity: Identity) -> None:
        self._say("reload", revision=roster.revision, key=identity.key)

    def snapshot(self) -> dict[str, Any]:
        return {}


def _myself() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "path": sys.path,
        "folder": os.getcwd(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
        "no_new_privileges": ctypes.CDLL(None).prctl(39, 0, 0, 0, 0),
        "descriptors": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)},
        "modules": {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()},
    }


def _is_open(fd: str) -> bool:
    return Path(f"/proc/self/fd/{fd}").exists()


def main(arguments: Sequence[str]) -> int:
    return process.main(arguments, FakeParty)
