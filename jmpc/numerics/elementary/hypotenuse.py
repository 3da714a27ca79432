"""sqrt(x^2 + c) for every x, squareplus and hypot, as plain JAX with words.

What goes in: an array; c, from 0 to 2^10. What comes out: the root, or (x + sqrt(x^2 + c)) / 2. Of two arrays: the root
of the sum of their squares.

Idea: beyond `FAR` the root is |x| to a relative 2^-13 c / 2^10, where x^2 would soon leave the number format.
Error: relative 2e-5 of |x| and, of squareplus, half of that. Domain: every x. Source: the definition.
"""

from __future__ import annotations

import jax.numpy as jnp

from jmpc._types import Array
from jmpc.numerics.language.dealt import below
from jmpc.numerics.language.words import within

FAR = 2.0**11


def root(x: Array, size: Array, c: float) -> Array:
    """size: |x|."""
    near = jnp.logical_and(*(below(v, threshold=FAR, slack=FAR / 2) for v in (x, -x)))
    square = within(jnp.where(near, x * x, 0.0), limit=4 * FAR**2)
    return jnp.where(near, jnp.sqrt(square + c), size)


def squareplus(x: Array, *, c: float = 4.0) -> Array:
    """Half of each part before the sum, which the format holds then."""
    size = jnp.where(x < 0, -x, x)
    return 0.5 * x + 0.5 * root(x, size, c)


def hypot(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """sqrt(x^2 + y^2), and x and y over it, by the ratio of the smaller to the larger, which neither leaves the format
    nor vanishes in it. Error: relative 1e-4, absolute 1e-4. Domain: where the result is a number of the format."""
    a, b = jnp.abs(x), jnp.abs(y)
    large, small = jnp.maximum(a, b), jnp.minimum(a, b)
    divisor = jnp.where(large == 0, 1.0, large)
    root = jnp.sqrt(1 + jnp.square(small / divisor))
    return large * root, x / divisor / root, y / divisor / root
