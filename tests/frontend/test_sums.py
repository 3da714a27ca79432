"""Sums that are a step on the way to something smaller: their terms together may be more than the number format holds,
or than the ring does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmpc
from jmpc.errors import BoundError, RangeWarning
from jmpc.testing.executors import SIMULATED, executor
from tests.frontend.oracle import run

MOST = 2.0**26
MEANS: dict[str, Callable[[Any], Any]] = {
    "mean": lambda x: x.mean(-1),
    "mean, kept": lambda x: x.mean(-1, keepdims=True),
    "sum over how many": lambda x: x.sum(-1) / x.shape[-1],
    "sum times one over them": lambda x: jnp.sum(x, -1) * (1 / x.shape[-1]),
    "mean of all": jnp.mean,
    "moved on the way": lambda x: x.sum(-1)[None].T / x.shape[-1],
    "average": lambda x: jnp.average(x, axis=-1),
    "pooled": lambda x: jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, x.shape[1]), (1, 1), "VALID") / x.shape[1],
}


def exact(function: Callable[..., Any], *args: Any) -> Any:
    with jax.enable_x64(True):
        return np.asarray(function(*(jnp.asarray(a, np.float64) for a in args)), np.float64)


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize("n", [3, 100, 4096])
def test_a_mean_of_numbers_of_the_format_is_one(name: str, n: int) -> None:
    """The largest that the format holds, all of one sign; a power of two less than that, and small numbers."""
    x = np.stack([np.full(n, MOST - 4), np.full(n, -(MOST - 4)), np.linspace(-1, MOST / 2, n), np.linspace(-1, 2, n)])
    x = x.astype(np.float32)
    found = np.asarray(run(MEANS[name], x), np.float64)
    np.testing.assert_allclose(found, exact(MEANS[name], x), rtol=2.0**-16, atol=2e-4)


def test_means_of_many() -> None:
    rows = (np.arange(1 << 20) % (1 << 14)).astype(np.float32)
    np.testing.assert_allclose(run(jnp.mean, rows), 8191.5, rtol=1e-5)
    np.testing.assert_allclose(run(jnp.mean, np.full(100_003, 5e7, np.float32)), 5e7, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32])
def test_means_of_integers(dtype: Any) -> None:
    info = np.iinfo(dtype)
    x = np.linspace(max(info.min, -(2**26) + 1), min(info.max, 2**26 - 1), 5000).astype(dtype)
    np.testing.assert_allclose(run(jnp.mean, x), x.astype(np.float64).mean(), rtol=1e-4, atol=1e-2)
    same = np.full(1000, min(info.max, 10**6), dtype)
    np.testing.assert_allclose(run(jnp.mean, same), same[0], rtol=1e-5)


SPREADS: dict[str, Callable[[Any], Any]] = {
    "std": lambda x: jnp.std(x, -1),
    "rms": lambda x: jnp.sqrt(jnp.mean(x * x, -1)),
    "norm": lambda x: jnp.linalg.norm(x, axis=-1),
    "norm of differences": lambda x: jnp.linalg.norm(x - x.mean(-1, keepdims=True), axis=-1),
}


@pytest.mark.parametrize("name", SPREADS)
@pytest.mark.parametrize("size", [60.0, 8e3, 2e5])
@pytest.mark.parametrize("n", [5, 20_000])
def test_spreads_of_numbers_whose_squares_leave_the_format(name: str, size: float, n: int) -> None:
    x = (np.random.default_rng(n).choice([-1.0, 1.0, 0.5], (2, n)) * size).astype(np.float32)
    with executor(SIMULATED):  # whose truncations are right on average; the interpreter's are all rounded down
        found = np.asarray(jmpc.secure(SPREADS[name])(x), np.float64)
    np.testing.assert_allclose(found, exact(SPREADS[name], x), rtol=1e-3)


def test_the_root_of_a_long_sum_of_one_number() -> None:
    """Whose terms are all cut alike."""
    x = np.array([28.9, 31.9, 38.4, 3e4], np.float32)
    with executor(SIMULATED):
        found = jmpc.secure(lambda x: jnp.sqrt(jnp.mean(jnp.tile(x[:, None], 32768) ** 2, -1)))(x)
    np.testing.assert_allclose(found, x, rtol=2e-3)


def test_variances_that_fit() -> None:
    many = np.random.default_rng(0).choice([-60.0, 60.0], 100_000).astype(np.float32)
    np.testing.assert_allclose(run(jnp.var, many), many.astype(np.float64).var(), rtol=1e-4)
    pay = np.random.default_rng(1).uniform(500, 1e4, 500).astype(np.float32)
    np.testing.assert_allclose(run(jnp.var, pay), pay.astype(np.float64).var(), rtol=1e-3)


VARIANCES: dict[str, Callable[[Any], Any]] = {
    "var": lambda x: x.var(-1),
    "var, kept": lambda x: x.var(-1, keepdims=True),
    "of a sample": lambda x: x.var(-1, ddof=1),
    "of moments": lambda x: (x * x).mean(-1) - x.mean(-1) ** 2,
    "of columns": lambda x: jnp.var(x.T, 0),
    "in a loop": lambda x: jax.lax.map(jnp.var, x),
    "beside its root": lambda x: (x.var(-1), x.std(-1))[0],
}


@pytest.mark.parametrize("name", VARIANCES)
@pytest.mark.parametrize("n", [3, 8, 50, 3000])
def test_a_variance_of_the_format_has_squares_that_are_none(name: str, n: int) -> None:
    """One deviation is large, and with it its square; and small ones lose nothing by what is done about that."""
    function = VARIANCES[name]
    one = np.zeros(n)
    one[n // 2] = np.sqrt(0.9 * MOST * n * n / (n - 1) * (1 - 1 / n))
    rows = np.stack([one, -one / 2, np.sin(np.arange(n)), np.cos(np.arange(n)) / 64]).astype(np.float32)
    np.testing.assert_allclose(run(function, rows), exact(function, rows), rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize("name", [*VARIANCES, "mean of squares"])
@pytest.mark.parametrize("most", [1e3, 4000.0, 4096.0, 8191.0])
def test_a_declared_bound_refuses_no_variance_that_is_right_without(name: str, most: float) -> None:
    """What it says of a deviation is twice as much, of whose square the ring holds none; the variance is less."""
    function = VARIANCES.get(name, lambda x: jnp.mean((x - x.mean(-1, keepdims=True)) ** 2, -1))
    ends = np.where(np.arange(12) % 2, most, -most)
    rows = np.stack([ends, ends * (np.arange(12) == 3), np.sin(np.arange(12))]).astype(np.float32)
    found = run(lambda x: function(jmpc.bounded(x, most)), rows)
    np.testing.assert_allclose(found, exact(function, rows), rtol=3e-5, atol=3e-5)


SQUARES_THAT_COUNT: dict[str, Callable[[Any], Any]] = {
    "a result": lambda x: (x - x.mean()) ** 2,
    "summed": lambda x: jnp.sum((x - x.mean()) ** 2),
    "and a mean": lambda x: ((x - x.mean()) ** 2, x.var()),
    "beyond": lambda x: jnp.sum((x - x.mean()) ** 2) * 7,
    "by a secret": lambda x: jnp.sum((x - x.mean()) ** 2) / x[0],
}


@pytest.mark.parametrize("name", SQUARES_THAT_COUNT)
def test_the_square_of_a_deviation_is_refused_where_it_is_needed(name: str) -> None:
    with pytest.raises(BoundError):
        jmpc.secure(lambda x: SQUARES_THAT_COUNT[name](jmpc.bounded(x, 8000))).lower(np.zeros(12, np.float32))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_declared_bound_refuses_no_mean(share: float) -> None:
    x = np.full((2, 6), share * MOST, np.float32)
    found = run(lambda x: jmpc.bounded(x, 0.99 * MOST).mean(-1), x)
    np.testing.assert_allclose(found, exact(lambda x: x.mean(-1), x), rtol=3e-5)


@pytest.mark.parametrize("n", [10, 30_000])
@pytest.mark.parametrize("size", [0.5, 50.0, 3e4])
def test_standardized_rows(n: int, size: float) -> None:
    x = (np.random.default_rng(n).normal(size=(2, n)) * size + size).astype(np.float32)

    def layer_norm(x: Any) -> Any:
        return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)

    for function in (layer_norm, lambda x: jax.nn.standardize(x, axis=-1)):
        found = np.asarray(run(function, x), np.float64)
        np.testing.assert_allclose(found, exact(function, x), atol=2e-3)


@pytest.mark.parametrize("most", [20.0, 9e3, 3e4, 1e6, 0.99 * MOST])
@pytest.mark.parametrize("n", [12, 3000])
def test_declared_bounds_are_no_hindrance_to_standardized_rows(most: float, n: int) -> None:
    """The square of what is declared may be more than the ring holds, and is no part of what is computed then."""
    x = (np.random.default_rng(n).uniform(-0.9, 0.9, (2, n)) * most).astype(np.float32)
    functions: list[Callable[[Any], Any]] = [
        lambda x: jax.nn.standardize(x, axis=-1),
        lambda x: jnp.sqrt((x * x).mean(-1) - x.mean(-1) ** 2),
        lambda x: x.std(-1),
    ]
    for function in functions:
        found, right = run(lambda x, f=function: f(jmpc.bounded(x, most)), x), exact(function, x)
        np.testing.assert_allclose(found, right, rtol=1e-3, atol=1e-3 * np.abs(right).max())


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 3000), log=st.floats(0, 25.9), part=st.floats(0, 1), seed=st.integers(0, 99))
def test_any_mean(n: int, log: float, part: float, seed: int) -> None:
    """A part of the terms at one end of the format, the rest anywhere below."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(n) < part, 2.0**log, rng.uniform(-(2.0**log), 2.0**log, n)).astype(np.float32)
    found = float(run(jnp.mean, x))
    assert abs(found - x.astype(np.float64).mean()) <= 2.0**log * 2.0**-15 + 2e-4


