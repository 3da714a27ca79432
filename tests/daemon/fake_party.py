"""The process of a party with another service in it, which says what it is asked (`launch.command(main=...)`).

It writes a line of JSON for each call to `calls` in the party's folder, and does there what files tell it: `slow`
keeps `stop` from returning, `unready` keeps it from being ready, `broken` lets `start` raise, `probe` lets it try what
a party is refused.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jmpc.cluster import Identity, Roster
from jmpc.daemon import process, syscalls
from jmpc.daemon.process import Parts

SECRET = "c0ffee-is-a-share"


class FakeParty:
    """As a service is, without one."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._folder = parts, parts.settings.state
        probed = probe() if (self._folder / "probe").exists() else {}
        fields = {"port": parts.listener.getsockname()[1], "store": str(parts.store.folder), "probed": probed}
        self._say("made", **fields, **_myself())

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


# Functions of the C library that hand their arguments to a call of the same name.
_WRAPPED = (
    "ptrace mount umount2 unshare setns chroot swapon swapoff sethostname setuid setgid setresuid acct process_vm_readv"
)


def probe() -> dict[str, object]:
    """What becomes of calls, as errors; the arguments are such that none would do anything."""
    if not syscalls.filtered():
        return {"filtered": False}
    libc, here = ctypes.CDLL(None, use_errno=True), syscalls.machine()
    assert here is not None
    programs = "--start-programs" in sys.orig_argv
    numbers = here.refused(programs).items()
    return {
        "filtered": True,
        "by number": {name: _error(lambda n=n: libc.syscall(n, -1, -1, -1, -1, -1, -1)) for name, n in numbers},
        "by name": {
            name: _error(lambda name=name: getattr(libc, name)(-1, -1, -1, -1, -1, -1)) for name in _WRAPPED.split()
        },
        "sockets": {
            int(n): _raised(lambda n=n: socket.socket(n, socket.SOCK_DGRAM).close()) for n in (1, 2, 10, 16, 17, 38)
        },
        "fork": 0 if programs else _raised(os.fork),
        "started": _raised(lambda: subprocess.run(["/bin/true"], check=True)),
        "thread": _runs(),
    }


def _error(call: Callable[[], int]) -> int:
    ctypes.set_errno(0)
    return ctypes.get_errno() if call() == -1 else 0


def _raised(call: Callable[[], object]) -> int | None:
    try:
        call()
    except OSError as exc:
        return exc.errno
    return 0


def _runs() -> bool:
    ran = threading.Event()
    threading.Thread(target=ran.set).start()
    return ran.wait(10)


def _is_open(fd: str) -> bool:
    return Path(f"/proc/self/fd/{fd}").exists()


def main(arguments: Sequence[str]) -> int:
    return process.main(arguments, FakeParty)
