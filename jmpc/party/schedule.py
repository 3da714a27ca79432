"""When each exchange takes place, jointly for all parties: in as few rounds as operands allow, each exchange in
the last of them that its readers allow. So what is dealt for a layer is dealt beside that layer: no party holds it
longer than needed, and equal layers become equal code.

What goes in: the traced scopes of the parties. What comes out: a `Schedule`: the slot of each exchange and loop,
and the slot in which each mask is first used, which fixes its place in the key's stream. It is public and small, and
travels with the program; a party that gets it cuts its own trace by it and refuses it where it does not fit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from jmpc import _jax
from jmpc.errors import ProgramError
from jmpc.party.program import Traced, is_sync

Name = tuple[int, int]
MaskName = tuple[int, int, int, int]


@dataclass(frozen=True)
class Schedule:
    """exchanges: slot by (op, n).  loops: (slot, schedule of the body) by op.  masks: (slot, words) by (party, party,
    op, n), the lower of the pair first."""

    exchanges: dict[Name, int]
    loops: dict[int, tuple[int, Schedule]]
    masks: dict[MaskName, tuple[int, int]]

    @property
    def slots(self) -> int:
        return max([*self.exchanges.values(), *(slot for slot, _ in self.loops.values())], default=0)

    def to_data(self) -> list[Any]:
        """Nested lists of integers, for JSON."""
        return [
            sorted([*name, slot] for name, slot in self.exchanges.items()),
            [[op, slot, body.to_data()] for op, (slot, body) in sorted(self.loops.items())],
            sorted([*name, *place] for name, place in self.masks.items()),
        ]

    @staticmethod
    def from_data(data: Any) -> Schedule:
        """Inverse of `to_data`. Raises ProgramError for anything else."""
        try:
            exchanges, loops, masks = data
            return Schedule(
                {(_nat(a), _nat(b)): _nat(s) for a, b, s in exchanges},
                {_nat(op): (_nat(s), Schedule.from_data(body)) for op, s, body in loops},
                {(_nat(p), _nat(q), _nat(a), _nat(b)): (_nat(s), _nat(w)) for p, q, a, b, s, w in masks},
            )
        except (TypeError, ValueError) as error:
            raise ProgramError("the schedule is malformed", todo="send the program again") from error


def _nat(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise ValueError("not a natural number")
    return value


def schedule(parties: Sequence[Traced]) -> Schedule:
    """The joint schedule of the parties' traces of the same scope."""
    eqns = [t.live for t in parties]
    ready: list[dict[Any, int]] = [dict.fromkeys((*t.jaxpr.invars, *t.jaxpr.constvars), 0) for t in parties]
    exchanges: dict[Name, int] = {}
    loops: dict[int, tuple[int, Schedule]] = {}
    walks = [_walk(e, r) for e, r in zip(eqns, ready, strict=True)]
    for met in zip_longest(*walks):
        slot = _meet(met, ready)
        eqn = met[0]
        if eqn.primitive.name == "exchange":
            exchanges[eqn.params["name"]] = slot
        else:
            loops[eqn.params["name"]] = (slot, schedule([e.params["body"] for e in met]))
        for e, r in zip(met, ready, strict=True):
            r.update((v, slot) for v in e.outvars)
    exchanges = _late(eqns, exchanges, {op: slot for op, (slot, _) in loops.items()})
    masks: dict[MaskName, tuple[int, int]] = {}
    for party_eqns, traced in zip(eqns, parties, strict=True):
        table = mask_table(party_eqns)
        for eqn, slot in place(party_eqns, traced, exchanges, loops):
            for v in eqn.invars:
                if not isinstance(v, _jax.Literal) and v in table:
                    name, made_by = table[v]
                    masks[name] = (min(slot, masks.get(name, (slot,))[0]), mask_words(made_by.params))
    return Schedule(exchanges, loops, masks)


