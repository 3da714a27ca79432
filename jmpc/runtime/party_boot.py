"""Where a party's process begins: `python -I -S party_boot.py ...`, with nothing but the standard library to import.

In: the command line that spawn.py wrote. Out: the process of the module that it names, which dumps no core, lets no
other process of its user look into it, gains no privilege, gives its files to nobody else, imports from the folders
that it was told and from no other, and, where a parent is named, ends with that. All this comes before the first byte
of a secret is read. Nothing of jmpc is imported until its folder is known.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import importlib.util
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import PathFinder

PR_SET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS = 1, 3, 4, 38, 39
UMASK = 0o077
_LOOK_MS = 500  # how often a system without pidfd is asked who our parent is
EXIT_ORPHAN = 4  # the launcher went away
EXIT_FORK = 5  # this is a fork of a party, which would draw the same masks and number the same frames
_STDIN = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one party to its end."""
    options = _options(argv)
    _keep_to_ourselves()
    _end_forks()
    if options.parent is not None:
        _end_with(options.parent)
    sys.path += options.path
    _import_from(options.package)
    return importlib.import_module(options.main).main(options.arguments)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="party_boot")
    parser.add_argument("--parent", type=int, help="the process to end with")
    parser.add_argument("--package", required=True, help="the folder of jmpc itself")
    parser.add_argument("--path", action="append", default=[], help="a folder to import other packages from")
    parser.add_argument("main", help="the module whose `main` this process is")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="for that")
    return parser.parse_args(argv)


def prctl(option: int, value: int = 0) -> int:
    """The system call of Linux: what it returns, -1 where it refuses."""
    return ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _keep_to_ourselves() -> None:
    """No core, also none for a handler that ignores the limit, and no debugger or /proc/PID/mem for our own user. No
    program that we might start gets more rights than we have. What we write is for nobody else, and no code."""
    os.umask(UMASK)
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        if prctl(PR_SET_DUMPABLE, 0) != 0:
            raise OSError("the process cannot be made undumpable")
        if prctl(PR_SET_NO_NEW_PRIVS, 1) != 0:
            raise OSError("the process cannot renounce new privileges")


def _end_forks() -> None:
    """No fork of us goes on with our keys."""
    os.register_at_fork(after_in_child=lambda: os._exit(EXIT_FORK))


def _end_with(parent: int) -> None:
    """Three guards. The kernel kills us with the thread that started us, even where we are stopped; a watch on the
    parent's process, for systems and parents without that; the end of standard input, whose other end the parent
    holds (but a fork of it holds that too, so it is not enough)."""
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    poll, wait_ms = select.poll(), _LOOK_MS
    poll.register(_STDIN, 0)  # its end is told without being asked for
    with contextlib.suppress(AttributeError, OSError):
        poll.register(os.pidfd_open(parent), select.POLLIN)
        wait_ms = None

    def watch() -> None:
        while os.getppid() == parent and not poll.poll(wait_ms):
            pass
        os._exit(EXIT_ORPHAN)

    threading.Thread(target=watch, name="launcher watch", daemon=True).start()


def _import_from(package: str) -> None:
    """Load jmpc from its own folder. What lies beside that folder is not importable."""
    spec = PathFinder.find_spec("jmpc", [os.path.dirname(package)])
    if spec is None or spec.loader is None:
        raise ImportError(f"jmpc is not in {package}")
    module = sys.modules["jmpc"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


if __name__ == "__main__":
    code = main()
    gc.freeze()  # else the interpreter's end looks through all that there is, which takes a second
    sys.exit(code)
