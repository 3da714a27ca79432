"""Random steps that move elements or sum them: shapes, indices, reductions, products of matrices.

What goes in: a `Maker`. What comes out: one step more, or none where nothing fits. The first functions give the
operations for a value's shape, one line each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jmpc.testing.draw.forward_error import Noise, Op, Tracked
from jmpc.testing.draw.maker import Maker

Array = np.ndarray
Shape = tuple[int, ...]


def moved(run: Callable[..., Any]) -> Callable[..., Any]:
    """Errors move as the elements do."""
    return lambda n, out, *args: run(np, *(a.error for a in args))


def _move(text: str, run: Callable[..., Any], host: Callable[..., Any] | None = None) -> Op:
    return Op(text, run, moved(host or run), host)


def moves(s: Shape, maker: Maker) -> list[Op]:
    """Of one value with at least one axis."""
    rank, size = len(s), int(np.prod(s))
    axis, index = maker.draw(st.integers(0, rank - 1)), maker.draw(st.integers(0, s[0] - 1))
    rows = tuple(maker.draw(st.lists(st.integers(0, s[0] - 1), min_size=1, max_size=3)))
    spread = (2, *s)
    return [
        _move("{0}.reshape(-1)", lambda np_, x: x.reshape(-1)),
        _move("{0}.T", lambda np_, x: x.T),
        _move(f"{{0}}[{index}]", lambda np_, x: x[index]),
        _move("{0}[::-1]", lambda np_, x: x[::-1]),
        _move("{0}[1:]", lambda np_, x: x[1:]) if s[0] > 1 else _move("{0}[None]", lambda np_, x: x[None]),
        _move("{0}[..., ::2]", lambda np_, x: x[..., ::2]),
        _move(f"{{0}}[jnp.array({list(rows)})]", lambda np_, x: x[np_.array(list(rows))]),
        _move(f"jnp.flip({{0}}, {axis})", lambda np_, x: np_.flip(x, axis)),
        _move(f"jnp.roll({{0}}, 1, {axis})", lambda np_, x: np_.roll(x, 1, axis)),
        _move(f"jnp.expand_dims({{0}}, {axis})", lambda np_, x: np_.expand_dims(x, axis)),
        _move("jnp.pad({0}, 1)", lambda np_, x: np_.pad(x, 1)),
        _move(f"jnp.repeat({{0}}, 2, {axis})", lambda np_, x: np_.repeat(x, 2, axis)),
        _move("jnp.tile({0}, 2)", lambda np_, x: np_.tile(x, 2)),
        _move(f"jnp.broadcast_to({{0}}, {spread})", lambda np_, x: np_.broadcast_to(x, spread)),
        *([_move("jnp.diagonal({0})", lambda np_, x: np_.diagonal(x))] if rank == 2 else []),
        *([_move(f"{{0}}.reshape(2, {size // 2})", lambda np_, x: x.reshape(2, -1))] if size % 2 == 0 else []),
        _updated(index),
    ]


def _updated(index: int) -> Op:
    """A row in the place of another."""

    def host(np_: Any, x: Array) -> Array:
        out = np.array(x)
        out[index] = x[-1]
        return out

    return Op(f"{{0}}.at[{index}].set({{0}}[-1])", lambda np_, x: x.at[index].set(x[-1]), moved(host), host)


def joins(axis: int) -> list[Op]:
    """Of two values of one shape."""
    ops = [_move(f"jnp.stack([{{0}}, {{1}}], {axis})", lambda np_, x, y: np_.stack([x, y], axis))]
    ops.append(_move(f"jnp.concatenate([{{0}}, {{1}}], {axis})", lambda np_, x, y: np_.concatenate([x, y], axis)))
    return ops


# --- reductions


def _mean(axis: int, count: int) -> Callable[..., Any]:
    def error(n: Noise, out: Array, x: Tracked) -> Any:
        size = (np.abs(x.x.astype(float)) + x.error).sum(axis)
        return x.error.mean(axis) + n.encoded(1 / count) * size + n.ulp

    return error


def _arg(axis: int, sign: int) -> Callable[..., Any]:
    """Of an argmax: any index where the two largest are in doubt."""

    def error(n: Noise, out: Array, x: Tracked) -> Any:
        if x.shape[axis] < 2:
            return np.zeros(out.shape)
        doubt = n.doubt(x) + np.zeros(x.shape)
        top = np.sort(sign * x.x.astype(float), axis)
        gap = np.take(top, -1, axis) - np.take(top, -2, axis)
        most = 2 * doubt.max(axis)
        return np.where((most > 0) & (gap <= most), x.shape[axis] - 1.0, 0.0)

    return error


def _over(axis: int) -> Callable[..., Any]:
    return lambda n, out, x: x.error.max(axis)


def _summed(axis: int) -> Callable[..., Any]:
    return lambda n, out, x: x.error.sum(axis)


def reductions(x: Tracked, axis: int) -> list[Op]:
    count, a = x.shape[axis], axis
    ops = [Op(f"{{0}}.sum({a})", lambda np_, x: x.sum(a), _summed(a), terms=count, summing=True)]
    if x.kind == "b":
        any_all = [
            Op(f"{{0}}.any({a})", lambda np_, x: x.any(a), _over(a)),
            Op(f"{{0}}.all({a})", lambda np_, x: x.all(a), _over(a)),
        ]
        return ops + any_all
    ops += [
        Op(f"{{0}}.max({a})", lambda np_, x: x.max(a), _over(a)),
        Op(f"{{0}}.min({a})", lambda np_, x: x.min(a), _over(a)),
        Op(f"jnp.argmax({{0}}, {a})", lambda np_, x: np_.argmax(x, a), _arg(a, 1)),
        Op(f"jnp.argmin({{0}}, {a})", lambda np_, x: np_.argmin(x, a), _arg(a, -1)),
        Op(
            f"jnp.cumsum({{0}}, {a})",
            lambda np_, x: np_.cumsum(x, a),
            lambda n, out, x: np.cumsum(x.error, a),
            terms=count,
            summing=True,
        ),
    ]
    mean = Op(f"{{0}}.mean({a})", lambda np_, x: x.mean(a), _mean(a, count), terms=count, summing=True)
    return [*ops, mean] if x.kind == "f" else ops


# --- products of matrices


def _bilinear(times: Callable[[Array, Array], Array]) -> Callable[..., Any]:
    def error(n: Noise, out: Array, x: Tracked, y: Tracked) -> Any:
        a, b = np.abs(x.x.astype(float)), np.abs(y.x.astype(float))
        moved = times(a, y.error) + times(x.error, b) + times(x.error, y.error)
        return moved + (n.truncation(out, x, y) if x.kind == "f" else 0.0)

    return error


def matrix_products(x: Tracked, y: Tracked) -> list[Op]:
    """What goes with these shapes; both of a kind."""

    def op(text: str, run: Callable[..., Any], terms: int) -> Op:
        return Op(text, run, _bilinear(lambda a, b: run(np, a, b)), terms=terms, summing=True)

    ops, rows = [], len(x.shape) and x.shape[-1]
    if x.shape and y.shape and rows == y.shape[-2:][0] and (len(x.shape) < 3 and len(y.shape) < 3):
        ops.append(op("{0} @ {1}", lambda np_, a, b: a @ b, rows))
    if len(x.shape) == len(y.shape) == 1:
        ops.append(op("jnp.outer({0}, {1})", lambda np_, a, b: np_.outer(a, b), 1))
        if x.kind == "f" and len(y.x) <= len(x.x):
            ops.append(op("jnp.convolve({0}, {1})", lambda np_, a, b: np_.convolve(a, b), len(y.x)))
    if len(x.shape) == 2 and x.shape == y.shape:
        ops.append(op('jnp.einsum("ij,kj->ik", {0}, {1})', lambda np_, a, b: np_.einsum("ij,kj->ik", a, b), rows))
    return ops


# --- steps


def structure(maker: Maker) -> None:
    n = maker.pick("fib", lambda v: len(v.shape) in (1, 2, 3) and v.x.size > 0)
    if n is not None:
        maker.add(maker.choose(*moves(maker.values[n].shape, maker)), n)


def joining(maker: Maker) -> None:
    x = maker.pick("fib", lambda v: len(v.shape) in (1, 2))
    if x is not None:
        first = maker.values[x]
        y = maker.pick(first.kind, lambda v: v.shape == first.shape)
        axis = maker.draw(st.integers(0, len(first.shape) - 1))
        maker.add(maker.choose(*joins(axis)), x, *([] if y is None else [y]))


def reduction(maker: Maker) -> None:
    n = maker.pick("fib", lambda v: bool(v.shape) and v.x.size > 0)
    if n is not None:
        axis = maker.draw(st.integers(0, len(maker.values[n].shape) - 1))
        maker.add(maker.choose(*reductions(maker.values[n], axis)), n)


def matrix_product(maker: Maker) -> None:
    x = maker.pick("fi", lambda v: len(v.shape) in (1, 2) and v.x.size > 0)
    if x is None:
        return
    first = maker.values[x]
    y = maker.pick(first.kind, lambda v: v.x.size > 0 and bool(matrix_products(first, v)))
    if y is not None:
        maker.add(maker.choose(*matrix_products(first, maker.values[y])), x, y)
