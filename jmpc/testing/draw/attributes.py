"""Operands and attributes of an op, drawn for its first operand: of any op that a trait names.

What goes in: an op's name and its first operand. What comes out: operands, and attributes that its rule accepts.
Attributes that say something by themselves are drawn by their name, whatever op has them (`ALONE`); where the
attributes of an op belong together, they are drawn together (`TOGETHER`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import INT
from jmpc.testing.draw.ir_maker import Draw, Maker

Parts = tuple[tuple[Value, ...], dict[str, Any]]
SHAPES = ((), (4,), (2, 4))  # of what is drawn from nothing


def of_op(maker: Maker, draw: Draw, name: str, x: Value | None) -> Parts:
    """Operands, with x as the first, and attributes. Raises KeyError for an attribute that nobody draws."""
    if name in TOGETHER:
        assert x is not None
        return TOGETHER[name](maker, draw, x)
    record = ops.OPS[name]
    attrs = {key: ALONE[key](maker, draw, x) for key in record.attrs if not key.endswith("?")}
    if name in THRESHOLDS:
        attrs |= _thresholds(draw)
    if x is None:
        return (), attrs
    return (x, *(maker.like(draw, x) for _ in record.operands[1:])), attrs


# --- attributes by themselves: of the maker and the first operand


def _axes(maker: Maker, draw: Draw, x: Any) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.integers(0, len(x.shape) - 1), min_size=1, max_size=len(x.shape), unique=True)))


def _axis(maker: Maker, draw: Draw, x: Any) -> int:
    return draw(st.integers(0, len(x.shape) - 1))


def _rows(maker: Maker, draw: Draw, x: Any) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.integers(0, x.shape[0] - 1), min_size=1, max_size=3)))


ALONE: dict[str, Callable[[Maker, Draw, Any], Any]] = {
    "axes": _axes,
    "axis": _axis,
    "rows": _rows,
    "perm": lambda maker, draw, x: tuple(draw(st.permutations(range(len(x.shape))))),
    "reverse": lambda maker, draw, x: draw(st.booleans()),
    "number": lambda maker, draw, x: len(maker.builder.ops),
    "shape": lambda maker, draw, x: draw(st.sampled_from(SHAPES)),
    "trials": lambda maker, draw, x: draw(st.integers(1, 3)),
    "bits": lambda maker, draw, x: 0,
    "thresholds": lambda maker, draw, x: (),
}
THRESHOLDS = ("random_count", "random_chances")


def _thresholds(draw: Draw) -> dict[str, Any]:
    bits = draw(st.integers(1, 4))
    return {"bits": bits, "thresholds": tuple(draw(st.lists(st.integers(0, 1 << bits), min_size=1, max_size=3)))}


# --- attributes that belong together


def _index(maker: Maker, draw: Draw) -> Value:
    """JAX moves an index that is too large to where it fits."""
    return maker.emit("const", shape=(), kind=INT, scale=0, value=draw(st.integers(0, 2)))


def _reshape(maker: Maker, draw: Draw, x: Value) -> Parts:
    return (x,), {"shape": draw(st.sampled_from(((x.type.size,), (1, *x.shape), x.shape[::-1])))}


def _broadcast(maker: Maker, draw: Draw, x: Value) -> Parts:
    times, last = draw(st.integers(1, 2)), draw(st.booleans())
    axes = range(len(x.shape))
    if last:
        return (x,), {"shape": (*x.shape, times), "dims": tuple(axes)}
    return (x,), {"shape": (times, *x.shape), "dims": tuple(a + 1 for a in axes)}


def _slice(maker: Maker, draw: Draw, x: Value) -> Parts:
    start = tuple(draw(st.integers(0, n - 1)) for n in x.shape)
    limit = tuple(draw(st.integers(low, n)) for low, n in zip(start, x.shape, strict=True))
    strides = draw(st.sampled_from((None, (2,) * len(x.shape))))
    return (x,), {"start": start, "limit": limit, "strides": strides}


def _concat(maker: Maker, draw: Draw, x: Value) -> Parts:
    return (x,) * draw(st.integers(1, 3)), {"axis": _axis(maker, draw, x)}


def _pad(maker: Maker, draw: Draw, x: Value) -> Parts:
    low_high_between = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1))
    triples = tuple(draw(low_high_between) for _ in x.shape)
    return (x, maker.const(draw(st.integers(0, 1)), x.type, ())), {"config": triples}


def _dynamic_slice(maker: Maker, draw: Draw, x: Value) -> Parts:
    sizes = tuple(draw(st.integers(1, n)) for n in x.shape)
    return (x, *(_index(maker, draw) for _ in x.shape)), {"sizes": sizes}


def _dynamic_update(maker: Maker, draw: Draw, x: Value) -> Parts:
    update = maker.emit("rev", x, axes=_axes(maker, draw, x))
    return (x, update, *(_index(maker, draw) for _ in x.shape)), {}


def _gather(maker: Maker, draw: Draw, x: Value) -> Parts:
    places = maker.emit("const", shape=(3, 1), kind=INT, scale=0, value=draw(st.integers(0, 2)))
    axes = tuple(range(len(x.shape)))
    mode = draw(st.sampled_from(("fill", "clip")))
    return (x, places), {"dims": (axes[1:], (0,), (0,), (), ()), "sizes": (1, *x.shape[1:]), "mode": mode}


def window_attrs(rank: int) -> dict[str, Any]:
    """Windows of two along every axis, as many as there are elements."""
    ones = (1,) * rank
    return {
        "window": (2,) * rank,
        "strides": ones,
        "padding": ((0, 1),) * rank,
        "base_dilation": ones,
        "window_dilation": ones,
    }


def _window(maker: Maker, draw: Draw, x: Value) -> Parts:
    return (x,), window_attrs(len(x.shape))


def _shuffle(maker: Maker, draw: Draw, x: Value) -> Parts:
    return (x,), {"number": len(maker.builder.ops)}


TOGETHER: dict[str, Callable[[Maker, Draw, Value], Parts]] = {
    "reshape": _reshape,
    "broadcast": _broadcast,
    "slice": _slice,
    "concat": _concat,
    "pad": _pad,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update": _dynamic_update,
    "gather": _gather,
    "window_sum": _window,
    "window_max": _window,
    "random_shuffle": _shuffle,
}


def conv_attrs() -> dict[str, Any]:
    """Of a convolution of one image by one kernel, both with features first."""
    order = (0, 1, 2, 3)
    return {
        "strides": (1, 1),
        "padding": ((0, 0), (0, 0)),
        "lhs_dilation": (1, 1),
        "rhs_dilation": (1, 1),
        "dims": (order, order, order),
        "feature_groups": 1,
        "batch_groups": 1,
    }
