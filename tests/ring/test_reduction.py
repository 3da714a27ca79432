"""Sums and joins in levels: NumPy's numbers for any shape, and code that XLA leaves in one piece."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from jmpc.ring import reduction
from jmpc.ring.reduction import LEVEL

DTYPES = ("uint8", "uint16", "uint32", "uint64")
LENGTHS = st.sampled_from((0, 1, 2, 7, 8, 9, LEVEL - 1, LEVEL, LEVEL + 1, 63, 64, LEVEL**2, LEVEL**2 + 1, 1000))
CUT_IN_TWO = "reduce-window"  # what XLA makes of a long reduction


@st.composite
def sums(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    long = draw(LENGTHS)
    shape = draw(st.permutations([long, *draw(st.lists(st.integers(0, 20), max_size=2))]))
    axes = draw(st.lists(st.sampled_from(range(len(shape))), unique=True))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    drawn = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 1 << 8 * dtype.itemsize, shape, dtype)
    return drawn, tuple(axes)


@given(sums())
def test_a_sum_is_numpys(drawn: tuple[np.ndarray, tuple[int, ...]]) -> None:
    x, axes = drawn
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(lambda a: reduction.total(a, axes))(x))
    np.testing.assert_array_equal(found, x.sum(axes, dtype=x.dtype), strict=True)


@given(dtype=st.sampled_from(DTYPES), axis=st.integers(0, 2), seed=st.integers(0, 99), data=st.data())
def test_a_join_puts_place_i_in_bit_i(dtype: str, axis: int, seed: int, data: st.DataObject) -> None:
    kind = np.dtype(dtype)
    count = data.draw(st.integers(0, 8 * kind.itemsize))
    shape = [3, 2]
    shape.insert(axis, count)
    x = np.random.default_rng(seed).integers(0, 2, shape, kind)
    expected = sum((int(2**i) * x.take(i, axis).astype(object) for i in range(count)), np.zeros((3, 2), object))
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(lambda a: reduction.joined(a, axis))(x))
    np.testing.assert_array_equal(found, expected.astype(kind), strict=True)


def compiled(function: Any, shape: tuple[int, ...]) -> str:
    with jax.enable_x64(True):
        return jax.jit(function).lower(jax.ShapeDtypeStruct(shape, np.uint64)).compile().as_text()


@pytest.mark.parametrize("shape", [(100_000, 3), (3, 100_000)])
def test_a_long_sum_is_not_cut_in_two(shape: tuple[int, ...]) -> None:
    axis = int(np.argmax(shape))
    plain = compiled(lambda x: lax.reduce(x, np.uint64(0), lax.add, (axis,)), shape)
    assert CUT_IN_TWO in plain, "XLA leaves long reductions whole now: levels are not needed"
    assert CUT_IN_TWO not in compiled(lambda x: reduction.total(x, (axis,)), shape)


def test_a_join_is_one_kernel() -> None:
    code = compiled(lambda x: reduction.joined(x, 0), (64, 5))
    assert CUT_IN_TWO not in code
    assert code[code.index("ENTRY") :].count("fusion(") == 1
