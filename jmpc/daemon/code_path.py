"""Who could change the code that a party runs: everything that its process imports, looked at file by file.

In: folders. Out: a fault for each place that somebody besides root and this user may change, or replace by renaming
what is above it. This file imports nothing of what it looks at.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from jmpc.cluster.faults import Fault
from jmpc.cluster.files import others_write
from jmpc.runtime import spawn

MOST_FAULTS = 5  # of one kind of mistake there are often thousands
# In the folder of the library, where an isolated party looks only if it is told to.
_SITE = ("site-packages", "dist-packages")
_WHY = "who changes it decides what this party does with its shares"


def faults_of_a_party(extra: Iterable[str] = ()) -> list[Fault]:
    """What is wrong with all that a party's process may import: Python and its library, jmpc, and the folders in which
    it looks for other packages. extra: folders besides, such as those of `LD_LIBRARY_PATH`."""
    return code_faults([sys.executable, os.path.dirname(os.__file__), spawn.PACKAGE, *spawn.import_path(), *extra])


def code_faults(paths: Iterable[str]) -> list[Fault]:
    """What is wrong with files and folders of code, all that is in them, and what is above them."""
    faults: list[Fault] = []
    for path, is_above in _all(paths):
        faults += _faults_of(path, is_above)
        if len(faults) > MOST_FAULTS:
            faults[MOST_FAULTS:] = [Fault("writable-code", "more places are like these", path, _WHY)]
            break
    return faults


def _all(paths: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """What is above each path, from the root on, the path, and what is in it, with whether it is only above. A link is
    what it leads to."""
    above: set[str] = set()
    walked: set[str] = set()
    waiting = [os.path.realpath(path) for path in paths]
    while waiting:
        path = waiting.pop()
        for folder in reversed(list(map(str, Path(path).parents))):
            if folder not in above:
                above.add(folder)
                yield folder, True
        if path not in walked:
            walked.add(path)
            yield path, False
            yield from _below(path, walked, waiting)


def _below(folder: str, walked: set[str], links: list[str]) -> Iterator[tuple[str, bool]]:
    for entry in _entries(folder):
        if entry.is_symlink():
            links.append(os.path.realpath(entry.path))
        elif entry.path not in walked and entry.name not in _SITE:
            walked.add(entry.path)
            yield entry.path, False
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, walked, links)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """None of what is no folder. None where it cannot be read either: then it cannot be run."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _faults_of(path: str, is_above: bool) -> list[Fault]:
    try:
        found = os.lstat(path)
    except OSError:  # a link to nothing, a file that goes while we look
        return []
    if stat.S_ISLNK(found.st_mode):  # `realpath` leaves no link but one in a circle
        return []
    if found.st_uid not in (0, os.geteuid()):
        why = f"it belongs to the user {found.st_uid}: {_WHY}"
        return [Fault("foreign-code", "code of the party belongs to another user", path, why, _owner(path))]
    keeps = is_above and found.st_mode & stat.S_ISVTX  # nobody takes away what is another's in there, as in /tmp
    if others_write(found) and not keeps:
        why = f"its mode is {stat.S_IMODE(found.st_mode):04o}: {_WHY}"
        return [Fault("writable-code", "others may change code of the party", path, why, f"chmod go-w {path}")]
    return []


def _owner(path: str) -> str:
    return f"install Python, jmpc and its packages as root or as this user; or: chown {os.geteuid()} {path}"
