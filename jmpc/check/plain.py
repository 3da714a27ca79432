"""The user's function in plain JAX, equation by equation: what every noted value and every result should be.

What goes in: a jaxpr, the call's arrays, and the record of how the front end went through the jaxpr. What comes out:
what each note met, in the order of the equations, and the flat results. Loops run step by step, and of a choice the
branch that is taken, so that what happens inside is met too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jmpc import _jax, _typed, families
from jmpc.config import Config
from jmpc.families import sharing
from jmpc.frontend import kinds
from jmpc.frontend.effects import acts
from jmpc.frontend.notes import Chosen, Note, Noted, Record, Repeated
from jmpc.handle import SecretArray
from jmpc.ir.types import BITS, Type
from jmpc.ring import fixed
from jmpc.ring.element import Ring


@dataclass(eq=False)
class Met:
    """What a noted value should be. value: None inside loops and branches.  most: the largest magnitude in it, over
    all steps, of elements that are numbers: not infinite, not NaN, and no stand-in for a constant beyond the format."""

    note: Note
    value: np.ndarray | None = field(repr=False)
    most: float = 0.0


@dataclass(frozen=True)
class Plain:
    """met: of each note.  results: flat."""

    met: list[Met]
    results: list[Any] = field(repr=False)


def plain_run(lowered: Any, call: Any) -> Plain:
    config = lowered.traced.secured.config
    arrays = [_argument(leaf, array) for leaf, array in zip(call.leaves, call.arrays(), strict=True)]
    jaxpr, consts = _jax.closed(lowered.traced.jaxpr)
    run = _Run(config)
    results = run.record(jaxpr, consts, arrays, lowered.flow.frontier.record, top=True)
    return Plain(list(run.met.values()), results)


def numbers(elements: Any, t: Type, config: Config, dtype: Any = np.float64) -> np.ndarray:
    """What ring elements stand for. dtype: of the plain value; a secret integer may have left it, and its low bits
    count."""
    if t.form == BITS:
        return np.asarray(elements)
    whole = np.dtype(dtype).kind in "iu"
    return fixed.decode(elements, t.scale, Ring(config.k), np.dtype(dtype if whole else np.float64))


def opened(handle: SecretArray) -> np.ndarray:
    """The value of a handle, which this process can tell since it simulates the parties."""
    t, config = handle.type, handle.config
    elements = sharing.opened(
        sharing.summands_of(handle.kept.pieces, families.of(config).forms[t.form]), t, Ring(config.k)
    )
    return numbers(elements, t, config, handle.dtype)


def _argument(leaf: Any, array: Any) -> Any:
    return _typed.asarray(array if leaf.stored is None else opened(leaf.value).astype(leaf.dtype))


class _Run:
    """One run. met: by note, in the order in which they were first met."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.met: dict[Note, Met] = {}

    def record(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], record: Record, top: bool) -> list[Any]:
        """The results of a jaxpr that was walked as the record says. top: it is not inside a loop or a branch."""
        return self._walk(jaxpr, consts, args, (iter(record.notes), iter(record.decisions)), top)

    def _walk(
        self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any],
        along: tuple[Iterator[Note], Iterator[Noted | None]], top: bool,
    ) -> list[Any]:  # fmt: skip
        env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))
        notes, decisions = along
        for eqn in jaxpr.eqns:
            values = [_jax.read(env, a) for a in eqn.invars]
            decision = next(decisions)
            if decision is None:
                body, body_consts = _body(eqn, values)
                outs = self._walk(body, body_consts, values[len(values) - len(body.invars) :], along, top)
            else:
                outs = _jax.bind(eqn, *values)
                if not acts(eqn):  # a print is not repeated
                    self._inside(eqn, decision.inside, values)
                for n in decision.results:
                    self._meet(next(notes), np.asarray(outs[n]), top)
            env.update(zip(eqn.outvars, outs, strict=True))
        return [_jax.read(env, a) for a in jaxpr.outvars]

    def _inside(self, eqn: Any, inside: Repeated | Chosen | None, values: list[Any]) -> None:
        if isinstance(inside, Chosen):
            n = _case(eqn, values[0])
            self.record(*_jax.closed(eqn.params["branches"][n]), values[1:], inside.branches[n], top=False)
        elif inside is not None:
            loop, args = inside.body, [values[n] for n in inside.operands]
            last = loop.consts + loop.carry
            carry, slices = args[loop.consts : last], args[last:]
            steps = range(loop.length)
            for step in reversed(steps) if loop.reverse else steps:
                given = [*args[: loop.consts], *carry, *(x[step] for x in slices)]
                carry = self.record(loop.jaxpr, loop.body_consts, given, inside.record, top=False)[: loop.carry]

    def _meet(self, note: Note, value: np.ndarray, top: bool) -> None:
        met = self.met.setdefault(note, Met(note, value if top else None))
        sizes = np.abs(value.astype(np.float64))
        counted = np.isfinite(sizes) & ((sizes <= kinds.most(self.config)) | (not note.constant))
        met.most = max(met.most, float(np.max(sizes, initial=0.0, where=counted)))


def _case(eqn: Any, index: Any) -> int:
    return int(np.clip(int(index), 0, len(eqn.params["branches"]) - 1))


def _body(eqn: Any, values: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    if eqn.primitive.name == "cond":
        return _jax.closed(eqn.params["branches"][_case(eqn, values[0])])
    body = _jax.body_of(eqn)
    assert body is not None
    return _jax.closed(body)
