"""`jmpc party run` becomes the party: the same process, another interpreter, with nothing of what was before.

In: settings that were checked. Out: this process, replaced (`exec`): it keeps its number, so that whoever started it
watches the party itself. The interpreter is isolated as that of every party (runtime/spawn.py); its environment is
what is written here and what `party.toml` says, and nothing is inherited but standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from jmpc.daemon import notify, signals
from jmpc.daemon.settings import FILE, Settings
from jmpc.runtime import spawn

MAIN = "jmpc.daemon.process"
FOLLOWS = "jmpc.daemon.follow"
_FIRST_FD = 3


def command(
    settings: Settings, allow_root: bool, main: str = MAIN, path: Sequence[str] = (), host: int | None = None
) -> list[str]:
    """The command line of a party's process. main, path: another module to run, for tests.  host: of a process that
    follows, which of its hosts it is."""
    main, more = (main, []) if host is None else (FOLLOWS, ["--index", str(host)])
    arguments = ["--config", str(settings.path), *more]
    arguments += ["--allow-root"] if allow_root else []
    arguments += ["--start-programs"] if settings.start_programs else []
    arguments += ["--hosts"] if settings.hosts else []
    if address := os.environ.get(notify.VARIABLE):
        arguments += ["--notify", address]
    return spawn.isolated(path, (), main=main, arguments=arguments)


def environment(settings: Settings) -> dict[str, str]:
    """All variables of a party's process."""
    fixed = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(settings.state),
        "JMPC_CACHE_DIR": str(settings.cache),
        "XDG_STATE_HOME": str(settings.state),
        "TF_CPP_MIN_LOG_LEVEL": "3",  # native code says nothing but that it dies
    }
    return {**fixed, **settings.environment}


def become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    signals.block()  # What comes before the party takes signals waits for it.
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.closerange(_FIRST_FD, os.sysconf("SC_OPEN_MAX"))
    os.execve(command[0], list(command), dict(environment))


def config_path(path: Path) -> Path:
    """`party.toml` itself, or the folder that has it."""
    return path / FILE if path.is_dir() else path
