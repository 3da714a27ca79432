"""Factors, triangular systems, eigenvalues and singular values, in plain JAX, against NumPy and JAX's own."""

from __future__ import annotations

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmpc.numerics.linalg import eigen, orthogonal, solve

RNG = np.random.default_rng(8)
SIDES = [1, 2, 5]


def _random(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def _symmetric(n: int) -> np.ndarray:
    a = _random(2, n, n)
    return a + np.swapaxes(a, 1, 2)


@pytest.mark.parametrize("n", SIDES)
def test_cholesky_reads_the_lower_triangle(n: int) -> None:
    a = _random(2, n, n)
    a = a @ np.swapaxes(a, 1, 2) + 0.5 * np.eye(n, dtype=np.float32)
    expected = np.linalg.cholesky(a)
    np.testing.assert_allclose(solve.cholesky(jnp.asarray(a + np.triu(a, 1))), expected, atol=1e-5)


@pytest.mark.parametrize("n", [1, 4])
def test_triangular_systems(n: int) -> None:
    a, b = _random(2, n, n) / n + np.eye(n, dtype=np.float32), _random(2, n, n)
    names = ("left_side", "lower", "transpose_a", "unit_diagonal")
    for flags in itertools.product([False, True], repeat=4):
        options = dict(zip(names, flags, strict=True))
        expected = jax.lax.linalg.triangular_solve(a, b, **options)
        found = jax.jit(partial(solve.triangular_solve, **options))(a, b)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (2, 5, 5), (5, 3), (2, 4)])
def test_lu_takes_the_pivots_that_jax_takes(shape: tuple[int, ...]) -> None:
    a = _random(*shape)
    for found, expected in zip(solve.lu(jnp.asarray(a)), jax.lax.linalg.lu(a), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (2, 4, 4), (5, 2), (2, 5)])
def test_qr_has_the_signs_of_lapack(shape: tuple[int, ...], full: bool) -> None:
    a = _random(*shape)
    q, r = np.linalg.qr(a, mode="complete" if full else "reduced")
    found = orthogonal.qr(jnp.asarray(a), full=full)
    np.testing.assert_allclose(found[0], q, atol=1e-5)
    np.testing.assert_allclose(found[1], r, atol=1e-5)


@pytest.mark.parametrize("n", SIDES)
def test_eigenvalues(n: int) -> None:
    a = _symmetric(n)
    a[1] = np.eye(n)  # all equal
    vectors, values = eigen.eigh(jnp.asarray(a))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(a), atol=1e-5 * n)
    np.testing.assert_allclose(a @ vectors, vectors * values[:, None, :], atol=1e-4)
    np.testing.assert_allclose(np.swapaxes(vectors, 1, 2) @ vectors, np.stack([np.eye(n)] * 2), atol=1e-5)


def test_every_pair_meets_once_in_a_sweep() -> None:
    for half in (1, 2, 5):
        seats, met = np.arange(2 * half), set()
        for _ in range(2 * half - 1):
            met |= {frozenset(pair) for pair in zip(seats[:half], seats[half:], strict=True)}
            seats = seats[eigen._next_round(half)]
        assert len(met) == half * (2 * half - 1)
        np.testing.assert_array_equal(seats, np.arange(2 * half))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (2, 4, 4), (5, 2), (2, 5)])
def test_singular_values(shape: tuple[int, ...], full: bool) -> None:
    a = _random(*shape)
    values, u, v = eigen.svd(jnp.asarray(a), full=full)
    small = min(shape[-2:])
    np.testing.assert_allclose(values, np.linalg.svd(a, compute_uv=False), atol=2e-5)
    np.testing.assert_allclose((u[..., :small] * values[..., None, :]) @ v[..., :small, :], a, atol=5e-5)
    assert (u.shape, v.shape) == tuple(part.shape for part in np.linalg.svd(a, full_matrices=full)[::2])
    square = np.swapaxes(u, -1, -2) @ u
    np.testing.assert_allclose(square, np.broadcast_to(np.eye(u.shape[-1]), square.shape), atol=1e-4)


def test_a_matrix_of_lower_rank() -> None:
    a = np.outer(_random(5), _random(4))
    values, u, v = eigen.svd(jnp.asarray(a), full=False)
    np.testing.assert_allclose(values, np.linalg.svd(a, compute_uv=False), atol=1e-4)
    np.testing.assert_allclose((u * values) @ v, a, atol=1e-4)
