"""The devices that a party's process finds, asked before it runs: in a process as the party's own, since they depend on
its environment, and since JAX takes them for as long as a process lasts.

In: settings. Out: where the party computes; or what is wrong with what the settings say of it. Settings that say
nothing of it are not asked about: a party has one device.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jmpc.cluster.faults import Fault
from jmpc.daemon import launch
from jmpc.daemon.settings import ANY, DEVICES, Settings
from jmpc.errors import ConfigError

if TYPE_CHECKING:
    from jmpc.executors.placement import Placement

MAIN = "jmpc.daemon.devices"
_PATIENCE_S = 120.0
_SHARED = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # a party that runs already keeps the memory of its accelerators


def placement(settings: Settings, joined: bool = False) -> Placement:
    """Where a party computes, in its process. joined: on all its hosts, which have met. Raises ConfigError where the
    devices are not there."""
    from jmpc.executors.placement import Placement

    place = Placement.over_hosts if joined else Placement.of_party
    try:
        return place(settings.devices, settings.platform)
    except ConfigError as exc:
        raise ConfigError(exc.what, where=f"{settings.path} ({exc.where})", why=exc.why, todo=exc.todo) from exc


def faults(settings: Settings) -> list[Fault]:
    """What a party's process would not find."""
    if (settings.devices, settings.platform) == (DEVICES, ANY):
        return []
    command = launch.command(settings, allow_root=True, main=MAIN)
    environment = {**launch.environment(settings), **_SHARED}
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return [_silent(settings, f"JAX has not found them within {_PATIENCE_S:g} s")]
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    if done.returncode != 0 or not lines:
        return [_silent(settings, f"a process that asks for them ends with {done.returncode}")]
    said = json.loads(lines[-1])
    if not said:
        return []
    return [Fault("no-devices", said["what"], said["where"], said["why"], said["todo"])]


def _silent(settings: Settings, why: str) -> Fault:
    todo = "look at the driver, at what [environment] says, and at the log of the kernel"
    return Fault("no-devices", "the devices do not answer", f"{settings.path} (devices)", why, todo)


def main(arguments: Sequence[str]) -> int:
    """In a process of its own: one line of JSON, empty where all is there."""
    parser = argparse.ArgumentParser(prog="devices")
    parser.add_argument("--config", type=Path, required=True)
    options, _ = parser.parse_known_args(arguments)
    try:
        placement(Settings.read(options.config))
        print("{}")
    except ConfigError as exc:
        print(json.dumps({"what": exc.what, "where": str(exc.where), "why": exc.why, "todo": "; ".join(exc.todo)}))
    return 0
