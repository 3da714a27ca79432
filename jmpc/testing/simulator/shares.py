"""What the parties hold of a value, and what their shares are worth. On the host, in NumPy.

What goes in: an array and its type. What comes out: a list by party of the arrays that the party holds, or back. A
value is shared by the function that shares those of users (`families/sharing.py`), with words of the given generator.

    held = hold(np.array([3, -5]), number((2,), 4), Ring(64), np.random.default_rng(0))
    held[0]                                          # party 0: (x_0, x_1)
    worth(held, number((2,), 4), Ring(64))           # array([ 3, -5])
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmpc.families import sharing
from jmpc.families.family import Family
from jmpc.families.replicated3 import ABY3
from jmpc.families.sharing import Draw
from jmpc.ir.types import ARITH, MASK, PLACES, PLAIN, SUM3, Type
from jmpc.ring.element import Ring

Array = np.ndarray
Held = list[Array]
NOISY = (ARITH, MASK, SUM3)


def hold(
    x: Array, t: Type, ring: Ring, rng: np.random.Generator, runs: tuple[int, ...] = (), family: Family = ABY3
) -> list[Held]:
    """What each party holds of `x`, shared anew for each of `runs`. Bits above k are noise where a protocol must not
    rely on them."""
    form = family.form(t)
    if t.form == PLAIN:
        return [[np.broadcast_to(_elements(x, ring), (*runs, *t.shape))] for _ in form.holds]
    if t.packed:
        return sharing.share_bits(x, form, drawn_from(rng, runs))
    ring = form.ring(t, ring)
    with np.errstate(over="ignore"):
        held = sharing.share_numbers(_elements(x, ring), form, ring, drawn_from(rng, runs))
    return _noisy(held, ring, rng) if t.form in NOISY else held


def drawn_from(rng: np.random.Generator, runs: tuple[int, ...] = ()) -> Draw[Array]:
    """Words of a generator, for each of `runs`."""

    def draw(shape: tuple[int, ...], dtype: np.dtype) -> Array:
        return rng.integers(0, 1 << (8 * dtype.itemsize), (*runs, *shape), dtype)

    return draw


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


def worth(held: Sequence[Held], t: Type, ring: Ring, family: Family = ABY3) -> Array:
    """The value that the parties hold, as signed integers or bools. Copies must be equal: raises AssertionError."""
    try:
        summands = sharing.summands_of(held, family.form(t))
    except ValueError as error:
        raise AssertionError(str(error)) from None
    return opened(summands, t, ring, family)


def opened(summands: Sequence[Array], t: Type, ring: Ring, family: Family = ABY3) -> Array:
    """What summands are worth: numbers as signed integers, places as they count."""
    ring = family.form(t).ring(t, ring)
    with np.errstate(over="ignore"):
        found = sharing.opened(summands, t, ring)
    if t.packed:
        return found
    return found.astype(np.int64) if t.form == PLACES else ring.to_int(found)
