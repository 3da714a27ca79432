"""The views of whole programs and of each protocol at the ring widths that users have, over thousands of runs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.config import Config
from jmpc.ir.types import BITS, Type
from jmpc.protocols.registry import PROTOCOLS
from jmpc.testing.chi_square import limit, tail, two_sample, uniform
from jmpc.testing.privacy_statistical import check_private_statistical
from jmpc.testing.privacy_structural import OPENINGS, check_private_structural
from tests.testing.privacy_cases import CASES
from tests.testing.test_privacy_protocols import cases

SHAPE = (3,)
X = np.array([[0.5, -1.5, 2.0]], np.float32)
W = np.array([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75]], np.float32)


def inputs(types: list[Type], which: int) -> list[np.ndarray]:
    """Two inputs that differ in every element."""
    return [np.full(t.shape, bool(which)) if t.form == BITS else np.full(t.shape, -which, np.int64) for t in types]


SENDING = [n for n in sorted(PROTOCOLS) if n not in OPENINGS and not (CASES.get(n) and CASES[n][0].local)]


@pytest.mark.parametrize("name", SENDING)
def test_what_a_protocol_sends_does_not_tell_two_inputs_apart(name: str) -> None:
    case = cases(name)[0]
    program = case.program(name, SHAPE, Config())
    types = [p.type for p in program.body.params]
    found = check_private_statistical(program, inputs(types, 0), inputs(types, 1), runs=4000)
    assert found.tests > 0


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


PROGRAMS = {"dense": (dense, (X, W), (0 * X, -W)), "loop": (counted, (X,), (3 * X,)), "argmax": (largest, (X,), (-X,))}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_whole_program_tells_nothing(name: str) -> None:
    function, args, others = PROGRAMS[name]
    proved = check_private_structural(function, args, others)
    assert proved.messages > 0
    assert proved.observers == 4
    found = check_private_statistical(function, args, others)
    assert found.runs == 20_000
    assert found.tests > 1000


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


def test_every_case_of_an_opening_is_named() -> None:
    """Openings are left out above: what they open is in another order each time, so it is enumerated instead."""
    assert {name for name, found in CASES.items() if any(c.opens for c in found)} == set(OPENINGS)
