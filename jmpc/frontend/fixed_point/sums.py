"""Sums that are a step on the way to something smaller: a mean of numbers of the format is one, their sum need not be.

What goes in: a sum that was emitted, or terms. What comes out: the same sum as a `wide` one, whose bound is that of all
its terms together, cut by as many low bits as the ring asks for. Terms are summed in blocks first, so that few numbers
are cut; terms that fill the ring by themselves are cut one by one.
"""

from __future__ import annotations

import math
from typing import Any

from jmpc.errors import BoundError
from jmpc.frontend.facts import Fact
from jmpc.frontend.walk import Walker
from jmpc.ir import ops
from jmpc.ir.program import Op, Value
from jmpc.ir.types import ASSUMED, FIXED

SUMS = ("reduce_sum", "window_sum", "cumsum")
MOVES = ("reshape", "broadcast", "transpose")
PLAIN_SUM: Fact[Op] = Fact("of a wide sum, the sum that it stands for")
LONG = 1024  # products of numbers below 2^8 fit then, whatever they are
LEAST_BLOCK = 4  # log2 of the fewest terms for which blocks are worth their op


def hidden(w: Walker, x: Value) -> Op | None:
    """The sum that x is, moved at most, if its terms together may be more than the number format promises of x."""
    made = w.build.maker(x)
    while made is not None and (made.name in MOVES or (made.name == "bound" and made.inputs[0].type == x.type)):
        made = w.build.maker(made.inputs[0])
    if made is None or made.name not in SUMS or made.output.type.kind != FIXED or made.attrs.get("wide"):
        return None
    return made if _together(made) > made.output.type.limit else None


def _together(made: Op) -> int:
    v = made.inputs[0]
    return v.type.limit * ops.summed(made.name, v.shape, made.output.shape, made.attrs)


def maker(w: Walker, x: Value) -> Op | None:
    """What made x; of a wide sum, the sum that it stands for."""
    return w.facts.of(PLAIN_SUM, x) or w.build.maker(x)


def unrounded(w: Walker, x: Value) -> Op | None:
    """What made x, but for roundings and bounds."""
    made = maker(w, x)
    while made is not None and made.name in ("truncate", "bound"):
        made = maker(w, made.inputs[0])
    return made


def widened(w: Walker, x: Value) -> Value:
    """x, a moved sum, as a wide one."""
    made = w.build.maker(x)
    assert made is not None
    if made.name in SUMS:
        wide = wide_sum(w, made.name, made.inputs[0], made.attrs)
        return w.facts.note(PLAIN_SUM, wide, made)
    inner = widened(w, made.inputs[0])
    return inner if made.name == "bound" else w.emit(made.name, inner, **made.attrs)


def wide_sum(w: Walker, name: str, v: Value, attrs: Any) -> Value:
    """A sum with a bound that holds for all of v. Raises BoundError where v has too few fraction bits to be cut."""
    attrs = {key: value for key, value in attrs.items() if key != "wide"}
    count = ops.summed(name, v.shape, ops.linear_shape(name, [v.type], attrs), attrs)
    block = w.config.k - 2 - v.type.limit.bit_length()
    if not (bits := _excess(w, v.type.limit, count)):
        return w.emit(name, v, **attrs, wide=True)
    if name == "reduce_sum" and block >= LEAST_BLOCK:
        return _by_blocks(w, v, attrs["axes"], 1 << block)
    return w.emit(name, cut(w, v, bits), **attrs, wide=True)


def _excess(w: Walker, limit: int, factor: int) -> int:
    """The fewest bits by which a number of this limit is cut so that `factor` times as much fits the ring."""
    bits = 0
    while ((limit >> bits) + bool(bits)) * factor >= 1 << (w.config.k - 2):
        bits += 1
    return bits


def cut(w: Walker, v: Value, bits: int) -> Value:
    """Without so many of its fraction bits."""
    if bits > v.type.scale:
        raise BoundError(
            f"a sum of numbers with {v.type.scale} fraction bits would have to be cut by {bits} bits",
            where=w.build.loc,
            why=f"all terms together may be too large for a ring of {w.config.k} bits",
            todo="declare a smaller bound with jmpc.bounded, or sum fewer terms at a time",
        )
    return w.emit("truncate", v, bits=bits)


def _by_blocks(w: Walker, v: Value, axes: tuple[int, ...], size: int) -> Value:
    """The sums of blocks of `size` terms, cut, and their sum."""
    kept = tuple(d for d in range(len(v.shape)) if d not in axes)
    shape, count = tuple(v.shape[d] for d in kept), math.prod(v.shape[d] for d in axes)
    v = w.emit("transpose", v, perm=(*kept, *axes)) if (*kept, *axes) != tuple(range(len(v.shape))) else v
    v, blocks = w.emit("reshape", v, shape=(*shape, count)), -(-count // size)
    if blocks * size > count:
        zero = w.emit("const", value=0, shape=(), kind=v.type.kind, scale=v.type.scale)
        v = w.emit("pad", v, zero, config=(*((0, 0, 0) for _ in shape), (0, blocks * size - count, 0)))
    v = w.emit("reshape", v, shape=(*shape, blocks, size))
    last = len(shape)
    part = w.emit("reduce_sum", v, axes=(last + 1,), wide=True)
    return wide_sum(w, "reduce_sum", part, {"axes": (last,)})


def part(w: Walker, x: Value, factor: Value) -> Value:
    """x for a product with a public factor: where x is a sum that may be more than the number format holds, by what is
    assumed or declared of its terms, and the factor makes it smaller, as one over the number of terms does, the wide
    sum, cut to where the product fits."""
    if factor.type.kind != FIXED or factor.type.limit >= 1 << factor.type.scale or not x.type.secret:
        return x
    if hidden(w, x):
        x = widened(w, x)
    elif x.type.origin == ASSUMED:
        _say_what_products_must_keep_to(w, x, factor.type.limit / 2.0**factor.type.scale)
        return x
    bits = _excess(w, x.type.limit, factor.type.limit)
    return cut(w, x, bits) if bits else x


def _say_what_products_must_keep_to(w: Walker, x: Value, factor: float) -> None:
    """Where x is a long sum of products, and the factor makes a mean of it: products are summed with all their bits,
    which leaves the sum no more room than the number format has."""
    made = w.build.maker(x)
    while made is not None and made.name in (*MOVES, "truncate", "bound"):
        made = w.build.maker(made.inputs[0])
    if made is None or made.name != "dot" or x.type.origin != ASSUMED:
        return
    shape, ((axes, _), _) = made.inputs[0].shape, made.attrs["dims"]
    count = math.prod(shape[d] for d in axes)
    if count < LONG or factor > 2 / count:
        return
    most = 2.0**w.config.value_bits / count
    w.shared.warn(
        w.build.loc,
        f"a sum of {count} products, of which this is the mean, is right while the products are below {most:.3g} on "
        f"average (numbers below {math.sqrt(most):.3g}); declare how large the numbers are, jmpc.bounded(x, most), or "
        "sum fewer at a time",
    )
