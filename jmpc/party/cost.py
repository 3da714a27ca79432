"""What a protocol costs by itself, counted in what it is traced to: nothing runs, and no formula is asked.

What goes in: a share-level op, the types of its operands, its attributes, the configuration; or its traces at all
parties. What comes out: a `Counted`. An op is traced as for a program, so that one of a program that was traced is not
traced again (`link.py`). Not here: whole programs, whose rounds overlap (`report.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from jmpc import families
from jmpc.config import Config
from jmpc.families.protocol import Cost, Run
from jmpc.ir import ops
from jmpc.ir.program import Builder, Input, Output, Program, Value
from jmpc.ir.types import Type
from jmpc.party.program import Traced, trace_party
from jmpc.party.schedule import schedule
from jmpc.ring.product import DEFAULT_FORM
from jmpc.roles import Role

Pair = tuple[int, int]


@dataclass(frozen=True)
class Counted:
    """rounds.  sent: (bytes, by receiver) by sender.  mask_words: words of 64 bits drawn from the key of each pair of
    parties, in the order of `families.pairs`."""

    rounds: int
    sent: tuple[tuple[int, ...], ...]
    mask_words: tuple[int, ...]

    @property
    def cost(self) -> Cost:
        """By party."""
        return Cost(self.rounds, tuple(map(sum, self.sent)))


def cost_of(op: str, types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> Counted:
    """What a share-level op costs, by itself, on operands of these types. Raises ProgramError where it cannot take
    them."""
    protocol = families.of(config).protocols.get(op)
    return _cost_of(op, protocol and protocol.run, tuple(types), tuple(sorted(attrs.items())), config)


@lru_cache(maxsize=4096)
def _cost_of(
    op: str, run: Run | None, types: tuple[Type, ...], attrs: tuple[tuple[str, Any], ...], config: Config
) -> Counted:
    """run: the protocol of the op, which may be declared anew."""
    family, program = families.of(config), _alone(op, types, dict(attrs), config)
    return counted([trace_party(program, party, family, DEFAULT_FORM) for party in range(family.parties)])


def _alone(op: str, types: Sequence[Type], attrs: Mapping[str, Any], config: Config) -> Program:
    """A program of one op, whose operands and results are shared: to share and to reveal is no part of its cost."""
    build, params = Builder(), tuple(Value(t) for t in types)
    results = build.emit_many(op, params, ops.infer(op, types, attrs, config), **attrs)
    inputs = tuple(Input(f"x[{n}]", Role.SECRET) for n in range(len(params)))
    outputs = tuple(Output(f"[{n}]", Role.SECRET, "float32") for n in range(len(results)))
    return Program("cost", config, inputs, outputs, build.block(params, results))


def counted(traces: Sequence[Traced]) -> Counted:
    """What the traces of all parties send and draw; they have no loops."""
    found, parties = schedule(traces), len(traces)
    assert not found.loops, "the rounds of a loop are those of its plan"
    sent, rounds = np.zeros((parties, parties), np.int64), set[int]()
    for traced in traces:
        for eqn in traced.live:
            if eqn.primitive.name == "exchange":
                for peer, v in zip(eqn.params["sends"], eqn.invars, strict=True):
                    sent[traced.party, peer] += v.aval.size * v.aval.dtype.itemsize
                    rounds.add(found.exchanges[eqn.params["name"]])
    words = Counter[Pair]()
    for (a, b, _, _), (_, count) in found.masks.items():
        words[a, b] += count
    return Counted(len(rounds), tuple(map(tuple, sent.tolist())), tuple(words[p] for p in families.pairs(parties)))
