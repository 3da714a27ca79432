"""Randomness that no party knows, as primitives: what `jmpc.random` is made of, and the front end reads.

What goes in: shapes. What comes out: arrays of the jaxpr being traced. They have no value in plain JAX: outside a
secure function they raise. They have no gradient, and under `jax.vmap` each example draws for itself. Each call has a
`number` of its own, by which a draw is known again where JAX has its equation twice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jmpc import _jax
from jmpc._types import Array
from jmpc.errors import ArgumentError, UnsupportedError

PREFIX = "jmpc_random_"
Shape = tuple[int, ...]
CHANCE_BITS = 32
EXPONENTIAL_TOP = 5  # an exponential number reaches 2^5 with a probability of 2^-46


def _outside(*args: Any, **params: Any) -> Any:
    raise ArgumentError(
        "jmpc.random draws in a secure function alone",
        why="the parties of a run draw together, from keys that this process does not have",
        todo=[
            "call it inside a function that is decorated with jmpc.secure",
            "or use jax.random with a key of your own",
        ],
    )


NOTHING = np.int32(0)  # an operand that JAX may take for unknown
_NUMBERS = itertools.count(1)
_LATEST = [0]


def made() -> int:
    """The number of the latest draw."""
    return _LATEST[0]


def _define(name: str, dtype: Any = None) -> Callable[..., Array]:
    def abstract(nothing: Any, *, shape: Shape, **params: Any) -> list[Any]:
        return [_jax.aval(shape, params.get("dtype", dtype))]

    primitive = _jax.define_draw(PREFIX + name, abstract, _outside, _for_each)

    def draw(**params: Any) -> Array:
        return primitive.bind(NOTHING, number=_number(), saved=0, **params)[0]

    return draw


def _for_each(primitive: Any, size: int, operands: Any, dims: Any, *, shape: Shape, **params: Any) -> Any:
    return primitive.bind(NOTHING, shape=(size, *shape), **params), [0]


def _number() -> int:
    _LATEST[0] = next(_NUMBERS)
    return _LATEST[0]


_words = _define("words")
_bools = _define("bools", np.dtype(bool))
_fraction = _define("fraction", np.dtype(np.float32))
_count = _define("count", np.dtype(np.int32))
_chance = _define("chance", np.dtype(bool))
_exponential = _define("exponential", np.dtype(np.float32))
_gumbel = _define("gumbel", np.dtype(np.float32))


# --- an order that nobody knows


def _as_they_are(*arrays: Any, **params: Any) -> list[Any]:
    return [_jax.aval(x.shape, x.dtype) for x in arrays]


def _rows_for_each(primitive: Any, size: int, arrays: Any, dims: Any, *, lead: int, **params: Any) -> Any:
    def spread(x: Array, dim: int | None) -> Array:
        return jnp.broadcast_to(x, (size, *x.shape)) if dim is None else jnp.moveaxis(x, dim, 0)

    whole = [spread(x, dim) for x, dim in zip(arrays, dims, strict=True)]
    return primitive.bind(*whole, lead=lead + 1, **params), [0] * len(whole)


def _no_gradient(*args: Any, **params: Any) -> Any:
    raise UnsupportedError(
        "jmpc.random.permutation has no gradient",
        why="which element went where is known to nobody, so that no derivative can go back",
        todo="put what is not differentiated in a random order, and differentiate after that",
    )


_shuffle_p = _jax.define_draw(PREFIX + "shuffle", _as_they_are, _outside, _rows_for_each)
_jax.refuse_gradients(_shuffle_p, _no_gradient)


def shuffle(arrays: Sequence[Array], lead: int) -> list[Array]:
    """All arrays with the axis `lead` in one random order, a new one for each place of the `lead` axes before it."""
    return list(_shuffle_p.bind(*arrays, lead=lead, number=_number(), saved=0))


# --- what is drawn of nothing


def words(shape: Shape, dtype: Any) -> Array:
    """Uniform integers of an integer dtype."""
    return _words(shape=shape, dtype=np.dtype(dtype))


def bools(shape: Shape) -> Array:
    """Fair bools."""
    return _bools(shape=shape)


def fraction(shape: Shape) -> Array:
    """Uniform multiples of 2^-f in [0, 1), f the fraction bits of the number format."""
    return _fraction(shape=shape)


def count(shape: Shape, thresholds: Sequence[int], trials: int, width: int) -> Array:
    """Of `trials` uniform numbers of `width` bits, how many thresholds each reaches, summed: int32."""
    return _count(shape=shape, thresholds=tuple(thresholds), trials=trials, width=width)


def chance(shape: Shape, threshold: int, width: int) -> Array:
    """Whether a uniform number of `width` bits is below the threshold."""
    return _chance(shape=shape, threshold=threshold, width=width)


def exponential(shape: Shape) -> Array:
    """Standard exponential numbers, rounded down to multiples of 2^-f."""
    return _exponential(shape=shape)


def gumbel(shape: Shape) -> Array:
    """-log of standard exponential numbers that have more fraction bits than the format."""
    return _gumbel(shape=shape)


def exponential_digits(bits: int) -> list[int]:
    """2^32 P[digit], for the digits 2^-bits, ..., 2^(EXPONENTIAL_TOP - 1) of a standard exponential number.

    They are independent: e^-x is the product of e^-w over the weights w of the digits of x, so that the one of weight w
    is set with probability e^-w / (1 + e^-w)."""
    return [round(2.0**CHANCE_BITS / (1 + math.exp(2.0 ** (j - bits)))) for j in range(bits + EXPONENTIAL_TOP)]


def is_draw(eqn: Any) -> bool:
    return eqn.primitive.name.startswith(PREFIX)


def draws_within(eqn: Any) -> bool:
    """Whether an equation, or one in a body of it, draws."""
    return is_draw(eqn) or any(draws_within(inner) for body in _jax.bodies_of(eqn) for inner in body.eqns)
