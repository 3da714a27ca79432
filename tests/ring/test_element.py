"""The ring Z_2^k for every k: dtype, reduction, the signed view, and the small steps that protocols are made of."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.ring.element import Ring

RINGS = st.builds(Ring, st.integers(2, 64))


def signed(value: int, k: int) -> int:
    half = 1 << (k - 1)
    return (value + half) % (1 << k) - half


@given(ring=RINGS, values=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5))
def test_integers_go_in_and_come_out_mod_2_to_the_k(ring: Ring, values: list[int]) -> None:
    x = np.array(values, np.int64)
    elements = ring.from_int(x)
    assert elements.dtype == ring.dtype
    assert [int(e) for e in elements] == [v % (1 << ring.k) for v in values]
    assert ring.to_int(elements).tolist() == [signed(v, ring.k) for v in values]
    assert ring.to_int(elements).dtype == np.int64


@given(ring=RINGS, words=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5))
def test_reduce_clears_the_bits_above_k(ring: Ring, words: list[int]) -> None:
    x = np.array(words, np.uint64).astype(ring.dtype)
    expected = [int(v) % (1 << ring.k) for v in x]
    with jax.enable_x64(True):
        assert [int(v) for v in np.asarray(ring.reduce(x))] == expected
    assert [int(v) for v in ring.reduce_host(x)] == expected


@given(ring=RINGS, word=st.integers(0, 2**64 - 1), by=st.integers(0, 63), factor=st.integers(-(2**40), 2**40))
def test_shifts_bits_and_scaling(ring: Ring, word: int, by: int, factor: int) -> None:
    by %= ring.k
    value = word % (1 << ring.k)
    x = np.full((3,), value, ring.dtype)
    with jax.enable_x64(True):
        assert int(ring.shift_right(x, by)[0]) == value >> by
        assert int(np.asarray(ring.reduce(ring.shift_left(x, by)))[0]) == (value << by) % (1 << ring.k)
        assert int(ring.bit(x, by)[0]) == (value >> by) & 1
        assert int(np.asarray(ring.reduce(ring.scale(x, factor)))[0]) == value * factor % (1 << ring.k)
        assert int(ring.full(x, factor)[0]) == factor % (1 << ring.storage_bits)
    assert int(ring.const(factor)) == factor % (1 << ring.k)


@pytest.mark.parametrize(("k", "bits"), [(2, 8), (8, 8), (9, 16), (16, 16), (17, 32), (32, 32), (33, 64), (64, 64)])
def test_an_element_takes_the_narrowest_dtype(k: int, bits: int) -> None:
    ring = Ring(k)
    assert (ring.storage_bits, ring.element_bytes) == (bits, bits // 8)
    assert (ring.dtype, ring.signed_dtype) == (np.dtype(f"uint{bits}"), np.dtype(f"int{bits}"))
