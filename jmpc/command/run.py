"""`jmpc run`: one script that each organisation runs, as itself.

In: a script, who runs it, the cluster. Out: what the script does; its secure calls are made with the others, and what
`jmpc.from_owner` loads is loaded at its owner alone.
"""

from __future__ import annotations

import hashlib
import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from jmpc.command.printing import print_word
from jmpc.errors import ConfigError


def run(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="A Python file, the same at each organisation.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="ARGUMENTS", help="Those of the script.")] = None,
    identity: Annotated[str, typer.Option("--as", help="Who runs it: a client's name, or the folder of its key.")] = "",
    cluster: Annotated[Path, typer.Option(help="`cluster.toml`, or its folder.")] = Path("cluster.toml"),
    label: Annotated[str, typer.Option(help="What organisations find each other by; the script's hash if empty.")] = "",
    wait_s: Annotated[
        float, typer.Option("--wait", help="For how many seconds organisations wait for one another.")
    ] = 300,
) -> None:
    """Run a script at a cluster, as one of its clients. Each organisation runs the same."""
    from jmpc.client.cluster import connect
    from jmpc.client.script import Script

    if not identity:
        raise ConfigError("it is not said who runs the script", where="--as", todo="give --as NAME")
    try:
        content = script.read_bytes()
    except OSError as exc:
        raise ConfigError(
            "the script cannot be read", where=str(script), why=(exc.strerror or "").lower(), todo="give a Python file"
        ) from exc
    label = label or f"script/{hashlib.sha256(content).hexdigest()[:32]}"
    here = connect(cluster, identity)
    before = sys.argv, sys.path[:]
    sys.argv = [str(script), *(arguments or [])]
    sys.path.insert(0, str(script.resolve().parent))
    try:
        with Script(here, label, wait_s, say=print_word):
            runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv, sys.path[:] = before
        here.close()
