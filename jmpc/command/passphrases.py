"""The passphrase of an authority's key: asked at the terminal or read from a file, never an argument or a variable.

In: a path, or none. Out: a function that gives the passphrase once it is needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from jmpc.cluster import files
from jmpc.cluster.faults import refuse
from jmpc.cluster.keys import Passphrase, check_passphrase
from jmpc.errors import ConfigError

OPTION = "--passphrase-file"


def passphrase(file: Path | None) -> Passphrase:
    """That of a key which exists."""

    def ask() -> bytes:
        if file is not None:
            return _of_file(file)
        if not sys.stdin.isatty():
            raise ConfigError(
                "the authority's key is sealed, and nobody can be asked for its passphrase",
                where=OPTION,
                why="standard input is no terminal",
                todo=f"run this at a terminal, or give {OPTION} FILE",
            )
        return _asked("passphrase of the authority's key", confirm=False)

    return ask


def new_passphrase(file: Path | None, ask: bool) -> bytes | None:
    """That of a key to make; None leaves it open."""
    if file is None and not ask:
        return None
    found = _of_file(file) if file is not None else _asked("new passphrase for the authority's key", confirm=True)
    check_passphrase(found)
    return found


def _of_file(file: Path) -> bytes:
    content, faults = files.read(file, private=True)
    refuse(faults)
    return content.removesuffix(b"\n").removesuffix(b"\r")


def _asked(what: str, confirm: bool) -> bytes:
    return typer.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True).encode()
