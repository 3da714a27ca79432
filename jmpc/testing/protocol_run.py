"""One protocol, run by itself at three simulated parties: its results, and what it sent and drew.

What goes in: a registered protocol by name, or a function written as one; types, values, attributes. What comes out:
a `Ran`. Not here: what the results should be, and what the costs (`protocol_check.py`).

    ran = run_protocol("and", [secret_bits((64,))] * 2, [x, y])
    ran.results, ran.cost, ran.mask_words
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmpc import _jax
from jmpc.config import Config
from jmpc.ir.types import ARITH, BITS, Type
from jmpc.party.exchange import Party
from jmpc.party.program import Traced, flatten, held_specs, unflatten
from jmpc.party.schedule import Schedule, schedule
from jmpc.protocols.registry import PROTOCOLS, Cost
from jmpc.ring.element import Ring
from jmpc.testing.build import one_op
from jmpc.testing.shares import hold, worth
from jmpc.testing.simulate import Masks, Report, run_traced, traces

Array = np.ndarray
Words = tuple[int, int, int]
Function = Callable[..., Any]  # (me, held inputs, types of the inputs, attributes) -> held results
ResultTypes = Sequence[Type] | Callable[[Sequence[Type], Mapping[str, Any]], Sequence[Type]]


@dataclass(frozen=True)
class Ran:
    """results: signed integers, or bools. cost: rounds, and bytes by party, as counted. mask_words: words of 64 bits
    drawn from the key of parties 0 and 1, 1 and 2, 2 and 0; scheduled_words: those that the compiler sets aside.
    report: every message."""

    results: list[Array]
    cost: Cost
    mask_words: Words
    scheduled_words: Words
    report: Report


def run_protocol(
    protocol: str | Function,
    types: Sequence[Type],
    values: Sequence[Any],
    attrs: Mapping[str, Any] | None = None,
    *,
    results: ResultTypes | None = None,
    config: Config | None = None,
    seed: int = 0,
    protocols: Mapping[str, Any] = PROTOCOLS,
) -> Ran:
    """Share the values, run the protocol, open its results.

    protocol: the name of an op in `protocols`, or a function (me, held, types, attrs). values: integers in units of
    2^-scale, or bools, of the shapes of `types`. results: the types of a function's results, or a function of (types,
    attrs) that gives them; by default one, like the first input, in replicated form. seed: of shares and masks.
    Raises AssertionError where the parties do not fit together: different exchanges, a message that nobody takes, two
    copies of a share that differ.
    """
    config, attrs = config or Config(), dict(attrs or {})
    if isinstance(protocol, str):
        program = one_op(protocol, types, config, **attrs)
        made, types_out = traces(program, protocols), [v.type for v in program.body.results]
    else:
        types_out = _result_types(results, types, attrs)
        made = [_traced(protocol, party, types, attrs, types_out, Ring(config.k)) for party in range(3)]
    ring, rng = Ring(config.k), np.random.default_rng(seed)
    held = [hold(np.asarray(x), t, ring, rng) for x, t in zip(values, types, strict=True)]
    masks = Masks(rng)
    flat, report = run_traced(made, held, masks)
    opened = _opened(flat, types_out, ring)
    return Ran(opened, report.cost, drawn_words(masks), scheduled_words(schedule(made)), report)


def _result_types(results: ResultTypes | None, types: Sequence[Type], attrs: Mapping[str, Any]) -> list[Type]:
    if results is None:
        return [types[0].with_(form=BITS if types[0].packed else ARITH)]
    return list(results(types, attrs) if callable(results) else results)


def _traced(
    function: Function, party: int, types: Sequence[Type], attrs: Any, results: Sequence[Type], ring: Ring
) -> Traced:
    """The program of one party, as `party/program.py` makes it of one op."""
    specs = [held_specs(t, ring) for t in types]
    me: Any = Party(party, ring)
    me.product_form = "native"

    def run(*arrays: Any) -> list[Any]:
        out = function(me, unflatten(list(arrays), specs), types, attrs)
        return [me.staged(a) for a in flatten([out] if len(results) == 1 else list(out))]

    with _jax.x64():
        flat = [_jax.aval(shape, dtype) for group in specs for shape, dtype in group]
        jaxpr, consts = _jax.closed(_jax.make_jaxpr(run, *flat))
    return Traced(jaxpr, consts, party, (("protocol", ""), ("output", "")))


def _opened(flat: Sequence[Sequence[Array]], types: Sequence[Type], ring: Ring) -> list[Array]:
    at, found = 0, []
    for t in types:
        width = len(held_specs(t, ring))
        found.append(worth([list(f[at : at + width]) for f in flat], t, ring))
        at += width
    return found


def drawn_words(masks: Masks) -> Words:
    """Words of 64 bits by pair, as drawn; a mask takes whole words."""
    count = [0, 0, 0]
    for (_, pair, _), array in masks.drawn.items():
        count[pair] += -(-array.nbytes // 8)
    return count[0], count[1], count[2]


def scheduled_words(found: Schedule) -> Words:
    """Words by pair that the schedule of one op sets aside."""
    count = [0, 0, 0]
    for (pair, _, _), (_, words) in found.masks.items():
        count[pair] += words
    return count[0], count[1], count[2]
