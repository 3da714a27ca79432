"""What can be wrong with a cluster, each fault by its name, and the error that it is where nothing may be wrong.

In: what was found. Out: a Fault; by `error`, a ConfigError. This file looks for nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from jmpc.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    name: what scripts go by, such as `expired`.  what, where, why, todo: as in every error of jmpc.
    warning: it works today, and will not for long.
    """

    name: str
    what: str
    where: str
    why: str = ""
    todo: str = ""
    warning: bool = False

    def fields(self) -> dict[str, object]:
        """As `--json` says it."""
        return asdict(self)

    def error(self, others: int = 0) -> ConfigError:
        """The fault as an error that may say how many others were found with it."""
        more = f"{others} more fault{'s were' if others > 1 else ' was'} found with it" if others else ""
        return ConfigError(self.what, where=self.where, why="; ".join(filter(None, (self.why, more))), todo=self.todo)


def refuse(faults: Sequence[Fault]) -> None:
    """Raise the first fault that is no warning, if there is one."""
    wrong = [fault for fault in faults if not fault.warning]
    if wrong:
        raise wrong[0].error(len(wrong) - 1)


_TODO = {
    errno.ENOENT: "look whether the path is right",
    errno.EACCES: "run the command as the user who owns the folder",
    errno.EPERM: "run the command as the user who owns the folder",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOSPC: "make room on the disk, then run the command again: nothing was changed",
    errno.ENOTDIR: "give a folder; a file has the name",
    errno.EEXIST: "give a folder; a file has the name",
    errno.EISDIR: "give a file; a folder has the name",
}


def file_error(what: str, path: Path, exc: OSError) -> ConfigError:
    """What the operating system refused, as an error of jmpc."""
    why = os.strerror(exc.errno).lower() if exc.errno else type(exc).__name__
    return ConfigError(what, where=str(path), why=why, todo=_TODO.get(exc.errno or 0, ""))


@contextmanager
def files_of(path: Path, what: str) -> Generator[None]:
    """Errors of the operating system inside are ConfigErrors that say `what` could not be done."""
    try:
        yield
    except OSError as exc:
        raise file_error(what, path, exc) from exc
