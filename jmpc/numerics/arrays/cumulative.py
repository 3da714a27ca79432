"""Running products, maxima, minima and sums of exponentials along an axis: plain JAX of logarithmic depth.

What goes in: an array. What comes out: what `jax.lax.cumprod`, `cummax`, `cummin` and `cumlogsumexp` give. Error: that
of the operator, once in each of at most 2 log2 n levels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import jax.numpy as jnp
from jax import lax

from jmpc import _typed
from jmpc._types import Array

OPERATORS: dict[str, Callable[[Array, Array], Array]] = {
    "cumprod": lax.mul,
    "cummax": lax.max,
    "cummin": lax.min,
    "cumlogsumexp": jnp.logaddexp,
}


@lru_cache(maxsize=256)
def running(name: str, axis: int, reverse: bool) -> Callable[[Array], Array]:
    """The function of one primitive; one object for equal parameters."""

    def run(x: Array) -> Array:
        return x if x.shape[axis] == 0 else _typed.associative_scan(OPERATORS[name], x, reverse=reverse, axis=axis)

    return run
