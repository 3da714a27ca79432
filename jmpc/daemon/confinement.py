"""What a party's process must be before it reads a key: confined, as `party_boot.py` makes it, and not root.

In: this process. Out: what is wrong with it. A process that was started in another way is found here, and a system
that does not do what it was asked.
"""

from __future__ import annotations

import os
import resource
import sys

from jmpc.cluster.faults import Fault
from jmpc.daemon import syscalls
from jmpc.runtime import party_boot

_HERE = "this process"
_START = "start it with: jmpc party run"
MOST_DESCRIPTORS = 65_536


def process_faults() -> list[Fault]:
    """What is not as `party_boot.py` leaves a process."""
    faults: list[Fault] = []
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        faults.append(Fault("core-dumps", "core dumps are not off", _HERE, "a core holds shares and keys", _START))
    if sys.platform == "linux":
        if party_boot.prctl(party_boot.PR_GET_DUMPABLE) != 0:
            why = "other processes of its user may read its memory, and a handler of cores may take one"
            faults.append(Fault("dumpable", "the process can be looked into", _HERE, why, _START))
        if party_boot.prctl(party_boot.PR_GET_NO_NEW_PRIVS) != 1:
            why = "a program that it starts may get more rights than it has"
            faults.append(Fault("new-privileges", "the process has not renounced new privileges", _HERE, why, _START))
    mask = os.umask(party_boot.UMASK)
    os.umask(mask)
    if mask & party_boot.UMASK != party_boot.UMASK:
        why = f"its umask is {mask:04o}: what it writes may be read by others"
        faults.append(Fault("open-umask", "the process gives its files to others", _HERE, why, _START))
    return faults


def refuse_calls(programs: bool, hosts: bool = False) -> tuple[int, list[Fault]]:
    """Refuse the system calls that a party never makes; how many, and what is wrong. programs: it may start others.
    hosts: it meets hosts of its own."""
    try:
        count = syscalls.install(programs, hosts)
    except OSError as exc:
        why = exc.strerror or "the system refuses it"
        return 0, [Fault("no-filter", "system calls cannot be refused", _HERE, why, f"{_START}, on a system that can")]
    if count is None:
        why = "this jmpc knows the calls of Linux on x86-64 and on ARM64 alone"
        todo = "let the system do it, as docs/deploy does by systemd and Kubernetes"
        return 0, [Fault("no-filter", "the process refuses no system calls", _HERE, why, todo, warning=True)]
    return count, []


def user_faults(allow_root: bool) -> list[Fault]:
    """Root, where it was not allowed."""
    if os.geteuid() != 0 or allow_root:
        return []
    why = "a fault in it would be one of the whole machine"
    todo = "make a user of its own for it; where root is nobody outside, as in some containers: --allow-root"
    return [Fault("root", "a party does not run as root", _HERE, why, todo)]


def take_descriptors() -> None:
    """As many files and connections as this user may have: the usual 1,024 are few for many clients."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
