"""What the front end makes of what it knows by how it was made: one golden text a pattern, of the function and of what
all passes leave of it.

pytest tests/frontend/test_patterns.py --update-golden      write them anew, then look at the diff
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc._types import Array
from jmpc.ir.text import print_program
from tests.conftest import GOLDEN

ROWS, ROW, PLACE, TABLE = np.ones((2, 3), np.float32), np.ones(3, np.float32), np.int32(1), np.ones(4, np.float32)


def variance_from_moments(x: Array) -> Array:
    """Two large terms whose difference counts: computed from deviations."""
    return jnp.mean(x * x, axis=1) - jnp.mean(x, axis=1) ** 2


def gradient_of_variance(x: Array) -> Array:
    """The same two terms in the derivative."""
    return jax.grad(lambda y: jnp.sum(jax.lax.rsqrt(jnp.mean(y * y) - jnp.mean(y) ** 2 + 1)))(x)


def quotient_by_root(x: Array) -> Array:
    """The root is never computed, and x over it is at most one."""
    return x / jnp.sqrt(jnp.sum(x * x))


def root_of_squares(x: Array) -> Array:
    """Of squares that are not rounded, or of numbers cut to few bits, whose squares fit."""
    return jnp.sqrt(jnp.sum(x * x))


def cosine(x: Array, y: Array) -> Array:
    """Both operands are scaled before the product."""
    return jnp.sum(x * y) / (jnp.sqrt(jnp.sum(x * x)) * jnp.sqrt(jnp.sum(y * y)))


def falling_exponential(x: Array) -> Array:
    """x - max(x) is never above 0, so no window but the lower one is compared with."""
    return jnp.exp(x - jnp.max(x))


def softmax(x: Array) -> Array:
    """The sum is inverted before it is spread."""
    e = jnp.exp(x - jnp.max(x))
    return e / jnp.sum(e)


def wrapped_index(x: Array, i: Array) -> Array:
    """What NumPy makes of a negative index is known, and not compared again."""
    return x[i]


def quotient_by_power(x: Array) -> Array:
    """The derivative of 1 / x: 1 / x^2 has no bits to speak of, so that what it is times of is divided twice."""
    return jax.grad(lambda y: jnp.sum(1 / y))(x)


def quotient_by_choice(x: Array, y: Array) -> Array:
    """The choice is made between what the constants are one over, and nothing is divided."""
    return x / jnp.where(y > 0, 2.0, 4.0)


def quotient_by_larger_root(x: Array) -> Array:
    """The squares are found behind the larger of their sum and a number."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x), 1e-6))


def small_average(x: Array, y: Array) -> Array:
    """A moving average on the way to a root keeps more fraction bits than the number format has."""
    return x / (jnp.sqrt(0.999 * y + 0.001 * x * x) + 1e-8)


PATTERNS: dict[Callable[..., Array], tuple[np.ndarray | np.generic, ...]] = {
    **dict.fromkeys((variance_from_moments, ), (ROWS,)),
    **dict.fromkeys((gradient_of_variance, quotient_by_root, root_of_squares, falling_exponential, softmax), (ROW,)),
    **dict.fromkeys((quotient_by_power, quotient_by_larger_root), (ROW,)),
    **dict.fromkeys((cosine, quotient_by_choice, small_average), (ROW, ROW)),
    wrapped_index: (TABLE, PLACE),
}  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.__name__)
def test_a_pattern(pattern: Callable[..., Array], golden: Callable[[str, str], None]) -> None:
    lowered = jmpc.secure(pattern).lower(*PATTERNS[pattern])
    golden(
        f"patterns/{pattern.__name__}",
        f"{inspect.getsource(pattern)}\n{print_program(_last(lowered), locations=False)}",
    )


def _last(lowered: jmpc.Lowered):
    return list(lowered.flow.stages.values())[-1]


def test_every_golden_text_of_a_pattern_is_of_one() -> None:
    assert {path.stem for path in (GOLDEN / "patterns").glob("*.txt")} == {pattern.__name__ for pattern in PATTERNS}
