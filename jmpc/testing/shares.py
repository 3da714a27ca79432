"""What three parties hold of a value, and what their shares are worth. On the host, in NumPy.

What goes in: an array and its type. What comes out: a list by party of the arrays that the party holds, or back.

    held = hold(np.array([3, -5]), number((2,), 4), Ring(64), np.random.default_rng(0))
    held[0]                                          # party 0: (x_0, x_1)
    worth(held, number((2,), 4), Ring(64))           # array([ 3, -5])
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmpc.ir.types import ARITH, BITS, PLAIN, SPLIT, Type
from jmpc.ring.bits import pack_host, unpack_host
from jmpc.ring.element import Ring

Array = np.ndarray
Held = list[Array]


def hold(x: Array, t: Type, ring: Ring, rng: np.random.Generator, runs: tuple[int, ...] = ()) -> list[Held]:
    """What each party holds of `x`, shared anew for each of `runs`. Bits above k are noise where a protocol must not
    rely on them."""
    if t.form == PLAIN:
        return [[np.broadcast_to(_elements(x, ring), (*runs, *t.shape))] for _ in range(3)]
    if t.form == BITS:
        word = pack_host(np.asarray(x, bool))
        a, b = (rng.integers(0, 1 << 64, (*runs, *word.shape), np.uint64) for _ in range(2))
        return _pairs([a, b, word ^ a ^ b])
    with np.errstate(over="ignore"):
        a, b = (rng.integers(0, 1 << ring.storage_bits, (*runs, *x.shape), ring.dtype) for _ in range(2))
        c = np.asarray(_elements(x, ring) - a - b, ring.dtype)
    if t.form == ARITH:
        return _pairs([a, b, c])
    if t.form == SPLIT:
        with np.errstate(over="ignore"):
            return [[ring.reduce_host(a)], [ring.reduce_host(a)], [ring.reduce_host(np.asarray(b + c, ring.dtype))]]
    return [[a], [b], [c]]


def _elements(x: Array, ring: Ring) -> Array:
    return x if x.dtype == ring.dtype else ring.from_int(np.asarray(x).astype(np.int64))


def _pairs(summands: list[Array]) -> list[Held]:
    return [[summands[p], summands[(p + 1) % 3]] for p in range(3)]


def worth(held: Sequence[Held], t: Type, ring: Ring) -> Array:
    """The value that three parties hold, as signed integers or bools. The copies of a component must be equal."""
    if t.form == PLAIN:
        return ring.to_int(_equal(*(h[0] for h in held)))
    if t.form in (ARITH, BITS):
        summands = [_equal(held[p][0], held[p - 1][1]) for p in range(3)]
    elif t.form == SPLIT:
        summands = [_equal(held[0][0], held[1][0]), held[2][0]]
    else:
        summands = [h[0] for h in held]
    return opened(summands, t, ring)


def opened(summands: Sequence[Array], t: Type, ring: Ring) -> Array:
    if t.form == BITS:
        return unpack_host(np.bitwise_xor.reduce(summands), t.shape)
    return ring.to_int(ring.reduce_host(np.add.reduce(summands, dtype=ring.dtype)))


def _equal(first: Array, *others: Array) -> Array:
    for other in others:
        np.testing.assert_array_equal(first, other)
    return first
