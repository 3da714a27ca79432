"""Layer, RMS, batch and group norms: their stated error, over variances and means, by formula and by flax.

Error: 1e-3 of a result of one or more, and 1e-3 absolute below. Domain: variance in [2^-8, 2^12], a mean of up to 256
standard deviations. Most by the meaning of the program, a few through the protocols.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import jmpc
from jmpc.ir.program import walk
from jmpc.testing.executors import executor
from tests.frontend.oracle import run

Function = Callable[..., Any]
UNIT = 2.0**-18
VARIANCES = 2.0 ** np.arange(-8, 12.25, 0.25)


def rows(
    size: int, ratio: float, variances: np.ndarray = VARIANCES, seed: int = 0, mean_square: bool = False
) -> np.ndarray:
    """A row for each variance, whose mean is `ratio` standard deviations. mean_square: for each of these instead."""
    drawn = np.random.default_rng(seed).standard_normal((len(variances), size))
    drawn = (drawn - drawn.mean(1, keepdims=True)) / drawn.std(1, keepdims=True)
    scaled = (drawn + ratio) * np.sqrt(variances / (1 + mean_square * ratio**2))[:, None]
    return (np.round(scaled / UNIT) * UNIT).astype(np.float32)


def layer_norm(x: Any, eps: float = 1e-5) -> Any:
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + eps)


def layer_norm_by_rsqrt(x: Any) -> Any:
    away = x - x.mean(-1, keepdims=True)
    return away * lax.rsqrt(jnp.mean(away * away, -1, keepdims=True) + 1e-5)


def layer_norm_of_moments(x: Any) -> Any:
    mean = jnp.mean(x, -1, keepdims=True)
    variance = jnp.mean(x**2, -1, keepdims=True) - mean**2
    return (x - mean) / jnp.sqrt(variance + 1e-5)


def rms_norm(x: Any) -> Any:
    return x / jnp.sqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-6)


def rms_norm_by_rsqrt(x: Any) -> Any:
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)


def batch_norm(x: Any) -> Any:
    return layer_norm(x.T).T


def group_norm(x: Any, eps: float = 1e-5) -> Any:
    return layer_norm(x.reshape(x.shape[0], 2, -1), eps).reshape(x.shape)


def of_linen(module: nn.Module, **more: Any) -> Function:
    """The module with the parameters that it starts with."""

    def apply(x: Any) -> Any:
        params = module.init(jax.random.key(0), jnp.ones(x.shape, np.float32))
        out = module.apply(params, x, **more)
        return out[0] if more else out

    return apply


def of_nnx(make: Callable[..., Any]) -> Function:
    return lambda x: make(num_features=x.shape[-1], rngs=nnx.Rngs(0))(x)


ROWS: dict[str, Function] = {
    "layer norm": layer_norm,
    "layer norm by rsqrt": layer_norm_by_rsqrt,
    "layer norm of moments": layer_norm_of_moments,
    "standardize": jax.nn.standardize,
    "rms norm": rms_norm,
    "rms norm by rsqrt": rms_norm_by_rsqrt,
    "LayerNorm, linen": of_linen(nn.LayerNorm()),
    "LayerNorm, linen, slow variance": of_linen(nn.LayerNorm(use_fast_variance=False)),
    "RMSNorm, linen": of_linen(nn.RMSNorm()),
    "LayerNorm, nnx": of_nnx(nnx.LayerNorm),
    "RMSNorm, nnx": of_nnx(nnx.RMSNorm),
}
GROUPS: dict[str, Function] = {
    "group norm": group_norm,
    "GroupNorm, linen": of_linen(nn.GroupNorm(num_groups=2)),
    "GroupNorm, nnx": of_nnx(partial(nnx.GroupNorm, num_groups=2)),
}
COLUMNS: dict[str, Function] = {
    "batch norm": batch_norm,
    "BatchNorm, linen": of_linen(nn.BatchNorm(use_running_average=False), mutable=["batch_stats"]),
    "BatchNorm, nnx": of_nnx(nnx.BatchNorm),
}


FEW = ["layer norm", "LayerNorm, nnx", "rms norm"]


def is_rms(name: str) -> bool:
    return "rms" in name.lower()


def exact(name: str, x: np.ndarray) -> np.ndarray:
    """By the formula of its kind, in float64: a module subtracts large moments."""
    kind = name.lower()
    kinds = {"rms": rms_norm, "group": group_norm, "batch": batch_norm}
    function = next((f for part, f in kinds.items() if part in kind), layer_norm)
    function = partial(function, eps=1e-6) if "LayerNorm" in name or "GroupNorm" in name else function
    with jax.enable_x64(True):
        return np.asarray(function(jnp.asarray(x, np.float64)))


def near(name: str, found: Any, x: np.ndarray) -> None:
    true = exact(name, x)
    assert (np.abs(np.asarray(found, np.float64) - true) <= 1e-3 * np.maximum(np.abs(true), 1)).all()


@pytest.mark.parametrize("ratio", [0.0, -3.0, 256.0])
@pytest.mark.parametrize("size", [16, 768])
@pytest.mark.parametrize("name", ROWS)
def test_a_norm_of_rows_has_its_stated_error(name: str, size: int, ratio: float) -> None:
    x = rows(size, ratio, mean_square=is_rms(name))
    near(name, run(ROWS[name], x), x)


@pytest.mark.parametrize("ratio", [0.5, 200.0])
@pytest.mark.parametrize("name", GROUPS)
def test_a_norm_of_groups_has_its_stated_error(name: str, ratio: float) -> None:
    x = np.concatenate([rows(48, ratio), rows(48, -ratio, seed=1)], 1)
    near(name, run(GROUPS[name], x), x)


@pytest.mark.parametrize("ratio", [0.0, 200.0])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_norm_of_columns_has_its_stated_error(name: str, ratio: float) -> None:
    x = rows(96, ratio).T.copy()
    near(name, run(COLUMNS[name], x), x)


@pytest.mark.parametrize("name", [*FEW, "BatchNorm, linen"])
def test_a_norm_through_the_protocols(name: str) -> None:
    x = rows(64, 20.0, VARIANCES[::4], mean_square=is_rms(name))
    x = x.T.copy() if name in COLUMNS else x
    with executor("simulated", 0):
        near(name, jmpc.secure((ROWS | COLUMNS)[name])(x), x)


@settings(max_examples=12)
@given(st.floats(-8, 12), st.floats(-250, 250), st.sampled_from([3, 40]), st.sampled_from(FEW))
def test_any_row_may_come(exponent: float, ratio: float, size: int, name: str) -> None:
    x = rows(size, ratio, np.array([2.0**exponent]), size, is_rms(name))
    near(name, run(ROWS[name], x), x)


def test_a_row_of_one_number_stays_in_bounds() -> None:
    x = np.full((3, 16), 7.25, np.float32)
    for name in ("layer norm", "LayerNorm, linen", "layer norm of moments"):
        assert np.abs(np.asarray(run(ROWS[name], x))).max() <= 2e-3


def ops(function: Function, *arrays: np.ndarray) -> list[str]:
    return [op.name for op in walk(list(jmpc.secure(function).lower(*arrays).flow.stages.values())[-1].body)]


@pytest.mark.parametrize("name", sorted({*ROWS, *GROUPS, *COLUMNS} - {"standardize"}))
def test_a_norm_normalises_its_variance_once_and_compares_nothing(name: str) -> None:
    """If the numbers are known to be moderate: of others the sum of squares has a second range."""
    norm, x = (ROWS | GROUPS | COLUMNS)[name], np.zeros((4, 16), np.float32)
    found = ops(lambda x: norm(jmpc.bounded(x, 64.0)), x)
    assert found.count("exponent") == 1
    assert "relu" not in found
    assert ops(norm, x).count("exponent") == 2


def test_what_only_looks_like_a_variance_is_taken_as_it_is() -> None:
    x = rows(16, 1.0, VARIANCES[20:24])

    def other(x: Any, y: Any) -> Any:
        return jnp.mean(x * x, 1) - jnp.mean(y, 1) ** 2, jnp.mean(x * x, 1) - jnp.mean(x[:, :8], 1) ** 2

    found = run(other, x, x * 0.5)
    with jax.enable_x64(True):
        true = other(jnp.asarray(x, np.float64), jnp.asarray(x * 0.5, np.float64))
    for one, two in zip(found, true, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


def test_a_quotient_by_another_root_keeps_its_error() -> None:
    y = np.geomspace(2.0**-10, 2.0**20, 301).astype(np.float32)
    x = np.round(np.sqrt(y) * 100 / UNIT) * UNIT
    found = run(lambda x, y: x / jnp.sqrt(y), x.astype(np.float32), y)
    np.testing.assert_allclose(found, x.astype(np.float32) / np.sqrt(np.round(y / UNIT) * UNIT), rtol=5e-5, atol=2e-4)


def test_one_over_a_root_is_one_function() -> None:
    y = (np.round(np.geomspace(2.0**-10, 2.0**20, 301) / UNIT) * UNIT).astype(np.float32)
    assert ops(lambda y: 1 / jnp.sqrt(y), y).count("exponent") == 1
    np.testing.assert_allclose(run(lambda y: 1 / jnp.sqrt(y), y), y.astype(float) ** -0.5, rtol=1e-4, atol=2.0**-16)
