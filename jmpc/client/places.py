"""Where the results of a call go that do not come back with it: under names, for programs or for their receivers.

In: a lowered function, and what its caller said: `keep=` and `leave=`. Out: `Place`s, which say which outputs of the
program are stored together, and how they hang together. Who owns what they depend on is added when the call is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import numpy as np

from jmpc import _typed
from jmpc.api import Lowered
from jmpc.client.trees import paths_of, shortened, text_of
from jmpc.compiler import Flow
from jmpc.errors import ArgumentError
from jmpc.roles import Role
from jmpc.runtime.contents import Contents, Leaf
from jmpc.runtime.requests import NEVER

Names = str | Mapping[Any, str] | None


@dataclass(frozen=True)
class Stays:
    """One output of a program in a place. number: of the output.  path: in the value."""

    number: int
    path: str
    dtype: str


@dataclass(frozen=True)
class Place:
    """A value that a call stores. receiver: of a result that waits; empty where it stays shared."""

    name: str
    outputs: tuple[Stays, ...]
    tree: str = ""
    receiver: str = ""
    expires: int = NEVER

    def contents(self, flow: Flow, owners: Sequence[str]) -> Contents:
        results, config = flow.share.body.results, flow.config
        leaves = tuple(Leaf(one.path, one.dtype, results[one.number].type) for one in self.outputs)
        return Contents(config.protocol, config.k, config.f, leaves, self.tree, tuple(owners), bool(self.receiver))

    def row(self, flow: Flow, owners: Sequence[str]) -> list[Any]:
        """As `join` has it."""
        return [self.name, self.contents(flow, owners).text, [one.number for one in self.outputs], self.expires]


@dataclass(frozen=True)
class Result:
    """One leaf of a function's result. number: of the leaf.  told: by receiver, its outputs: two of a complex one."""

    number: int
    path: str
    dtype: str
    told: Mapping[str, tuple[int, ...]]


def results_of(lowered: Lowered) -> list[Result]:
    flow, shapes = lowered.flow, jax.tree.leaves(lowered.traced.out_shape)
    starts = [which for which in flow.frontier.outputs if isinstance(which, int)]
    found = list[Result]()
    for n, (which, shape) in enumerate(zip(flow.frontier.outputs, shapes, strict=True)):
        told = dict[str, tuple[int, ...]]()
        if isinstance(which, int):
            end = min((s for s in starts if s > which), default=len(flow.share.outputs))
            for number in range(which, end):
                receiver = flow.share.outputs[number].receiver
                told[receiver] = (*told.get(receiver, ()), number)
        found.append(Result(n, lowered.traced.paths[n], str(shape.dtype), told))
    return found


def kept(lowered: Lowered, names: Names, expires: int) -> list[Place]:
    """names: `keep=` of a call. Raises ArgumentError for a path at which nothing stays shared."""
    found = [r for r in results_of(lowered) if Role.SECRET in r.told]
    if names is None:
        return []
    if not found:
        raise ArgumentError(
            f"{lowered.traced.secured.__name__} has no result that stays shared",
            where="keep=...",
            why="its results go to their receivers: none is jmpc.SECRET",
            todo="name outputs=jmpc.SECRET for what is to be stored, or leave keep= out",
        )
    groups = {names: found} if isinstance(names, str) else dict(_grouped(names, found))
    return [_place(lowered, name, group, str(Role.SECRET), expires) for name, group in groups.items()]


