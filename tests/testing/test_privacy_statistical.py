"""The views of whole programs over thousands of runs; those of protocols are in tests/protocols/test_messages.py."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.ir.types import PLAIN, dabit_halves, secret_bits, secret_places
from jmpc.testing.build import config_of, number, program_of
from jmpc.testing.privacy.chi_square import limit, tail, two_sample, uniform
from jmpc.testing.privacy.everywhere import opposite_inputs
from jmpc.testing.privacy.report import PrivacyError
from jmpc.testing.privacy.statistical import check_private_statistical
from jmpc.testing.privacy.structural import check_private_structural

X = np.array([[0.5, -1.5, 2.0]], np.float32)
W = np.array([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75]], np.float32)


@jmpc.secure
def dense(x: Any, w: Any) -> Any:
    """A layer with ReLU, pooled, and a product of what is kept."""
    h = jax.nn.relu(x @ w)
    return jnp.max(h, axis=-1), h * x[:, :2]


@jmpc.secure
def counted(x: Any) -> Any:
    """A loop: masks of each iteration are its own."""
    return jax.lax.fori_loop(0, 2, lambda n, acc: jnp.where(acc > x, acc - x, acc * 0.5), jnp.zeros_like(x) + 3.0)


@jmpc.secure
def largest(x: Any) -> Any:
    return jnp.argmax(x, axis=-1)


@jmpc.secure
def of_one_number(x: Any, y: Any) -> Any:
    return jax.nn.sigmoid(x * 2.0 + 1), jnp.where(x > y, x, 0.5), x * y


@jmpc.secure
def in_order(x: Any) -> Any:
    """It opens an order, of keys that leave their bounds in one of the two calls."""
    return jnp.sort(x * x * 4096.0)


PROGRAMS = {
    "dense": (dense, (X, W), (0 * X, -W), 20_000),
    "loop": (counted, (X,), (3 * X,), 4000),
    "argmax": (largest, (X,), (-X,), 4000),
    "numbers": (of_one_number, (np.float32(1), np.float32(2)), (np.float32(-3), np.float32(0)), 4000),
    "order": (in_order, (X[0],), (X[0] * 4000,), 4000),
}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_whole_program_tells_nothing(name: str) -> None:
    function, args, others, runs = PROGRAMS[name]
    proved = check_private_structural(function, args, others)
    assert proved.messages > 0
    assert proved.observers == 4
    found = check_private_statistical(function, args, others, runs=runs)
    assert found.runs == runs
    assert found.tests > 1000


@jmpc.secure(static_argnames="times")
def doubled(x: Any, times: int) -> Any:
    """As often as a secret says; what is sent is the same."""
    for _ in range(times):
        x = x + x
    return x * x


@pytest.mark.parametrize(
    ("function", "args", "others"),
    [
        (doubled, (X, 1), (X, 3)),
        (largest, (X,), (X[:, :2],)),
        (of_one_number, (np.float32(1), np.float32(2)), (np.ones(2, np.float32), np.ones(2, np.float32))),
    ],
)
def test_two_calls_that_make_two_programs_are_told_apart(function: Any, args: Any, others: Any) -> None:
    """A length, or a number of steps, that depends on a secret."""
    for check in (check_private_statistical, check_private_structural):
        with pytest.raises(PrivacyError, match="two calls do not make the same program"):
            check(function, args, others)


def test_what_a_function_reads_besides_its_arguments_is_seen_too() -> None:
    """Each of the two calls is traced anew, also where the shapes are those of the other."""
    for check in (check_private_statistical, check_private_structural):
        seen: list[Any] = []

        def by_turns(x: Any, seen: list[Any] = seen) -> Any:
            seen.append(x)
            return x * x if len(seen) % 2 else x * x * x

        with pytest.raises(PrivacyError, match="two calls do not make the same program"):
            check(jmpc.secure(by_turns), (X,), (2 * X,))


# --- inputs anywhere in the ring


@pytest.mark.parametrize("k", [4, 13, 32, 64])
def test_opposite_inputs_differ_in_every_bit(k: int) -> None:
    config = config_of(k, 1)
    types = [secret_bits((5,)), number((5,), 1), secret_places((2, 5)), number((), 1, PLAIN).with_(visibility="public")]
    program = program_of(lambda emit, b, x, place, p: emit("not", b), types, config)
    (b, x, place, p), (c, y, order, q) = opposite_inputs(program)
    np.testing.assert_array_equal(b, ~c)
    np.testing.assert_array_equal(x ^ y, np.full((5,), (1 << k) - 1))
    np.testing.assert_array_equal(np.sort(place), np.sort(order))
    np.testing.assert_array_equal(place + order, np.full((2, 5), 4))
    assert p == q
    others = opposite_inputs(program, complement=False)
    assert not np.array_equal(others[1][1], y)


def test_a_dabit_is_no_input() -> None:
    program = program_of(lambda emit, m: (), [dabit_halves((3,))[0]], config_of(8))
    with pytest.raises(ValueError, match="dabit"):
        opposite_inputs(program)


# --- the statistics


@pytest.mark.parametrize(
    ("degrees", "statistic", "probability"), [(1, 3.8415, 0.05), (2, 5.9915, 0.05), (255, 330.52, 1e-3)]
)
def test_the_tail_of_chi_square(degrees: int, statistic: float, probability: float) -> None:
    assert tail(statistic, degrees) == pytest.approx(probability, rel=2e-3)
    assert limit(degrees, probability) == pytest.approx(statistic, rel=1e-3)


def test_uniform_counts_pass_and_a_bias_is_seen() -> None:
    rng = np.random.default_rng(3)
    fair = np.bincount(rng.integers(0, 256, 20_000), minlength=256)[None]
    biased = fair.copy()
    biased[0, :128] += 15
    everywhere = np.ones((1, 256), bool)
    for counts, seen in ((fair, False), (biased, True)):
        (statistic,), (degrees,) = uniform(counts, everywhere)
        assert (tail(statistic, int(degrees)) < 1e-9) == seen


def test_two_samples_of_one_distribution_pass_and_of_two_do_not() -> None:
    rng = np.random.default_rng(4)
    first, second, other = (np.bincount(rng.binomial(255, p, 20_000), minlength=256)[None] for p in (0.5, 0.5, 0.51))
    for counts, seen in ((second, False), (other, True)):
        (statistic,), (degrees,) = two_sample(first, counts)
        assert (tail(statistic, int(degrees)) < 1e-6) == seen
