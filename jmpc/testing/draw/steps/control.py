"""Random steps with a function inside: scan, fori_loop, vmap and cond.

What goes in: a `Maker`. What comes out: one step more whose body is a `Block` of its own; it may read values of the
function around it. Loops are tracked iteration by iteration, so that every iteration stays in range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from hypothesis import strategies as st
from jax import lax

from jmpc.testing.draw.forward_error import Noise, Tracked, exact
from jmpc.testing.draw.maker import Block, Maker
from jmpc.testing.draw.steps.elementwise import binary, selection, unary, with_constant
from jmpc.testing.draw.steps.structure import matrix_product

MOST_TRIPS = 4
MOST_BODY_STEPS = 4
INNER = (unary, with_constant, binary, selection, matrix_product)


def function_lines(block: Block, name: str, captured: Sequence[str], params: Sequence[str]) -> list[str]:
    """The definition of a body. captured: names of the values around it that come first."""
    lines, results = block.lines([*captured, *params], f"{name}_")
    returned = ", ".join(results)
    return [f"def {name}({', '.join(params)}):", *(f"    {line}" for line in lines), f"    return {returned}"]


def row(value: Tracked, n: int) -> Tracked:
    return Tracked(np.asarray(value.x[n]), np.asarray(value.error[n]))


def stack(rows: Sequence[Tracked]) -> Tracked:
    x, error = np.stack([r.x for r in rows]), np.stack([r.error for r in rows])
    return Tracked(x, error)


@dataclass(frozen=True)
class Scan:
    """lax.scan: operands are what the body reads from outside, the carry, the rows. The body gives (carry, row)."""

    body: Block
    captured: int
    reverse: bool

    outputs = 2

    def lines(self, names: Sequence[str], outs: Sequence[str]) -> list[str]:
        name, carry = f"step_{outs[0]}", names[self.captured :]
        head = function_lines(self.body, name, names[: self.captured], (f"c_{outs[0]}", f"t_{outs[0]}"))
        turned = ", reverse=True" if self.reverse else ""
        return [*head, f"{outs[0]}, {outs[1]} = jax.lax.scan({name}, {carry[0]}, {carry[1]}{turned})"]

    def apply(self, numpy: Any, *arrays: Any) -> list[Any]:
        outside, (carry, rows) = arrays[: self.captured], arrays[self.captured :]
        step = lambda c, t: tuple(self.body.run(numpy, *outside, c, t))  # noqa: E731
        return list(lax.scan(step, carry, rows, reverse=self.reverse))

    def track(self, noise: Noise, *args: Tracked) -> list[Tracked]:
        outside, (carry, rows) = args[: self.captured], args[self.captured :]
        made = []
        for n in range(rows.shape[0])[:: -1 if self.reverse else 1]:
            carry, out = self.body.track(noise, *outside, carry, row(rows, n))
            made.append(out)
        return [carry, stack(made[::-1] if self.reverse else made)]


@dataclass(frozen=True)
class Fori:
    """lax.fori_loop from 0: operands are what the body reads from outside, and the carry; the body gets the number of
    the iteration as well."""

    body: Block
    captured: int
    trips: int

    outputs = 1

    def lines(self, names: Sequence[str], outs: Sequence[str]) -> list[str]:
        name = f"step_{outs[0]}"
        head = function_lines(self.body, name, names[: self.captured], (f"i_{outs[0]}", f"c_{outs[0]}"))
        return [*head, f"{outs[0]} = jax.lax.fori_loop(0, {self.trips}, {name}, {names[-1]})"]

    def apply(self, numpy: Any, *arrays: Any) -> list[Any]:
        outside = arrays[: self.captured]
        return [lax.fori_loop(0, self.trips, lambda i, c: self.body.run(numpy, *outside, i, c)[0], arrays[-1])]

    def track(self, noise: Noise, *args: Tracked) -> list[Tracked]:
        outside, carry = args[: self.captured], args[-1]
        for n in range(self.trips):
            (carry,) = self.body.track(noise, *outside, exact(np.int64(n)), carry)
        return [carry]


@dataclass(frozen=True)
class Map:
    """jax.vmap of a body over rows: operands are what it reads from outside, and the rows."""

    body: Block
    captured: int

    outputs = 1

    def lines(self, names: Sequence[str], outs: Sequence[str]) -> list[str]:
        name = f"each_{outs[0]}"
        head = function_lines(self.body, name, names[: self.captured], (f"t_{outs[0]}",))
        return [*head, f"{outs[0]} = jax.vmap({name})({names[-1]})"]

    def apply(self, numpy: Any, *arrays: Any) -> list[Any]:
        outside = arrays[: self.captured]
        return [jax.vmap(lambda t: self.body.run(numpy, *outside, t)[0])(arrays[-1])]

    def track(self, noise: Noise, *args: Tracked) -> list[Tracked]:
        outside, rows = args[: self.captured], args[-1]
        return [stack([self.body.track(noise, *outside, row(rows, n))[0] for n in range(rows.shape[0])])]


@dataclass(frozen=True)
class Cond:
    """lax.cond: operands are what the branches read from outside, the predicate, the operand of both."""

    yes: Block
    no: Block
    captured: tuple[int, int]

    outputs = 1

    def _outside(self, all_of: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        first, second = self.captured
        return all_of[:first], all_of[first : first + second]

    def lines(self, names: Sequence[str], outs: Sequence[str]) -> list[str]:
        yes, no = self._outside(names)
        text = function_lines(self.yes, f"yes_{outs[0]}", yes, (f"c_{outs[0]}",))
        text += function_lines(self.no, f"no_{outs[0]}", no, (f"c_{outs[0]}",))
        call = f"jax.lax.cond({names[-2]}, yes_{outs[0]}, no_{outs[0]}, {names[-1]})"
        return [*text, f"{outs[0]} = {call}"]

    def apply(self, numpy: Any, *arrays: Any) -> list[Any]:
        yes, no = self._outside(arrays)
        branches = (lambda c: self.yes.run(numpy, *yes, c)[0], lambda c: self.no.run(numpy, *no, c)[0])
        return [lax.cond(arrays[-2], *branches, arrays[-1])]

    def track(self, noise: Noise, *args: Tracked) -> list[Tracked]:
        yes, no = self._outside(args)
        one, two = self.yes.track(noise, *yes, args[-1])[0], self.no.track(noise, *no, args[-1])[0]
        taken = one if args[-2].x else two
        gap = np.abs(one.x.astype(float) - two.x.astype(float)) + one.error + two.error
        return [Tracked(taken.x, np.where(args[-2].error > 0, gap, taken.error))]


# --- steps


def _body(maker: Maker, params: Sequence[Tracked]) -> tuple[Maker, list[int]]:
    """A maker inside: it knows up to two values from outside, then `params`. Also their numbers outside."""
    found = maker.numbers("fib")
    captured = maker.draw(st.lists(st.sampled_from(found), max_size=2, unique=True))
    inner = Maker(maker.config, maker.draw, [*(maker.values[n] for n in captured), *params], maker.cap)
    for step in maker.draw(st.lists(st.sampled_from(INNER), min_size=1, max_size=MOST_BODY_STEPS)):
        step(inner)
    return inner, captured


def _like(inner: Maker, value: Tracked) -> int:
    """A value of the same shape and kind, the last one first."""
    found = inner.pick(value.kind, lambda v: v.shape == value.shape)
    assert found is not None, "the parameter itself is one"
    return found


def scan(maker: Maker) -> None:
    start = maker.pick("fib")
    rows = maker.pick("fib", lambda v: len(v.shape) > 0 and 0 < v.shape[0] <= MOST_TRIPS)
    if start is None or rows is None:
        return
    carry, stacked = maker.values[start], maker.values[rows]
    inner, captured = _body(maker, [carry, row(stacked, 0)])
    body = inner.block(_like(inner, carry), inner.pick("fib") or 0)
    maker.add(Scan(body, len(captured), maker.choose(False, True)), *captured, start, rows)


def fori(maker: Maker) -> None:
    start = maker.pick("fib")
    if start is not None:
        carry = maker.values[start]
        inner, captured = _body(maker, [exact(np.int64(0)), carry])
        body = inner.block(_like(inner, carry))
        maker.add(Fori(body, len(captured), maker.draw(st.integers(1, MOST_TRIPS))), *captured, start)


def mapped(maker: Maker) -> None:
    rows = maker.pick("fib", lambda v: len(v.shape) > 0 and 0 < v.shape[0] <= MOST_TRIPS)
    if rows is not None:
        inner, captured = _body(maker, [row(maker.values[rows], 0)])
        maker.add(Map(inner.block(inner.pick("fib") or 0), len(captured)), *captured, rows)


def branch(maker: Maker) -> None:
    """On a scalar bool that is an argument of the program."""
    operand = maker.pick("fib")
    if operand is None or not maker.predicates:
        return
    value = maker.values[operand]
    one, first = _body(maker, [value])
    two, second = _body(maker, [value])
    blocks = one.block(_like(one, value)), two.block(_like(two, value))
    predicate = maker.draw(st.sampled_from(maker.predicates))
    maker.add(Cond(*blocks, (len(first), len(second))), *first, *second, predicate, operand)
