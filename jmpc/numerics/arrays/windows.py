"""Windows over an array, as plain JAX: the gradient of a maximum over windows, and reductions by any operator.

What goes in: arrays, and the parameters of `jax.lax.reduce_window`. What comes out: what the primitive gives. Of equal
elements the first of a window is the largest, as in JAX's gradients (in a tangent JAX takes one or the other). Error:
none of their own; values are selected and added.
Cost of the gradient: a maximum over each window, one small comparison and one selection for each element of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jax import lax

from jmpc import _typed
from jmpc._types import Array


@dataclass(frozen=True)
class Window:
    """shape, strides, padding, dilation: one entry an axis."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def offsets(self) -> Sequence[tuple[int, ...]]:
        """Where the elements of a window lie, from its first one."""
        within = itertools.product(*(range(n) for n in self.shape))
        return [tuple(n * d for n, d in zip(at, self.dilation, strict=True)) for at in within]

    def ends(self, at: Sequence[int], count: Sequence[int]) -> tuple[int, ...]:
        return tuple(a + (n - 1) * s + 1 for a, n, s in zip(at, count, self.strides, strict=True))

    def count(self, shape: Sequence[int]) -> tuple[int, ...]:
        """How many windows there are along each axis."""
        padded = [n + low + high for n, (low, high) in zip(shape, self.padding, strict=True)]
        spans = [(n - 1) * d + 1 for n, d in zip(self.shape, self.dilation, strict=True)]
        return tuple(max(0, (n - span) // s + 1) for n, span, s in zip(padded, spans, self.strides, strict=True))


def patches(x: Array, window: Window, fill: Array) -> Array:
    """Element k of every window, for each k: shape (window.size, *windows)."""
    padded = lax.pad(x, fill, [(low, high, 0) for low, high in window.padding])
    count = window.count(x.shape)
    return jnp.stack([lax.slice(padded, at, window.ends(at, count), window.strides) for at in window.offsets()])


def put_back(parts: Array, window: Window, shape: tuple[int, ...]) -> Array:
    """The sum of what windows hold for each element of an array of `shape`: the transpose of `patches`."""
    padded = [n + low + high for n, (low, high) in zip(shape, window.padding, strict=True)]
    count, total = parts.shape[1:], _typed.zeros(padded, parts.dtype)
    for part, at in zip(parts, window.offsets(), strict=True):
        ends = window.ends(at, count)
        config = [(a, n - e, s - 1) for a, n, e, s in zip(at, padded, ends, window.strides, strict=True)]
        total = total + lax.pad(part, _typed.zeros((), part.dtype), config)
    low = [pad[0] for pad in window.padding]
    return lax.slice(total, low, [a + n for a, n in zip(low, shape, strict=True)])


def chosen(x: Array, window: Window) -> Array:
    """For each window, the one-hot of its first largest element."""
    found = patches(x, window, _typed.asarray(-jnp.inf, x.dtype))
    numbers = _typed.arange(window.size).reshape(-1, *(1,) * x.ndim)
    return jnp.argmax(found, axis=0)[None] == numbers


def window_max_gradient(source: Array, x: Array, *, window: Window) -> Array:
    """What reaches `x` of the gradient `source` of its maxima over windows."""
    return put_back(jnp.where(chosen(x, window), source[None], 0), window, x.shape)


def window_max_tangent(tangent: Array, x: Array, *, window: Window) -> Array:
    """The tangent of the maxima over windows."""
    moved = patches(tangent, window, _typed.zeros((), tangent.dtype))
    return jnp.sum(jnp.where(chosen(x, window), moved, 0), axis=0)


def fold(xs: Sequence[Array], starts: Sequence[Array], operator: Callable[..., Sequence[Array]]) -> list[Array]:
    """All rows of the first axis of each of `xs` joined by an associative operator, in a tree; first of all `starts`.
    operator: of the rows on the left and those on the right, each as many arrays as `xs`."""
    xs = list(xs)
    while (count := xs[0].shape[0]) > 1:
        pairs = 2 * (count // 2)
        joined = operator(*(x[0:pairs:2] for x in xs), *(x[1:pairs:2] for x in xs))
        xs = [jnp.concatenate([new, x[pairs:]]) if count % 2 else new for new, x in zip(joined, xs, strict=True)]
    begin = [jnp.broadcast_to(start, x.shape[1:]) for start, x in zip(starts, xs, strict=True)]
    return list(operator(*begin, *(x[0] for x in xs))) if xs[0].shape[0] else begin
