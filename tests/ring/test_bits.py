"""Packed bits: round trips, planes against NumPy, the host's form against the device's."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.ring import bits

SHAPES = ((), (1,), (63,), (64,), (5, 13), (0,), (2, 64), (3, 43))


def numbers(shape: tuple[int, ...], seed: int, dtype: str = "uint64") -> np.ndarray:
    width = np.dtype(dtype).itemsize * 8
    return np.random.default_rng(seed).integers(0, 1 << width, shape, np.dtype(dtype))


@given(size=st.integers(0, 1 << 20))
def test_words_hold_64_bits(size: int) -> None:
    assert 64 * bits.words(size) >= size > 64 * (bits.words(size) - 1)


@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 99))
def test_host_and_device_pack_alike_and_unpack_what_they_packed(shape: tuple[int, ...], seed: int) -> None:
    x = numbers(shape, seed) & np.uint64(1)
    host = bits.pack_host(x)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(bits.pack(x), host)
        back = np.asarray(bits.unpack(host, shape, np.uint8))
    assert (host.shape, host.dtype) == ((bits.words(x.size),), bits.WORD)
    np.testing.assert_array_equal(back, x)
    np.testing.assert_array_equal(bits.unpack_host(host, shape), x.astype(bool))


@given(size=st.integers(1, 300), seed=st.integers(0, 99))
def test_element_e_is_bit_e_div_w_of_word_e_mod_w(size: int, seed: int) -> None:
    """The layout that messages have: both ends rely on it."""
    x = numbers((size,), seed) & np.uint64(1)
    packed, width = bits.pack_host(x), bits.words(size)
    for e in range(size):
        assert packed[e % width] >> np.uint64(e // width) & np.uint64(1) == x[e]


@given(size=st.integers(1, 200), extra=st.integers(1, 2**62))
def test_unpacking_ignores_bits_past_the_end(size: int, extra: int) -> None:
    x = np.arange(size) % 3 == 0
    packed, width = bits.pack_host(x), bits.words(size)
    spare = np.concatenate([np.zeros(size, bool), np.ones(64 * width - size, bool)])
    noisy = packed ^ (bits.pack_host(spare) & np.uint64(extra))
    np.testing.assert_array_equal(bits.unpack_host(noisy, (size,)), x)


@given(size=st.integers(0, 300), seed=st.integers(0, 99))
def test_a_cut_leaves_the_bits_and_nothing_else(size: int, seed: int) -> None:
    x, width = numbers((size,), seed) & np.uint64(1), bits.words(size)
    noisy = numbers((width,), seed + 1)
    spare = bits.pack_host(np.concatenate([np.zeros(size, bool), np.ones(64 * width - size, bool)]))
    with jax.enable_x64(True):
        found = np.asarray(bits.cut(bits.pack_host(x) ^ (noisy & spare), size))
    np.testing.assert_array_equal(found, bits.pack_host(x))


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "uint64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_planes_are_the_packed_bits_of_each_position(dtype: str, shape: tuple[int, ...]) -> None:
    x = numbers(shape, 3, dtype)
    width = np.dtype(dtype).itemsize * 8
    expected = [bits.pack_host(x.astype(np.uint64) >> np.uint64(n) & np.uint64(1)) for n in range(width)]
    with jax.enable_x64(True):
        found = np.asarray(bits.planes(x, 0, width))
        some = np.asarray(bits.planes(x, 3, 4))
    np.testing.assert_array_equal(found, np.array(expected))
    np.testing.assert_array_equal(some, np.array(expected[3:7]))


def test_planes_compiled_are_planes() -> None:
    x = numbers((130,), 4)
    with jax.enable_x64(True):
        compiled = np.asarray(jax.jit(bits.planes, static_argnums=(1, 2))(x, 0, 64))
    np.testing.assert_array_equal(compiled[7], bits.pack_host(x >> np.uint64(7) & np.uint64(1)))
    np.testing.assert_array_equal(compiled[63], bits.pack_host(x >> np.uint64(63)))
