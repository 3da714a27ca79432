"""The operations guide followed word for word, each party's machine a network namespace of the kernel of its own.

python -m tests.namespaces

Needs root and `ip`. Three namespaces hold a party each, a fourth the clients and the switch between them; what a
party's operator types runs in that party's namespace, and nothing there reaches another party but over its address.
Exits with 1 where a block prints something else than the guide says.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from tests.test_operations_guide import BLOCKS, ROOT, kill_parties, says

PARTIES = range(3)
HUB = f"jmpc-guide-{os.getpid()}"
# As long as `localhost`, so that tables look as they do in the guide.
ADDRESSES = [f"10.88.0.{party + 1}" for party in PARTIES]
# A command line that names a folder of a party is one of its operator.
SHIM = """#!/bin/bash
if [[ "$*" =~ (at|machine|at-party)-([012]) ]]; then
    exec ip netns exec {hub}-"${{BASH_REMATCH[2]}}" {python} -m jmpc "$@"
fi
exec {python} -m jmpc "$@"
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def namespaces() -> Generator[None]:
    """The hub and the parties' namespaces, each with a cable to the switch in the hub."""
    made = list[str]()
    try:
        for name in (HUB, *(f"{HUB}-{party}" for party in PARTIES)):
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", HUB, "link", "add", "switch", "type", "bridge")
        ip("-n", HUB, "addr", "add", "10.88.0.254/24", "dev", "switch")
        ip("-n", HUB, "link", "set", "switch", "up")
        for party, address in zip(PARTIES, ADDRESSES, strict=True):
            name, port = f"{HUB}-{party}", f"port{party}"
            ip("-n", HUB, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", HUB, "link", "set", port, "master", "switch", "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield
    finally:
        for name in made:
            ip("netns", "del", name)


def spread(text: str) -> str:
    """A block of the guide with each party at an address of its own: then it listens at all that its machine has."""
    text = text.replace("it listens at localhost:", "it listens at 0.0.0.0:")
    return re.sub(r"localhost:700([123])", lambda found: f"{ADDRESSES[int(found[1]) - 1]}:700{found[1]}", text)


def tools(folder: Path) -> Path:
    folder.mkdir()
    python = shlex.quote(sys.executable)
    for name, text in (
        ("jmpc", SHIM.format(hub=HUB, python=python)),
        ("python3", f'#!/bin/sh\nexec {python} "$@"\n'),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def shell(script: str, folder: Path, found: Path) -> tuple[str, str]:
    """What a block prints on either output, run in the hub."""
    environment = {**os.environ, "PATH": f"{found}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = ["ip", "netns", "exec", HUB, "bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.stdout, done.stderr


def follow(folder: Path, found: Path) -> list[str]:
    """The blocks that print something else than the guide says."""
    for number, (script, text) in enumerate(BLOCKS, 1):
        began = time.monotonic()
        printed, complaints = shell(spread(script), folder, found)
        if complaints or not re.fullmatch(says(spread(text)), printed):
            return [f"block {number}:\n{spread(script)}\nprints:\n{printed}{complaints}"]
        print(f"block {number} of {len(BLOCKS)}: {time.monotonic() - began:.1f} s", flush=True)
    return []


def main() -> int:
    if os.geteuid() != 0:
        sys.exit("this makes network namespaces: run it as root")
    with tempfile.TemporaryDirectory() as scratch, namespaces():
        folder = Path(scratch) / "guide"
        folder.mkdir()
        try:
            wrong = follow(folder, tools(Path(scratch) / "bin"))
        finally:
            kill_parties(folder)
    print("\n".join(wrong) or f"{len(BLOCKS)} blocks, {len(PARTIES) + 1} namespaces: all print what the guide says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
