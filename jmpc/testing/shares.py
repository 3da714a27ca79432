"""What three parties hold of a value, and what their shares are worth. On the host, in NumPy.

What goes in: an array and its type. What comes out: a list by party of the arrays that the party holds, or back. An
owner's input is shared by the function that shares those of users (`executors/sharing.py`), with words of the given
generator; the other forms follow from what a party holds of it.

    held = hold(np.array([3, -5]), number((2,), 4), Ring(64), np.random.default_rng(0))
    held[0]                                          # party 0: (x_0, x_1)
    worth(held, number((2,), 4), Ring(64))           # array([ 3, -5])
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmpc.executors.sharing import Draw, open_summands, share, share_bits
from jmpc.ir.types import PLACES, PLAIN, SPLIT, SUM3, Type
from jmpc.ring.element import Ring
from jmpc.ring.positions import positions

Array = np.ndarray
Held = list[Array]


def hold(x: Array, t: Type, ring: Ring, rng: np.random.Generator, runs: tuple[int, ...] = ()) -> list[Held]:
    """What each party holds of `x`, shared anew for each of `runs`. Bits above k are noise where a protocol must not
    rely on them."""
    if t.form == PLAIN:
        return [[np.broadcast_to(_elements(x, ring), (*runs, *t.shape))] for _ in range(3)]
    if t.packed:
        return share_bits(x, drawn_from(rng, runs))
    ring = _ring_of(t, ring)
    with np.errstate(over="ignore"):
        held = share(_elements(x, ring), ring, drawn_from(rng, runs))
        if t.form == SPLIT:
            return [[held[0][1]], [held[1][0]], [ring.reduce_host(np.add(*held[2]))]]
    held = held if t.form == PLACES else _noisy(held, ring, rng)
    return [[mine[0]] for mine in held] if t.form == SUM3 else held


def drawn_from(rng: np.random.Generator, runs: tuple[int, ...] = ()) -> Draw:
    """Words of a generator, for each of `runs`."""

    def draw(shape: tuple[int, ...], dtype: np.dtype) -> Array:
        return rng.integers(0, 1 << (8 * dtype.itemsize), (*runs, *shape), dtype)

    return draw


def _ring_of(t: Type, ring: Ring) -> Ring:
    """Places are shared in as many bits as tell them apart."""
    return Ring(min(8 * positions(t.shape[-1]).itemsize, ring.k)) if t.form == PLACES else ring


def _elements(x: Array, ring: Ring) -> Array:
    return x if x.dtype == ring.dtype else ring.from_int(np.asarray(x).astype(np.int64))


def _noisy(held: list[Held], ring: Ring, rng: np.random.Generator) -> list[Held]:
    """With anything above the ring, the same in both copies of an array."""
    if ring.k == ring.storage_bits:
        return held
    made: dict[int, Array] = {}
    for array in (a for mine in held for a in mine):
        if id(array) not in made:
            high = rng.integers(0, 1 << (ring.storage_bits - ring.k), array.shape, ring.dtype)
            made[id(array)] = array | (high << ring.dtype.type(ring.k))
    return [[made[id(a)] for a in mine] for mine in held]


def worth(held: Sequence[Held], t: Type, ring: Ring) -> Array:
    """The value that three parties hold, as signed integers or bools. The copies of a component must be equal."""
    if t.form == PLAIN:
        return ring.to_int(_equal(*(h[0] for h in held)))
    if t.pairs:
        summands = [_equal(held[p][0], held[p - 1][1]) for p in range(3)]
    elif t.form == SPLIT:
        summands = [_equal(held[0][0], held[1][0]), held[2][0], np.zeros_like(held[2][0])]
    else:
        summands = [h[0] for h in held]
    return opened(summands, t, ring)


def opened(summands: Sequence[Array], t: Type, ring: Ring) -> Array:
    """As `open_summands`, numbers as signed integers, and places as they count."""
    with np.errstate(over="ignore"):
        found = open_summands(summands, t, _ring_of(t, ring))
    if t.packed:
        return found
    return found.astype(np.int64) if t.form == PLACES else ring.to_int(found)


def _equal(first: Array, *others: Array) -> Array:
    for other in others:
        np.testing.assert_array_equal(first, other)
    return first
