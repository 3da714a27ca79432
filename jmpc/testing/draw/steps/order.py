"""Random steps that depend on order: sort, running maxima; and elements taken by a secret index.

What goes in: a `Maker`. What comes out: one step more, or none where nothing fits. Sorting moves no element by more
than the largest error among them.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from hypothesis import strategies as st

from jmpc.testing.draw.forward_error import Noise, Op, Tracked
from jmpc.testing.draw.maker import Maker

Array = np.ndarray


def along(axis: int) -> Any:
    """The largest error along an axis, for each element of it."""

    def error(n: Noise, out: Array, x: Tracked) -> Any:
        worst = x.error.max(axis, keepdims=True) if x.shape[axis] else x.error
        return np.broadcast_to(worst, out.shape)

    return error


def orders(axis: int, kind: str) -> list[Op]:
    def running(name: str) -> Op:
        run = getattr(jax.lax, name)
        host = {"cummax": np.maximum, "cummin": np.minimum}[name].accumulate
        return Op(
            f"jax.lax.{name}({{0}}, {axis})", lambda np_, x: run(x, axis), along(axis), lambda np_, x: host(x, axis)
        )

    sort = Op(f"jnp.sort({{0}}, {axis})", lambda np_, x: np_.sort(x, axis), along(axis))
    if kind == "b":
        return [sort]
    down = Op(f"-jnp.sort(-{{0}}, {axis})", lambda np_, x: -np_.sort(-x, axis), along(axis))
    return [sort, down, running("cummax"), running("cummin")]


def order(maker: Maker) -> None:
    n = maker.pick("fib", lambda v: len(v.shape) in (1, 2) and 0 < v.x.size <= 24)
    if n is not None:
        value = maker.values[n]
        axis = maker.draw(st.integers(0, len(value.shape) - 1))
        maker.add(maker.choose(*orders(axis, value.kind)), n)


def _taken(n: Noise, out: Array, x: Tracked, index: Tracked) -> Any:
    """Any row where the index is in doubt."""
    at = np.clip(index.x, 0, x.shape[0] - 1)
    spread = np.ptp(x.x.astype(float), 0) + x.error.max(0)
    doubt = (index.error > 0).reshape(index.shape + (1,) * (x.x.ndim - 1))
    return np.where(doubt, spread, np.take(x.error, at, 0))


def _take(rows: int) -> Op:
    return Op(
        f"jnp.take({{0}}, jnp.clip({{1}}, 0, {rows - 1}), 0)",
        lambda np_, x, index: np_.take(x, np_.clip(index, 0, rows - 1), 0),
        _taken,
    )


def by_secret_index(maker: Maker) -> None:
    x = maker.pick("fib", lambda v: len(v.shape) in (1, 2) and 0 < v.x.size <= 24)
    index = maker.pick("i", lambda v: len(v.shape) < 2 and v.x.size <= 4)
    if x is not None and index is not None:
        maker.add(_take(maker.values[x].shape[0]), x, index)
