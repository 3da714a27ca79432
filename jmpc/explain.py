"""What a program keeps secret and what it does not: who supplies what, what is computed in the clear, where and by
whom, what is part of the program, and who learns what.

What goes in: a lowered function. What comes out: an `Explanation`, which prints as a text. It holds no value. Not here:
what the protocols cost (`party/report.py`).
"""

from __future__ import annotations

import inspect
import types
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmpc.arguments import Call
from jmpc.errors import NothingSecretWarning
from jmpc.frontend.captured import Table
from jmpc.frontend.known import Known
from jmpc.frontend.lower import Frontier
from jmpc.roles import WORDS, Role

# Words that are nobody's name (`roles.WORDS`).
SAID: dict[str, str] = dict(zip((Role.PUBLIC, Role.CALLER), WORDS, strict=True))


@dataclass(frozen=True)
class Argument:
    """owner: who supplies it; empty if everybody may know it, `jmpc.SECRET` if it is shared already."""

    path: str
    spec: str
    owner: str


@dataclass(frozen=True)
class Result:
    """receivers: who learns it.  clear: whether it never was secret to its receiver."""

    path: str
    spec: str
    receivers: tuple[str, ...]
    clear: bool


@dataclass(frozen=True)
class Explanation:
    """clear: by who computes it, lines `file:line (function): primitives` of what is computed before anything is
    shared; under "" what everybody may compute.  tables: constant arrays of the program.  static: leaves of arguments
    that are part of it.  shared: whether it computes on anything that is secret."""

    name: str
    arguments: tuple[Argument, ...]
    static: tuple[str, ...]
    tables: tuple[Table, ...]
    clear: Mapping[str, tuple[str, ...]]
    results: tuple[Result, ...]
    shared: bool

    def __str__(self) -> str:
        lines = [f"{self.name}: {'what is secret, and what is not' if self.shared else 'nothing is secret-shared'}"]
        lines += _listed("arguments", (f"{a.path}: {a.spec}, {_supplied(a.owner)}" for a in self.arguments))
        lines += _listed("part of the program, which all parties see", [*self.static, *map(_table, self.tables)])
        for owner, places in self.clear.items():
            lines += _listed(f"computed in the clear by {_who(owner)}, before anything is shared", places)
        lines += _listed("results", map(_learned, self.results))
        return "\n".join(lines)


def _listed(title: str, entries: Iterable[str]) -> list[str]:
    found = [f"  {entry}" for entry in entries]
    return [f"{title}:", *found] if found else []


def _who(owner: str) -> str:
    return SAID.get(owner, owner)


def _supplied(owner: str) -> str:
    if owner == Role.SECRET:
        return "shared already"
    return "public" if owner == Role.PUBLIC else f"a secret of {_who(owner)}"


def _table(table: Table) -> str:
    made = f"`{table.name}`, found outside the function" if table.name else "made in the function"
    return f"{table.dtype}{list(table.shape)}, {made}, used at {table.loc}"


def _learned(result: Result) -> str:
    if Role.SECRET in result.receivers:
        return f"{result.path}: {result.spec}, stays shared"
    whom = " and ".join(map(_who, result.receivers))
    never = ", in the clear from the start" if result.clear else ""
    return f"{result.path}: {result.spec}, learned by {whom}{never}"


def clear_work(frontier: Frontier, wanted: Sequence[Known]) -> dict[str, tuple[str, ...]]:
    """What is computed in the clear for `wanted`, by owner."""
    found: dict[str, dict[str, list[str]]] = {}
    for step in frontier.prelude.needed(wanted):
        ops = found.setdefault(step.owner, {}).setdefault(str(step.place) or "(no line)", [])
        if step.place.op not in ops:
            ops.append(step.place.op)
    return {
        owner: tuple(f"{place}: {', '.join(ops)}" for place, ops in places.items())
        for owner, places in sorted(found.items())
    }


def is_shared(frontier: Frontier) -> bool:
    """Whether the program computes on anything secret: an input, or a draw."""
    return any(entry.owner for entry in frontier.program.inputs) or frontier.draws > 0


def explain(
    name: str, call: Call, frontier: Frontier, clear: Mapping[str, tuple[str, ...]], tables: Sequence[Table],
    results: Iterable[tuple[str, Any, Sequence[str]]],
) -> Explanation:  # fmt: skip
    """call: as it was traced.  results: the path, shape and receivers of each leaf."""
    return Explanation(
        name,
        tuple(Argument(leaf.path, _spec(leaf), leaf.owner) for leaf in call.leaves),
        tuple(f"{path}: {_kind(value)}" for path, value in call.statics),
        tuple(tables),
        clear,
        tuple(
            Result(path, _spec(shape), tuple(receivers), isinstance(which, Known))
            for (path, shape, receivers), which in zip(results, frontier.outputs, strict=True)
        ),
        is_shared(frontier),
    )


def _spec(x: Any) -> str:
    return f"{x.dtype}{list(x.shape)}"


def _kind(static: Any) -> str:
    """What a static leaf is, without its value."""
    return getattr(static, "__name__", type(static).__name__)


def warn_if_nothing_is_secret(name: str, frontier: Frontier) -> None:
    """At the user's line."""
    if is_shared(frontier):
        return
    owners = {k.owner for k in frontier.outputs if isinstance(k, Known)} - {Role.PUBLIC}
    why = f"{_who(min(owners))} computes its result alone" if owners else "it computes on public values alone"
    frame = inspect.currentframe()
    assert frame is not None  # as in every CPython
    while frame.f_back is not None and _is_jmpcs(frame):
        frame = frame.f_back
    warnings.warn_explicit(
        f"{name}: nothing in this call is secret-shared: {why}, in the clear; lower(...).explain() says where",
        NothingSecretWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        str(frame.f_globals.get("__name__", "")),
        frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _is_jmpcs(frame: types.FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).split(".")[0] == "jmpc"
