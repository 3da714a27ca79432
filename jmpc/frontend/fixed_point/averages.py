"""Products with a public number that keep more fraction bits than the number format has: the steps of moving averages.

What goes in: a secret, a number, and how many fraction bits the result should keep (`precision.py`). What comes out:
their product. The bits that are kept leave little room for those of the factor, so a factor near one is taken as one
less a small one, whose rounding then weighs little, and a few bits of a small factor are enough.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jmpc._types import Array
from jmpc.frontend.expand import with_fraction
from jmpc.frontend.fixed_point import squares, sums, unfit
from jmpc.frontend.fixed_point.precision import Bits, average_range
from jmpc.frontend.known import Known
from jmpc.frontend.walk import Walker
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, FIXED

LEAST, MOST = 6, 18  # bits of a factor
PUBLIC = 8  # fraction bits of one that only the call knows


def times(w: Walker, x: Value, number: float, wanted: Bits) -> Value:
    """number * x."""
    if number in (0.0, 1.0):
        return x if number else w.constant(0.0, x.shape, FIXED, x.type.scale)
    made = _times(w, in_range(w, x) if wanted.narrow else x, number, wanted)
    squares.note_scaled(w, made, x, number)
    return made


def _times(w: Walker, x: Value, number: float, wanted: Bits) -> Value:
    if number < 0:
        return w.emit("neg", _times(w, x, -number, wanted))
    if 0.5 < number < 1:
        return _less(w, x, _times(w, x, 1 - number, wanted))
    return _less_than_half(w, x, number, wanted) if number < 1 else _more_than_one(w, x, number, wanted)


def _less(w: Walker, x: Value, part: Value) -> Value:
    """A part of x taken from it leaves no more than there was."""
    free = [w.emit("bound", v, limit=v.type.limit, origin=ASSUMED) for v in _aligned(w, x, part)]
    return w.emit("bound", w.emit("sub", *free), limit=free[0].type.limit, origin=x.type.origin)


def _less_than_half(w: Walker, x: Value, number: float, wanted: Bits) -> Value:
    """In two parts, where the bits of x leave few for the factor: the higher bits of the factor times x, the lower ones
    times x with fewer bits."""
    room = w.config.k - 2 - x.type.limit.bit_length()
    bits = min(room, MOST) if room >= _least(w, wanted) else _least(w, wanted)
    high, low = _in_parts(number, bits)
    made = _part(w, x, high, bits, number, wanted)
    if not low or not wanted.average:
        return made
    rest = _part(w, x, low, 2 * bits, number, wanted)
    return w.emit("add", *_aligned(w, made, rest))


def _least(w: Walker, wanted: Bits) -> int:
    return LEAST if wanted.average else min(MOST, w.config.f)


def _in_parts(number: float, bits: int) -> tuple[float, float]:
    """The number with so many bits, and as many of what is left."""
    unit = 2.0 ** (math.floor(math.log2(number)) + 1 - bits)
    high = round(number / unit) * unit
    return high, round((number - high) / unit * 2.0**bits) * unit * 2.0**-bits


def _part(w: Walker, x: Value, part: float, bits: int, number: float, wanted: Bits) -> Value:
    """part * x, part being a multiple of the last of so many bits of a number."""
    if not part:
        return w.constant(0.0, x.shape, FIXED, x.type.scale)
    scale = min(max(bits - 1 - math.floor(math.log2(number)), 0), w.config.f + MOST)
    spare = max(bits - (w.config.k - 2 - x.type.limit.bit_length()), x.type.scale + scale - (w.config.k - 2))
    x = sums.cut(w, x, spare) if spare > 0 else x
    made = w.emit("mul", x, w.constant(part, x.shape, FIXED, scale))
    return with_fraction(w, made, wanted.by_constant) if made.type.scale > wanted.by_constant else made


def _aligned(w: Walker, *values: Value) -> list[Value]:
    scale = max(v.type.scale for v in values)
    return [w.emit("scale_up", v, bits=scale - v.type.scale) if v.type.scale < scale else v for v in values]


def _more_than_one(w: Walker, x: Value, number: float, wanted: Bits) -> Value:
    """What is multiplied is smaller than what it comes to, which keeps the range."""
    spare = max(0, _least(w, wanted) - 1 - math.floor(math.log2(number)))
    room = w.config.k - 2 - ops.contract(x.type.scale, w.config).bit_length()
    x = sums.cut(w, x, spare - room) if spare > room else x
    scale = max(spare, 0)
    factor = w.constant(round(number * 2.0**scale) / 2.0**scale, x.shape, FIXED, scale)
    made = unfit.product(w, "mul", x, factor)
    return with_fraction(w, made, wanted.by_constant) if made.type.scale > wanted.by_constant else made


def times_public(w: Walker, x: Value, y: Known, wanted: Bits) -> Value:
    """x times a public number that only the call knows: by a power of two first, which needs no fraction bits, so that
    a large number (of a bias correction) does not cost a small x its own."""

    def parted(v: Array) -> list[Array]:
        power = jnp.exp2(jnp.clip(jnp.floor(jnp.log2(jnp.abs(v))), 0, w.config.value_bits - 1))
        return [power, v / power]

    power, rest = (y.scope or w.root).add(parted, [y], [jax.ShapeDtypeStruct(y.shape, y.dtype)] * 2)
    room = w.config.k - 2 - ops.contract(x.type.scale, w.config).bit_length()
    bits = max(PUBLIC if wanted.average else min(MOST, w.config.f), min(room, MOST))
    free = w.emit("bound", x, limit=x.type.limit, origin=ASSUMED)
    large = w.emit("mul", free, w.public(power, 0))
    large = sums.cut(w, large, bits - room) if bits > room else large
    made = w.emit("mul", large, w.public(rest, bits))
    return with_fraction(w, made, wanted.by_constant) if made.type.scale > wanted.by_constant else made


def in_range(w: Walker, x: Value) -> Value:
    """What a moving average on the way to a root must stay below; named, unless a bound shows that it does."""
    bits = average_range(w.config)
    limit = (1 << bits + x.type.scale) - 1
    if x.type.limit <= limit:
        return x
    w.shared.warn(
        w.build.loc,
        f"a moving average on the way to a root keeps {x.type.scale} fraction bits or more: right while what it "
        f"averages stays below {2**bits} (squares: of numbers below {2 ** (bits // 2)}); where you know that it does, "
        f"say so of what is averaged, as of gradients: jmpc.bounded(gradients, {2 ** (bits // 2) - 1})",
    )
    return w.emit("bound", x, limit=limit, origin=ASSUMED)