def test_a_mean_in_a_loop_and_of_a_product() -> None:
    big = np.full((3, 64), 6e7, np.float32)
    found = run(lambda x: jax.lax.scan(lambda c, row: (c, row.mean()), 0.0, x)[1], big)
    np.testing.assert_allclose(found, 6e7, rtol=1e-5)
    x, y = np.full((2, 512), 7e3, np.float32), np.full((2, 512), 8e3, np.float32)
    np.testing.assert_allclose(run(lambda x, y: (x * y).mean(-1), x, y), 5.6e7, rtol=1e-4)
    np.testing.assert_allclose(run(lambda x, y: ((x - y) ** 2).mean(), x, y), 1e6, rtol=1e-4)


def test_what_cannot_fit_the_ring_is_refused() -> None:
    """By declared bounds, not by how many terms there are: of numbers of the format that is the user's to know."""
    x = np.ones(1 << 19, np.float32)
    with pytest.raises(BoundError):
        jmpc.secure(lambda x: jmpc.bounded(x, 6e7).sum()).lower(x)
    np.testing.assert_allclose(run(lambda x: jmpc.bounded(x, 100.0).sum(), x), 1 << 19)


def test_a_mean_of_products_says_what_they_must_keep_to() -> None:
    """Products are summed with all their bits: jnp.cov of many rows, the gradient of a regression."""
    x = np.random.default_rng(0).normal(size=(3, 4096)).astype(np.float32)
    for function in (jnp.cov, lambda x: x @ x.T / x.shape[1], lambda x: jnp.tensordot(x, x, 2) / x.size):
        with pytest.warns(RangeWarning, match=r"sum of \d+ products.* below"):
            jmpc.secure(function).lower(x)
        run(lambda x, function=function: function(jmpc.bounded(x, 8.0)), x)
    run(lambda x: x[:, :512] @ x[:, :512].T / 512, x)
    run(lambda x: x @ x.T * 0.125, x)
    with pytest.raises(BoundError):
        jmpc.secure(lambda x: jnp.cov(jmpc.bounded(x, 1e4))).lower(x)
