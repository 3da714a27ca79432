"""Complex numbers and Fourier transforms: pairs of real secrets mean what plain JAX means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.scipy import signal

import jmpc
from jmpc.errors import UnsupportedError
from tests.frontend import oracle
from tests.frontend.data import RNG, X, Y

S, T = (RNG.normal(size=(2, 12)).astype(np.float32) for _ in range(2))
Z = (X + 1j * Y).astype(np.complex64)
fft = jnp.fft


def check(function: Callable[..., Any], *args: Any, tolerance: float = 2e-4, **options: Any) -> None:
    """As `oracle.check`, with complex results as pairs."""
    found, expected = oracle.run(function, *args, **options), jax.jit(function)(*args)
    assert jax.tree.map(lambda v: v.dtype, found) == jax.tree.map(lambda v: v.dtype, expected)
    oracle.assert_same(_apart(found), _apart(expected), tolerance)


def _apart(tree: Any) -> Any:
    return jax.tree.map(lambda v: (v.real, v.imag) if jnp.iscomplexobj(v) else v, tree)


def test_transforms_of_real_signals() -> None:
    check(lambda x: (fft.rfft(x), fft.fft(x), fft.ifft(x), fft.fft2(x), fft.rfft2(x), fft.fft(x, axis=0)), S)
    check(lambda x: (fft.irfft(fft.rfft(x) * 2), fft.irfft(fft.rfft(x[:, :7]), n=7), fft.irfft2(fft.rfft2(x))), S)
    check(lambda x, k: fft.irfft(fft.rfft(x) * fft.rfft(k)), S, T)
    check(lambda x: fft.fftshift(jnp.abs(fft.fft(x).real)), S)


def test_transforms_of_complex_signals() -> None:
    check(lambda z: (fft.ifftn(fft.fftn(z)), fft.fft(z, axis=0), fft.ifft(z, n=6)), Z)


def test_gradients_of_transforms() -> None:
    power = lambda x: (fft.rfft(x).real ** 2 + fft.rfft(x).imag ** 2).sum()  # noqa: E731
    check(lambda x: jax.grad(power)(x), S, tolerance=1e-3)
    check(lambda x: jax.grad(lambda x: (fft.irfft(fft.rfft(x) * fft.rfft(x)) ** 2).sum())(x), S, tolerance=1e-3)


def test_a_transform_of_a_real_signal_is_one_product() -> None:
    flow = jmpc.secure(lambda x: fft.rfft(x)).lower(S).flow
    assert [op.name for op in flow.share.body.ops].count("dot") == 1


def test_arithmetic() -> None:
    check(
        lambda z: (z.real, z.imag, z.conj(), z + 1, z * 2j, z - z[0], -z, z * z, z**3, z @ z.T, z / 2, z / (1 + 2j)), Z
    )
    check(lambda x, y: (lax.complex(x, y) * lax.complex(y, x), x * 1j, (x * 1j).real, jnp.outer(x[0], y[0] * 1j)), X, Y)
    check(lambda z: (z == z[0], z != z[0], jnp.isnan(z), jnp.isfinite(z)), Z)


def test_structure() -> None:
    check(
        lambda z: (z.T, z.reshape(4, 3)[1:], z.sum(0), z[::-1], jnp.pad(z, 1), jnp.cumsum(z, 1), z[jnp.array([2, 0])]),
        Z,
    )
    check(lambda z, x: jnp.concatenate([z, x.astype(z.dtype), z * 0]), Z, X)
    check(lambda z: jnp.where(z.real > 0, z, 0), Z)


def test_owners_and_results_in_the_clear() -> None:
    check(lambda x, y: (fft.fft(x) * y[0], x), Z, Z, inputs={"x": "alice", "y": "bob"})
    check(lambda x, p: (x * jnp.exp(p * 1j), jnp.exp(p * 1j)), X, np.float32(0.5), public=["p"])


def test_convolutions() -> None:
    check(lambda x, k: [jnp.convolve(x[0], k[0, :3], mode) for mode in ("full", "same", "valid")], S, T)
    check(lambda x, k: (jnp.correlate(x[0], k[0, :3]), signal.convolve(x, k[:, :3])), S, T)
    check(lambda x, k: signal.fftconvolve(x[0], k[0, :3]), S, T)


def test_logarithms_of_base_two() -> None:
    """A primitive of its own from JAX 0.11 on."""
    check(jnp.log2, Z)


def test_what_complex_numbers_cannot_do() -> None:
    with pytest.raises(UnsupportedError, match="scan of complex numbers"):
        oracle.run(lambda z: lax.scan(lambda c, t: (c * t, None), z[0], z)[0], Z)
    with pytest.raises(UnsupportedError, match="cannot stay shared"):
        oracle.run(lambda x: x * 1j, X, outputs=jmpc.SECRET)
    with pytest.raises(UnsupportedError, match="sort of complex numbers"):
        oracle.run(lambda z: jnp.sort(z), Z)
