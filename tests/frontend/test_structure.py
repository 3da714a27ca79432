"""Shapes, slices, paddings and joins mean what plain JAX means."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

import jmpc
from tests.frontend.data import B, C, I, X, Y
from tests.frontend.oracle import check


def test_shapes() -> None:
    check(
        lambda x: (x.reshape(12), x.reshape(2, 6).T, x[None], jnp.squeeze(x[None]), x.ravel(), jnp.swapaxes(x, 0, 1)), X
    )
    check(
        lambda x: (lax.reshape(x, (4, 3), dimensions=(1, 0)), jnp.moveaxis(x, 0, 1), jnp.rot90(x), x.flatten()[::3]), X
    )
    check(lambda b: (b.T, b.reshape(2, 6), b[None], b[::-1], jnp.broadcast_to(b[0], (2, 4))), B)


def test_repetitions() -> None:
    check(
        lambda x: (jnp.broadcast_to(x[0], (5, 4)), jnp.tile(x, (2, 1)), jnp.tile(x[0], 3), jnp.ones((2, 3, 4)) * x), X
    )
    check(lambda x: (jnp.repeat(x, 2, 0), jnp.stack([x, x * 2], 1), jnp.stack([x[0]]), jnp.roll(x, 1, 1)), X)


def test_slices() -> None:
    check(lambda x: (x[1:], x[::2, ::-1], x[1], x[:, -1], x[..., 1:3], x[0, 0], x[3:]), X)
    check(lambda x: (lax.slice(x, (0, 1), (3, 4), (2, 1)), jnp.split(x, [1, 3], axis=1), jnp.array_split(x, 2)), X)
    check(lambda x: (jnp.diag(x[:, :3]), jnp.trace(x[:, :3]), jnp.tril(x), jnp.triu(x, 1), jnp.diff(x), jnp.flip(x)), X)


def test_paddings() -> None:
    check(lambda x: (jnp.pad(x, 1), jnp.pad(x, ((0, 1), (2, 0)), constant_values=2.5), jnp.pad(x, 1, mode="edge")), X)
    check(lambda x: (lax.pad(x, 0.5, ((1, -1, 1), (-1, 2, 0))), lax.pad(x, x[0, 0], ((0, 0, 2), (0, 0, 0)))), X)
    check(lambda b, i: (jnp.pad(b, 1), jnp.pad(b, 1, constant_values=True), jnp.pad(i, 2, constant_values=-7)), B, I)


def test_joins_of_secret_and_public() -> None:
    check(
        lambda x, p: (jnp.concatenate([x, p]), jnp.concatenate([x, x * 2, p], 1), jnp.hstack([x, jnp.ones((3, 2))])),
        X,
        Y,
        public=["p"],
    )
    check(lambda x, p: (jnp.vstack([p, x, p]), jnp.append(x, 1.0), jnp.stack([p, x])), X, Y, public=["p"])
    check(lambda i, b: (jnp.concatenate([i, jnp.arange(4)[None]]), jnp.concatenate([b, jnp.ones((1, 4), bool)])), I, C)


def test_what_gives_its_operand_back() -> None:
    check(lambda x: (jnp.copy(x), jax.device_put(x), lax.optimization_barrier((x, x + 1)), jnp.unstack(x, axis=1)), X)
    check(lambda x: jax.named_call(lambda x: x * 2, name="twice")(x), X)
    check(lambda x: checkpoint_name(x * 2, "kept"), X)
    check(
        lambda x: (x.astype(jnp.float16) * 2, x.astype(jnp.bfloat16), lax.reduce_precision(x, 5, 10)), X, tolerance=2e-2
    )


def test_what_a_ring_never_holds() -> None:
    check(lambda x: (x != x, x == x, x < x, x <= x, jnp.isnan(x), jnp.isfinite(x), jnp.isinf(x), jnp.nan_to_num(x)), X)
    check(lambda x: (x < jnp.inf, x <= -jnp.inf, x > -jnp.inf, jnp.nan > x, x != jnp.nan, -jnp.inf >= x), X)
    plain = jmpc.secure(lambda x: (jnp.isnan(x), jnp.isfinite(x))).lower(X)
    assert not plain.flow.share.body.ops


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_what_has_no_elements(shape: tuple[int, ...]) -> None:
    """Is known: what is made of it alone is JAX's, NaN too, and what only it reads needs no secure form."""
    empty = np.zeros(shape, np.float32)
    check(lambda x: (jnp.any(x), jnp.all(x), jnp.any(x > 0, -1), jnp.sum(x), jnp.prod(x, -1)), empty)
    check(lambda x: (jnp.sqrt(x), jnp.log(x), 1 / x, x / jnp.linalg.norm(x), jax.scipy.special.zeta(x + 2, 1.0)), empty)
    check(lambda x: (jnp.mean(x), jnp.std(x, -1), jnp.var(x, -1)), empty)
    check(lambda x: (jax.nn.softmax(x, -1), jnp.sort(x, -1), jnp.argsort(x, -1), jnp.cumsum(x, -1)), empty)
    check(lambda x, y: (jnp.concatenate([x, y], -1), jnp.sum(x) + y), empty, np.ones((*shape[:-1], 2), np.float32))
    check(lambda x: lax.scan(lambda c, row: (c + jnp.sum(row), jnp.exp(row)), 0.0, jnp.stack([x, x])), empty)
