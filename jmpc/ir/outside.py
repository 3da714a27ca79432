"""Ops from outside the package in the text of a program: each is named there with the module that declares it.

What goes in: a program, or what its text says. What comes out: the lines that its text begins with, or ProgramError
where this process has no such op, or another one. A party imports no module because a text names it: it was started
with those that it knows (daemon/children.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from jmpc.errors import ProgramError
from jmpc.ir.ops.record import OPS, Origin
from jmpc.ir.program import Program, walk


def used(program: Program) -> dict[str, Origin]:
    """The ops from outside that a program has, by name."""
    names = {op.name for op in walk(program.body)}
    found = {name: OPS[name].origin for name in sorted(names) if name in OPS}
    return {name: origin for name, origin in found.items() if origin is not None}


def modules() -> list[str]:
    """The modules that have declared ops in this process, and that another process can import by their name."""
    found = {record.origin.module for record in OPS.values() if record.origin is not None}
    specs = {name: getattr(sys.modules.get(name), "__spec__", None) for name in found}
    return sorted(name for name, spec in specs.items() if spec is not None and spec.has_location)


def require_same(name: str, said: Origin) -> None:
    """That this process has the op as the text says. Raises ProgramError."""
    record = OPS.get(name)
    if record is not None and record.origin == said:
        return
    if record is None or record.origin is None or record.origin.module != said.module:
        what = f"the program uses the op {name!r} of the module {said.module!r}, which this process does not have"
        why = "an op from outside jmpc is known to a party that was started with the module that declares it"
        todo = [
            f"import the module before the parties are started, or name it: jmpc.processes(modules=[{said.module!r}])",
            "what is declared in a script or a notebook is known there alone: put it into a module of its own",
        ]
    else:
        what = f"the op {name!r} of the module {said.module!r} is another one here than in the program"
        why, todo = "the code that declares it differs", "have the same file everywhere, and start the parties anew"
    raise ProgramError(what, where=f"op {name}", why=why, todo=todo)


def require_said(program: Program, said: Mapping[str, Origin]) -> None:
    """That a text names the ops from outside that its program has, and no others. Raises ProgramError."""
    if used(program) != said:
        names = ", ".join(sorted(used(program).keys() ^ said.keys()))
        raise ProgramError(
            f"the program does not say where its ops come from: {names}",
            where="the lines `uses`",
            todo="use the text that print_program writes",
        )