def _late(eqns: Sequence[list[Any]], early: dict[Name, int], loops: dict[int, int]) -> dict[Name, int]:
    """Each exchange in the last slot before its first reader, of those in which there is a round anyway; in the last of
    all where what reads it is a result."""
    rounds = sorted(set(early.values()))
    if not rounds:
        return early
    last, late = max(rounds[-1], *loops.values(), 0), dict[Name, int]()
    needed: list[dict[Any, int]] = [{} for _ in eqns]
    for met in zip_longest(*(_walk_back(e, n) for e, n in zip(eqns, needed, strict=True))):
        name = met[0].params["name"]
        slot = loops.get(name, 0)
        if met[0].primitive.name == "exchange":
            latest = min(n.get(v, last) for e, n in zip(met, needed, strict=True) for v in e.outvars)
            late[name] = slot = rounds[bisect_right(rounds, latest) - 1]
        for e, n in zip(met, needed, strict=True):
            _need(n, e.invars, slot - 1)
    return late


def _walk_back(eqns: list[Any], needed: dict[Any, int]) -> Iterator[Any]:
    """Yield each exchange or loop, the last first; in between, note by which slot each value must be there."""
    for eqn in reversed(eqns):
        if is_sync(eqn):
            yield eqn
            continue
        slots = [needed[v] for v in eqn.outvars if v in needed]
        if slots:
            _need(needed, eqn.invars, min(slots))


def _need(needed: dict[Any, int], atoms: Sequence[Any], slot: int) -> None:
    for v in atoms:
        if not isinstance(v, _jax.Literal) and needed.get(v, slot) >= slot:
            needed[v] = slot


def _walk(eqns: list[Any], ready: dict[Any, int]) -> Iterator[Any]:
    """Yield each exchange or loop; in between, note when each value can be had."""
    for eqn in eqns:
        if is_sync(eqn):
            yield eqn
            continue
        slot = ready_slot(eqn, ready)
        ready.update((v, slot) for v in eqn.outvars)


def ready_slot(eqn: Any, ready: dict[Any, int]) -> int:
    return max((ready[v] for v in eqn.invars if not isinstance(v, _jax.Literal)), default=0)


def _meet(met: Sequence[Any], ready: Sequence[dict[Any, int]]) -> int:
    names = {(e.primitive.name, e.params["name"]) if e is not None else None for e in met}
    if len(names) != 1:
        raise AssertionError(f"the parties meet at different exchanges: {names}")
    return 1 + max(ready_slot(e, r) for e, r in zip(met, ready, strict=True))


def place(
    eqns: list[Any],
    traced: Traced,
    exchanges: dict[Name, int],
    loops: dict[int, tuple[int, Schedule]],
) -> Iterator[tuple[Any, int]]:
    """(equation, segment) for every equation but masks, in order: the segment in which a local equation runs, or whose
    results an exchange or a loop takes. Work waits for its first reader: what came in or goes out is in memory anyway,
    and a segment that makes little else for later is compiled to fewer kernels."""
    last = max([0, *exchanges.values(), *(s for s, _ in loops.values())])
    first_use: dict[Any, int] = {}
    placed: list[tuple[Any, int]] = []

    _need(first_use, (*traced.jaxpr.outvars, *traced.verdicts), last)
    for eqn in reversed(eqns):
        if is_sync(eqn):
            name = eqn.params["name"]
            slot = (exchanges[name] if eqn.primitive.name == "exchange" else loops[name][0]) - 1
            _need(first_use, eqn.invars, slot)
            placed.append((eqn, slot))
            continue
        if eqn.primitive.name == "mask":
            continue
        slot = min(first_use[v] for v in eqn.outvars if v in first_use)
        _need(first_use, eqn.invars, slot)
        placed.append((eqn, slot))
    return iter(placed[::-1])


def mask_table(eqns: list[Any]) -> dict[Any, tuple[MaskName, Any]]:
    """By variable: the name of a mask and its equation."""
    return {e.outvars[0]: ((*e.params["pair"], *e.params["name"]), e) for e in eqns if e.primitive.name == "mask"}


def mask_words(params: dict[str, Any]) -> int:
    """Words of 64 bits that a mask takes from its stream."""
    count = int(np.prod(params["shape"], dtype=np.int64))
    return -(-count * np.dtype(params["dtype"]).itemsize // 8)
