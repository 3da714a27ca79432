"""One protocol, run by itself at three simulated parties: its results, and what it sent and drew.

What goes in: a registered protocol by name, or a function written as one; types, values, attributes. What comes out:
a `Ran`. Not here: what the results should be, and what the costs (`protocol_check.py`).

    ran = run_protocol("and", [secret_bits((64,))] * 2, [x, y])
    ran.results, ran.cost, ran.mask_words
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmpc import _jax, families
from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.families.protocol import Cost
from jmpc.ir.types import ARITH, BITS, Type
from jmpc.party.cost import counted
from jmpc.party.exchange import Party
from jmpc.party.program import Traced, flatten, unflatten
from jmpc.party.protocol_line import words_for_errors
from jmpc.ring.element import Ring
from jmpc.testing.build import one_op
from jmpc.testing.simulator.lockstep import Masks, Report, run_traced, traces
from jmpc.testing.simulator.shares import hold, worth

Array = np.ndarray
Words = tuple[int, ...]  # by pair of parties, in the order of `families.pairs`
Function = Callable[..., Any]  # (me, held inputs, types of the inputs, attributes) -> held results
ResultTypes = Sequence[Type] | Callable[[Sequence[Type], Mapping[str, Any]], Sequence[Type]]


@dataclass(frozen=True)
class Prepared:
    """made: the program of each party.  results: types of what they give."""

    made: list[Traced]
    results: list[Type]


@dataclass(frozen=True)
class Ran:
    """results: signed integers, or bools. cost: rounds, and bytes by party, as counted; compiled_cost: as the compiler
    has them. mask_words: words of 64 bits drawn from the key of each pair of parties; scheduled_words: those that the
    compiler sets aside. report: every message."""

    results: list[Array]
    cost: Cost
    compiled_cost: Cost
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
    protocols: Mapping[str, Any] | None = None,
) -> Ran:
    """Share the values, run the protocol, open its results.

    protocol: the name of an op in `protocols`, or a function (me, held, types, attrs). values: integers in units of
    2^-scale, or bools, of the shapes of `types`. results: the types of a function's results, or a function of (types,
    attrs) that gives them; by default one, like the first input, in replicated form. seed: of shares and masks.
    Raises AssertionError where the parties do not fit together: different exchanges, a message that nobody takes, two
    copies of a share that differ.
    """
    config = config or Config()
    found = prepared(protocol, types, attrs or {}, results=results, config=config, protocols=protocols)
    return run_prepared(found, types, values, config, seed)


def prepared(
    protocol: str | Function,
    types: Sequence[Type],
    attrs: Mapping[str, Any],
    *,
    results: ResultTypes | None = None,
    config: Config,
    protocols: Mapping[str, Any] | None = None,
) -> Prepared:
    """The party programs for operands of these types. Raises ProgramError where the protocol itself fails, or does not
    return what its result types say."""
    with words_for_errors(protocol if isinstance(protocol, str) else getattr(protocol, "__name__", "the protocol")):
        if isinstance(protocol, str):
            program = one_op(protocol, types, config, **attrs)
            return Prepared(traces(program, protocols), [v.type for v in program.body.results])
        types_out = _result_types(results, types, attrs)
        parties = range(families.of(config).parties)
        return Prepared([_traced(protocol, p, types, attrs, types_out, config) for p in parties], types_out)


def run_prepared(found: Prepared, types: Sequence[Type], values: Sequence[Any], config: Config, seed: int) -> Ran:
    """One run. seed: of shares and masks."""
    made, types_out = found.made, found.results
    rng, ring, family = np.random.default_rng(seed), Ring(config.k), families.of(config)
    held = [hold(np.asarray(x), t, ring, rng, (), family) for x, t in zip(values, types, strict=True)]
    masks = Masks(rng)
    flat, report = run_traced(made, held, masks)
    opened = _opened(flat, types_out, config)
    compiled = counted(made)
    words = drawn_words(masks, len(made))
    return Ran(opened, report.cost, compiled.cost, words, compiled.mask_words, report)


def _result_types(results: ResultTypes | None, types: Sequence[Type], attrs: Mapping[str, Any]) -> list[Type]:
    if results is None:
        return [types[0].with_(form=BITS if types[0].packed else ARITH)]
    return list(results(types, attrs) if callable(results) else results)


def _traced(
    function: Function, party: int, types: Sequence[Type], attrs: Any, results: Sequence[Type], config: Config
) -> Traced:
    """The program of one party, as `party/program.py` makes it of one op."""
    family, ring = families.of(config), Ring(config.k)
    specs = [family.specs(t, ring, party) for t in types]
    me = family.view(Party(party, ring, "native"))

    def run(*arrays: Any) -> list[Any]:
        out = function(me, unflatten(list(arrays), specs), types, attrs)
        return [me.staged(a) for a in flatten([out] if len(results) == 1 else list(out))]

    with _jax.x64():
        flat = [_jax.aval(shape, dtype) for group in specs for shape, dtype in group]
        jaxpr, consts = _jax.closed(_jax.make_jaxpr(run, *flat))
    found = [(tuple(v.aval.shape), np.dtype(v.aval.dtype)) for v in jaxpr.outvars]
    wanted = [(tuple(shape), np.dtype(dtype)) for t in results for shape, dtype in family.specs(t, ring, party)]
    if found != wanted:
        raise ProgramError(
            f"{getattr(function, '__name__', 'the protocol')}: party {party} returns {_arrays(found)}",
            why=f"by the types of its results it holds {_arrays(wanted)}",
            todo="state the types with results=, or return what their forms say",
        )
    return Traced(jaxpr, consts, party, family.parties, (("protocol", ""), ("output", "")))


def _arrays(specs: Sequence[Any]) -> str:
    return ", ".join(f"{dtype.name}[{','.join(map(str, shape))}]" for shape, dtype in specs) or "nothing"


def _opened(flat: Sequence[Sequence[Array]], types: Sequence[Type], config: Config) -> list[Array]:
    family, found, at = families.of(config), [], [0] * len(flat)
    for t in types:
        widths = [len(mine) for mine in family.form(t).holds]
        parts = [list(f[start : start + width]) for f, start, width in zip(flat, at, widths, strict=True)]
        found.append(worth(parts, t, Ring(config.k), family))
        at = [start + width for start, width in zip(at, widths, strict=True)]
    return found


def drawn_words(masks: Masks, parties: int) -> Words:
    """Words of 64 bits by pair, as drawn; a mask takes whole words."""
    count: Counter[tuple[int, int]] = Counter()
    for (_, pair, _), array in masks.drawn.items():
        count[pair] += -(-array.nbytes // 8)
    return by_pair(count, parties)


def by_pair(count: Mapping[tuple[int, int], int], parties: int) -> Words:
    return tuple(count.get(pair, 0) for pair in families.pairs(parties))
