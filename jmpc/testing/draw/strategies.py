"""What to draw in a property of secure code: numbers, shapes, shares, pytrees, programs. Hypothesis strategies.

What goes in: what is fixed (a ring, a bound, a shape, a value). What comes out: strategies whose examples shrink.

    @given(x=fixed_point(Config(), bound=8, shape=(3, 4)))
    def test_relu(x): assert_secure_close(jax.nn.relu, x.astype("float32"))

Not here: how a random program is made (`jax_programs.py`, `ir_programs.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.ir.types import Type
from jmpc.ring.element import Ring
from jmpc.testing.draw.elements import bit_arrays, edges, fixed_point, ring_arrays, ring_elements
from jmpc.testing.draw.ir_programs import programs as ir_programs
from jmpc.testing.draw.ir_programs import share_programs
from jmpc.testing.draw.jax_programs import programs
from jmpc.testing.simulator.shares import Held, hold

Array = np.ndarray
Shape = tuple[int, ...]

FEW = (1, 2, 3)
WORDS = (63, 64, 65, 128, 129, 192)  # where packed bits fill a word or begin the next one


@st.composite
def shapes(draw: st.DrawFn, most: int = 1 << 10, empty: bool = True, most_rank: int = 4) -> Shape:
    """Shapes of up to `most` elements and `most_rank` axes: of any size, and often of 1 or 2 elements, of whole words
    of bits, and of one element more or less. empty: also some without elements. They shrink to few elements and axes.

    Where each example is compiled by XLA, a new shape costs a compilation: draw few examples, or from a few shapes.
    """
    rank = draw(st.integers(0, most_rank))
    if rank == 0:
        return ()
    near = [[n for n in sizes if n <= most] for sizes in ((*FEW, 0) if empty else FEW, WORDS)]
    size = draw(st.one_of(st.integers(0 if empty else 1, most), *(st.sampled_from(sizes) for sizes in near if sizes)))
    if size == 0:
        sides = draw(st.lists(st.integers(1, 4), min_size=rank - 1, max_size=rank - 1))
        sides.insert(draw(st.integers(0, rank - 1)), 0)
        return tuple(sides)
    sides = []
    for _ in range(rank - 1):
        sides.append(draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0])))
        size //= sides[-1]
    return (*sides, size)


@st.composite
def broadcast_pairs(draw: Any, most_rank: int = 3, most_side: int = 4) -> tuple[Shape, Shape, Shape]:
    """Two shapes that broadcast together, and the shape of the result. Sides of one axis are equal, or one is 1;
    leading axes may be missing from either shape."""
    result = tuple(draw(st.lists(st.integers(1, most_side), max_size=most_rank)))

    def one() -> Shape:
        kept = draw(st.integers(0, len(result)))
        return tuple(draw(st.sampled_from((1, n))) for n in result[kept:])

    first, second = one(), one()
    return first, second, np.broadcast_shapes(first, second)


class _Summands:
    """Draws summands as `hold` asks for them: random from a seed, or all zeros, or all ones."""

    def __init__(self, kinds: list[str], seed: int) -> None:
        self.kinds, self.rng = iter(kinds), np.random.default_rng(seed)

    def integers(self, low: int, high: int, shape: Shape, dtype: Any) -> Array:
        kind = next(self.kinds)
        if kind == "random":
            return self.rng.integers(low, high, shape, dtype)
        return np.full(shape, 0 if kind == "zeros" else high - 1, dtype)


@st.composite
def shares_of(draw: Any, value: Any, t: Type, config: Config | None = None) -> list[Held]:
    """What parties 0, 1 and 2 hold of `value`: a list by party of arrays, as a party program takes them.

    value: integers in units of 2^-scale, or bools for a type of form "bits", of the shape of `t`. t: any of the forms
    "arith" (two summands a party), "bits" (two arrays of packed words), "sum3" (one summand a party), "split" (one
    array: C, C and R), "plain". config: says the ring. Summands are random, or all zeros, or all ones.
    Raises ValueError where the shape is not that of the type.
    """
    array = np.asarray(value)
    if array.shape != t.shape:
        raise ValueError(f"a value of shape {array.shape} for a type of shape {t.shape}")
    ring = Ring((config or Config()).k)
    kinds = draw(st.lists(st.sampled_from(("random", "random", "zeros", "ones")), min_size=2, max_size=2))
    made = _Summands(kinds, draw(st.integers(0, 1 << 32)))
    return hold(array.astype(bool) if t.packed else array, t, ring, made)  # pyright: ignore[reportArgumentType]


@st.composite
def pytrees_of_secrets(
    draw: Any, config: Config | None = None, bound: float = 8.0, leaf: st.SearchStrategy[Array] | None = None
) -> Any:
    """Nested tuples, lists and dicts with string keys, whose leaves are float32, int32 and bool arrays of magnitude at
    most `bound`: arguments of a secure function. leaf: draws other leaves."""
    leaf = _leaves(config or Config(), bound) if leaf is None else leaf

    def nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        few = st.lists(children, min_size=1, max_size=3)
        keys = st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)
        dicts = keys.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, children)))
        return st.one_of(few, few.map(tuple), dicts)

    return draw(st.recursive(leaf, nested, max_leaves=5))


@st.composite
def _leaves(draw: Any, config: Config, bound: float) -> Array:
    shape = draw(st.sampled_from(((), (3,), (2, 3))))
    kinds: dict[str, Callable[[], Any]] = {
        "float32": lambda: draw(fixed_point(config, bound, min(config.f, 12), shape)).astype(np.float32),
        "int32": lambda: np.asarray(draw(fixed_point(config, bound, 0, shape)), np.int32),
        "bool": lambda: draw(bit_arrays(shape)),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]()


__all__ = [
    "bit_arrays", "broadcast_pairs", "edges", "fixed_point", "ir_programs", "programs", "pytrees_of_secrets",
    "ring_arrays", "ring_elements", "shapes", "share_programs", "shares_of",
]  # fmt: skip
