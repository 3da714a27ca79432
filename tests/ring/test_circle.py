"""Integer sines and cosines: error against float64, and bits that never change."""

from __future__ import annotations

import hashlib

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jmpc import _jax
from jmpc.ring import circle

RNG = np.random.default_rng(3)
EDGES = np.array([q + d for q in range(0, 1 << 64, 1 << 61) for d in (-1, 0, 1)], object) % (1 << 64)
ANGLES = np.concatenate([EDGES.astype(np.uint64), RNG.integers(0, 1 << 64, 20_000, np.uint64)])


def multiples(angles: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    with _jax.x64():
        step = lambda carry, s, c, row: (carry, (s, c))  # noqa: E731
        _, (s, c) = circle.over_odd_multiples(jax.numpy.asarray(angles), step, (), np.arange(count))
        return list(zip(np.asarray(s), np.asarray(c), strict=True))


def test_the_error_is_as_stated() -> None:
    turns = np.ldexp(ANGLES.astype(np.float64), -64)
    for n, (s, c) in zip(range(1, 32, 2), multiples(ANGLES, 16), strict=True):
        allowed = 4e-9 if n == 1 else n**2 * 2.0**-28
        for found, exact in ((s, np.sin(2 * np.pi * n * turns)), (c, np.cos(2 * np.pi * n * turns))):
            assert np.abs(np.ldexp(found.astype(np.float64), -circle.FRACTION) - exact).max() < allowed


@given(st.integers(0, (1 << 64) - 1))
def test_a_half_turn_changes_the_signs(angle: int) -> None:
    there, back = (multiples(np.array([a % (1 << 64)], np.uint64), 1)[0] for a in (angle, angle + (1 << 63)))
    assert [int(x[0]) for x in there] == [-int(x[0]) for x in back]


def test_the_bits_are_those_of_every_platform() -> None:
    """Two parties on different machines must agree to the last bit: so does this test, with every machine."""
    made = np.concatenate([x for pair in multiples(ANGLES[:24], 8) for x in pair])
    assert hashlib.sha256(made.astype("<i8").tobytes()).hexdigest()[:16] == "937706f827b3e240"
