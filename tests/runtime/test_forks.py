"""No fork of a party draws with its keys: each ends before a line of it runs."""

from __future__ import annotations

import subprocess
import sys

from jmpc.runtime import party_boot

FORKS = 100
SCRIPT = f"""
import os
from jmpc.ring.keys import MaskKeys
from jmpc.runtime import party_boot

party_boot._end_forks()
keys = MaskKeys({{1: os.urandom(16), 2: os.urandom(16)}})
ended = set()
for _ in range({FORKS}):
    child = os.fork()
    if child == 0:
        print("drew with", keys[1], flush=True)
        os._exit(0)
    ended.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(ended)
"""


def test_a_fork_of_a_party_ends_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("\n") == [f"{{{party_boot.EXIT_FORK}}}", ""]
