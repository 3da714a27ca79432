"""Linear algebra on secrets means what plain JAX means, within the errors that `numerics/` states."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as sla
import numpy as np
import pytest

import jmpc
from jmpc.errors import UnsupportedError
from tests.frontend.data import X, Y
from tests.frontend.oracle import check, run

RNG = np.random.default_rng(5)
G = RNG.normal(size=(4, 4)).astype(np.float32)
S = G @ G.T + np.eye(4, dtype=np.float32)
R = RNG.normal(size=(4, 2)).astype(np.float32)
la = jnp.linalg


def test_products() -> None:
    check(lambda x, y: (jnp.einsum("ij,kj->ik", x, y), jnp.einsum("ij,ij->", x, y), jnp.tensordot(x, y, 2)), X, Y)
    check(lambda x, y: (jnp.kron(x[:2, :2], y[:2, :2]), jnp.outer(x[0], y[0]), jnp.vdot(x, y), jnp.inner(x, y)), X, Y)
    check(lambda x, y: (jnp.cross(x[:, :3], y[:, :3]), jnp.trace(x), jnp.einsum("ii->i", x[:, :3])), X, Y)
    check(lambda x: (la.matrix_power(x[:, :3], 5), la.multi_dot([x, x.T, x])), 0.5 * X)
    check(lambda x: (la.norm(x), la.norm(x, axis=1), la.norm(x, 1), la.norm(x, jnp.inf)), X)


def test_factors() -> None:
    check(lambda a: la.cholesky(a), S)
    check(lambda a: la.qr(a), G)
    check(lambda a: jax.lax.linalg.lu(a), G)


def test_positive_definite_systems() -> None:
    check(lambda a, b: sla.solve(a, b, assume_a="pos"), S, R)
    check(lambda a, b: sla.cho_solve((la.cholesky(a), True), b), S, R)
    check(lambda a: jax.grad(lambda a: la.cholesky(a).sum())(a), S)
    check(lambda a, b: jax.vmap(lambda b: sla.solve_triangular(a, b, lower=True))(b.T), np.tril(S), R)


def test_general_systems() -> None:
    check(lambda a, b: (la.solve(a, b), la.inv(a)), G, R)
    check(lambda a: jax.grad(lambda a: la.inv(a).sum())(a), S)


def test_eigenvalues_and_singular_values() -> None:
    check(lambda a: la.eigvalsh(a), S, tolerance=1e-3)
    check(lambda a: la.svd(a, compute_uv=False), G, tolerance=1e-3)
    check(lambda a: la.pinv(a), R, tolerance=1e-3)
    vectors = run(lambda a: la.eigh(a)[1], S)
    np.testing.assert_allclose(vectors.T @ S @ vectors, np.diag(np.linalg.eigvalsh(S)), atol=1e-3)


def test_a_system_through_the_protocols() -> None:
    function = lambda a, b: sla.solve_triangular(a, b, lower=True, unit_diagonal=True)  # noqa: E731
    found = jmpc.secure(function)(S[:2, :2] / 4, R[:2])
    np.testing.assert_allclose(found, function(S[:2, :2] / 4, R[:2]), atol=2e-4)


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda a: sla.qr(a, pivoting=True), "pivoting"),
        (lambda a: la.eigvalsh(jnp.tile(a, (20, 20))), "side of 64"),
        (lambda a: la.svd(jnp.tile(a, (20, 20)), compute_uv=False), "side of at most 64"),
        (lambda a: la.eigvals(a), "eig on a secret"),
    ],
)
def test_what_has_no_secure_form(function: Any, hint: str) -> None:
    with pytest.raises(UnsupportedError, match=hint):
        run(function, G)
