"""An owner: who evaluates its own work in the clear and shares its own inputs, and needs nothing of the others for it.

What goes in: a compiled program, and an owner's arrays beside the public ones. What comes out: what each party gets of
the inputs that this owner supplies, and the results that are its own work alone. Everybody's part, of public values, is
that of `Role.PUBLIC`. A process may hold several owners; today's calls hold all of them, and treat each by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from jmpc import families
from jmpc._types import AnyArray
from jmpc.compiler import Flow
from jmpc.config import Config
from jmpc.executors.sharing import Seeds, fresh, layout
from jmpc.families import sharing
from jmpc.frontend.known import Known, evaluator
from jmpc.frontend.walk import Source
from jmpc.ir.types import BOOL, DECLARED, PUBLIC
from jmpc.party.program import input_type
from jmpc.ring import fixed
from jmpc.ring.element import Ring
from jmpc.roles import Role


@dataclass(frozen=True)
class Supplied:
    """What an owner has after its own work. inputs: ring elements, or bools, by input of the program.  clear: by flat
    result, those that need no party."""

    inputs: Mapping[int, np.ndarray] = field(repr=False)
    clear: Mapping[int, AnyArray] = field(repr=False)


class Owner:
    """One owner's part of each call of a program. name: the owner's, or `Role.PUBLIC`.  arguments: the leaves of a call
    that it must know, its own and public ones.  sources: the inputs of the program that it supplies.  clear: the flat
    results that are its own work."""

    def __init__(self, name: str, flow: Flow) -> None:
        frontier = flow.frontier
        self.name, self.flow = name, flow
        self.arguments = [n for n, k in enumerate(frontier.arguments) if k.owner in (name, Role.PUBLIC)]
        self.sources = [n for n, s in enumerate(frontier.sources) if _supplies(name, s)]
        self.clear = [n for n, k in enumerate(frontier.outputs) if isinstance(k, Known) and k.owner == name]

    @cached_property
    def _work(self) -> Callable[[Sequence[AnyArray]], list[AnyArray]]:
        frontier = self.flow.frontier
        wanted = [frontier.sources[n].known for n in self.sources] + [_known(frontier.outputs[n]) for n in self.clear]
        return evaluator(frontier.prelude, [frontier.arguments[n] for n in self.arguments], wanted, self.name)

    def evaluate(self, arrays: Sequence[AnyArray]) -> list[AnyArray]:
        """The values of its inputs, then its results. arrays: of its `arguments`, in order."""
        return self._work(arrays)

    def supply(self, arrays: Sequence[AnyArray]) -> Supplied:
        """Do the owner's work. Raises RangeError for a number that the format cannot hold."""
        values, sources = self.evaluate(arrays), self.flow.frontier.sources
        inputs = {n: encode(x, sources[n], self.flow.config) for n, x in zip(self.sources, values, strict=False)}
        return Supplied(inputs, dict(zip(self.clear, values[len(inputs) :], strict=True)))

    def share(
        self, arrays: Sequence[AnyArray], draw: sharing.Draw[np.ndarray] = fresh
    ) -> dict[int, sharing.Pieces[np.ndarray]]:
        """By input of the program, what each party gets of it: all that leaves the owner. draw: uniform words."""
        return {n: dealt(self.flow, n, x, draw) for n, x in self.supply(arrays).inputs.items()}

    def __repr__(self) -> str:
        return f"Owner({self.name!r}, supplies {len(self.sources)} inputs of {self.flow.share.name})"


def owners(flow: Flow) -> dict[str, Owner]:
    """All whom a call concerns before the parties run: everybody, and who has an argument that is not shared yet."""
    names = dict.fromkeys([Role.PUBLIC, *(k.owner for k in flow.frontier.arguments)])
    return {name: Owner(name, flow) for name in names if name != Role.SECRET}


def dealt(flow: Flow, number: int, x: np.ndarray, draw: sharing.Draw[np.ndarray] = fresh) -> sharing.Pieces[np.ndarray]:
    """By party, what it gets of an input of the program: of a secret its shares, of a public value all of it. x: ring
    elements, or bools."""
    family, t = families.of(flow.config), flow.share.body.params[number].type
    if t.visibility == PUBLIC:
        return [[x] for _ in range(family.parties)]
    shared = input_type(t)
    return sharing.share(x, shared, family.forms[shared.form], Ring(flow.config.k), draw)


@dataclass(frozen=True)
class Dealing:
    """What parties get of an owner's inputs. keys: by party, of the summands that it draws itself, by form and number.
    arrays: by party, all else, input by input."""

    keys: Sequence[Mapping[tuple[str, int], bytes]] = field(repr=False)
    arrays: Sequence[Sequence[np.ndarray]] = field(repr=False)


def dealt_by_keys(flow: Flow, inputs: Mapping[int, np.ndarray]) -> Dealing:
    """As `dealt`, of several inputs: a party gets keys for what is drawn, and the last summand if it holds it. Of three
    parties with two summands each, two get one array, and the third gets none."""
    family, ring = families.of(flow.config), Ring(flow.config.k)
    types = [input_type(flow.share.body.params[n].type) for n in inputs]
    starts, words = layout(family, ring, types)
    seeds, arrays = Seeds.fresh(family, words), [list[np.ndarray]() for _ in range(family.parties)]
    for (number, x), t, start in zip(inputs.items(), types, starts, strict=True):
        pieces = dealt(flow, number, x, seeds.draw(t.form, start))
        for mine, got, numbers in zip(arrays, pieces, family.form(t).holds, strict=True):
            mine += [np.asarray(a) for a, n in zip(got, numbers, strict=True) if (t.form, n) not in seeds]
    held = [
        {(form, n): key for (form, n), key in seeds.keys.items() if n in family.forms[form].holds[party]}
        for party in range(family.parties)
    ]
    return Dealing(held, arrays)


def encode(array: AnyArray, source: Source, config: Config) -> np.ndarray:
    """Ring elements of an input, or bools; refused where the format cannot hold it."""
    host, t = np.asarray(array), source.type
    if t.kind == BOOL:
        return host.astype(bool) if t.visibility != PUBLIC else Ring(config.k).from_int(host.astype(np.int64))
    if source.saturates:
        most = fixed.greatest(t.limit) / 2**t.scale
        host = np.clip(host.astype(np.float64), -most, most)
    declared = t.origin == DECLARED
    return fixed.encode(host, t.scale, Ring(config.k), t.limit, source.place, declared=declared)


def _supplies(name: str, source: Source) -> bool:
    return not source.type.secret and source.known.owner == name


def _known(output: int | Known) -> Known:
    assert isinstance(output, Known)
    return output
