"""Randomness that no party knows, as primitives: what `jmpc.random` is made of, and the front end reads.

What goes in: shapes. What comes out: arrays of the jaxpr being traced. They have no value in plain JAX: outside a
secure function they raise. They have no operands, so no gradient, and under `jax.vmap` one draw serves the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jmpc import _jax
from jmpc.errors import ArgumentError

Array = Any
PREFIX = "jmpc_random_"
Shape = tuple[int, ...]


def _outside(*args: Any, **params: Any) -> Any:
    raise ArgumentError(
        "jmpc.random draws in a secure function alone",
        why="the parties of a run draw together, from keys that this process does not have",
        todo=[
            "call it inside a function that is decorated with jmpc.secure",
            "or use jax.random with a key of your own",
        ],
    )


def _define(name: str, dtype: Any = None) -> Any:
    def abstract(*, shape: Shape, **params: Any) -> list[Any]:
        return [_jax.aval(shape, params.get("dtype", dtype))]

    return _jax.define_without_value(PREFIX + name, abstract, _outside)


words_p = _define("words")
bools_p = _define("bools", np.dtype(bool))
fraction_p = _define("fraction", np.dtype(np.float32))
count_p = _define("count", np.dtype(np.int32))
chance_p = _define("chance", np.dtype(bool))


def words(shape: Shape, dtype: Any) -> Array:
    """Uniform integers of an integer dtype."""
    return words_p.bind(shape=shape, dtype=np.dtype(dtype))[0]


def bools(shape: Shape) -> Array:
    """Fair bools."""
    return bools_p.bind(shape=shape)[0]


def fraction(shape: Shape) -> Array:
    """Uniform multiples of 2^-f in [0, 1), f the fraction bits of the number format."""
    return fraction_p.bind(shape=shape)[0]


def count(shape: Shape, thresholds: Sequence[int], trials: int, width: int) -> Array:
    """Of `trials` uniform numbers of `width` bits, how many thresholds each reaches, summed: int32."""
    return count_p.bind(shape=shape, thresholds=tuple(thresholds), trials=trials, width=width)[0]


def chance(shape: Shape, threshold: int, width: int) -> Array:
    """Whether a uniform number of `width` bits is below the threshold."""
    return chance_p.bind(shape=shape, threshold=threshold, width=width)[0]


def is_draw(eqn: Any) -> bool:
    return eqn.primitive.name.startswith(PREFIX)


def draws_within(eqn: Any) -> bool:
    """Whether an equation, or one in a body of it, draws."""
    return is_draw(eqn) or any(draws_within(inner) for body in _jax.bodies_of(eqn) for inner in body.eqns)