def left(lowered: Lowered, names: Names, expires: int, receivers: Sequence[str]) -> list[Place]:
    """names: `leave=` of a call.  receivers: whom a single name may be for. Raises ArgumentError."""
    if names is None:
        return []
    found = results_of(lowered)
    told = sorted({receiver for result in found for receiver in result.told} - {Role.SECRET})
    if isinstance(names, str):
        if len(receivers) != 1:
            whom = f"{', '.join(receivers)} are" if receivers else "nobody is"
            raise ArgumentError(
                "it is not said for whom the result is left",
                where="leave=...",
                why=f"{whom} to fetch a result",
                todo="give a name for each receiver: leave={receiver: name}",
            )
        names = {receivers[0]: names}
    for receiver in names:
        if receiver == Role.CALLER:
            raise ArgumentError(
                f"a result of {lowered.traced.secured.__name__} is the caller's, who has no name under which it waits",
                where="leave=...",
                todo="name the receiver: secure(outputs=NAME, owners=[NAME])",
            )
        if receiver not in told:
            raise ArgumentError(
                f"{receiver!r} learns no result of {lowered.traced.secured.__name__}",
                where="leave=...",
                why=f"its results go to {', '.join(told) or 'nobody'}",
                todo="name a receiver of secure(outputs=...)",
            )
    return [
        _place(lowered, name, [r for r in found if receiver in r.told], receiver, expires)
        for receiver, name in names.items()
    ]


def _place(lowered: Lowered, name: str, results: Sequence[Result], receiver: str, expires: int) -> Place:
    numbers = {result.number for result in results}
    count, structure = len(jax.tree.leaves(lowered.traced.out_shape)), _typed.structure(lowered.traced.out_shape)
    tree = _part(_typed.unflatten(structure, [n if n in numbers else _Gone() for n in range(count)]))
    leaves, shape = _typed.flatten(tree)
    rest = _typed.unflatten(shape, [None if isinstance(leaf, _Gone) else leaf for leaf in leaves])
    paths = dict(zip(cast("list[int]", jax.tree.leaves(rest)), paths_of(rest), strict=True))
    outputs = [Stays(n, paths[r.number], r.dtype) for r in results for n in r.told[receiver]]
    waits = "" if receiver == Role.SECRET else receiver
    return Place(name, tuple(outputs), text_of(rest), waits, expires)


class _Gone:
    """A leaf that is not stored."""


def _part(node: Any) -> Any:
    """The smallest subtree with all leaves that are stored, or one that has no others."""
    leaves = jax.tree.leaves(node)
    if not any(isinstance(leaf, _Gone) for leaf in leaves):
        return node
    holding = [child for child in _children(node) if not all(isinstance(x, _Gone) for x in jax.tree.leaves(child))]
    return _part(holding[0]) if len(holding) == 1 else node


def _children(node: Any) -> list[Any]:
    return _typed.flatten(node, is_leaf=lambda x: x is not node)[0]


def _grouped(names: Mapping[Any, str], found: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    taken = set[int]()
    for key, name in names.items():
        group = [r for r in found if _at(r.path, key)]
        if not group or taken & {r.number for r in group}:
            raise ArgumentError(
                f"nothing that stays shared is at {key!r}" if not group else f"{key!r} is part of another path",
                where="keep=...",
                why=f"what stays shared is at {_some(shortened(r.path) for r in found)}",
                todo="name each part of the result once, by its path",
            )
        taken |= {r.number for r in group}
        yield name, group


def _at(path: str, key: Any) -> bool:
    """Whether a leaf lies at a path, such as "['w']" or "[0]", or at what is indexed by `key`."""
    return any(re.match(re.escape(prefix) + r"(?=$|[\[.])", path) for prefix in (str(key), f"[{key!r}]"))


def _some(paths: Iterable[str]) -> str:
    found = list(paths)
    return ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")


def of_nobody(flow: Flow, places: Sequence[Place], name: Callable[[], str], expires: int) -> list[Place]:
    """The outputs that stay shared and have no place, in one that `name` draws."""
    placed = {one.number for place in places for one in place.outputs}
    outputs = [
        Stays(n, shortened(output.path), str(np.dtype(output.dtype)))
        for n, output in enumerate(flow.share.outputs)
        if output.receiver == Role.SECRET and n not in placed
    ]
    return [Place(name(), tuple(outputs), expires=expires)] if outputs else []
