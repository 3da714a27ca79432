"""Optimizers as optax writes them: their steps are float32's for gradients of all sizes, in a loop, and where their
state is shared between calls."""

from __future__ import annotations

import re
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jmpc
from jmpc.errors import RangeWarning
from jmpc.testing.executors import SIMULATED, executor

RATE = 1e-3
OPTIMIZERS: dict[str, Any] = {
    "sgd": optax.sgd(RATE),
    "momentum": optax.sgd(RATE, momentum=0.9),
    "adam": optax.adam(RATE),
    "adamw": optax.adamw(RATE),
    "amsgrad": optax.amsgrad(RATE),
    "rmsprop": optax.rmsprop(RATE),
    "adagrad": optax.adagrad(RATE),
    "lamb": optax.lamb(RATE),
    "lion": optax.lion(RATE),
}
SIZES = np.array([1e-4, 3e-4, 1e-3, 1e-2, 0.1, 1, 10, 100])
pytestmark = pytest.mark.filterwarnings("ignore::jmpc.errors.RangeWarning")


def gradients(steps: int, turning: bool) -> Any:
    """One row of each size, on the grid of the number format; of one sign throughout, or of any."""
    rng = np.random.default_rng(steps)
    signs = rng.choice([-1, 1], (steps if turning else 1, len(SIZES), 4))
    g = rng.uniform(0.6, 1.5, (steps, len(SIZES), 4)) * SIZES[:, None] * signs
    return (np.round(g * 2**18) / 2**18).astype(np.float32)


PARAMETERS = np.random.default_rng(0).normal(size=(len(SIZES), 4)).astype(np.float32)


def updates(optimizer: Any) -> Any:
    def train(p: Any, g: Any) -> Any:
        def step(carry: Any, gradient: Any) -> Any:
            p, state = carry
            update, state = optimizer.update(gradient, state, p)
            return (optax.apply_updates(p, update), state), update

        return jax.lax.scan(step, (p, optimizer.init(p)), g)[1]

    return train


STEPS = {"lamb": 20}  # of over a hundred rounds each
TURNING = [(name, True) for name in OPTIMIZERS] + [("adam", False), ("lion", False)]


@pytest.mark.parametrize(("name", "turning"), TURNING)
def test_a_hundred_steps_of_all_sizes(name: str, turning: bool) -> None:
    """Every update, from the first to the last, within 5 % of a learning rate (of sgd, of its own size)."""
    train, g = updates(OPTIMIZERS[name]), gradients(STEPS.get(name, 100), turning)
    with executor(SIMULATED):
        found = np.asarray(jmpc.secure(train)(PARAMETERS, g))
    right = np.asarray(jax.jit(train)(PARAMETERS, g))
    wrong = np.abs(found - right) > 0.05 * RATE * np.maximum(1, np.abs(right) / RATE * 0.02)
    assert not (wrong & ~_near_a_sign(g) if name == "lion" else wrong).any()


def _near_a_sign(g: Any) -> Any:
    """Where lion takes the sign of a number that is nearer to zero than the fraction bits of its momentum tell."""
    moment, near = np.zeros(g.shape[1:]), []
    for gradient in g.astype(np.float64):
        near.append(np.abs(0.9 * moment + 0.1 * gradient) < 2.0**-20)
        moment = 0.99 * moment + 0.01 * gradient
    return np.stack(near)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_that_stays_shared_between_calls(name: str) -> None:
    optimizer, g = OPTIMIZERS[name], gradients(3, True)
    step = jmpc.secure(lambda g, s, p: optimizer.update(g, s, p), outputs=("caller", jmpc.SECRET))
    with executor(SIMULATED):
        state = jmpc.secure(optimizer.init, outputs=jmpc.SECRET)(PARAMETERS)
        plain = optimizer.init(jnp.asarray(PARAMETERS))
        for gradient in g:
            found, state = step(gradient, state, PARAMETERS)
            right, plain = optimizer.update(gradient, plain, PARAMETERS)
            assert np.abs(np.asarray(found) - np.asarray(right)).max() <= 0.05 * RATE


@pytest.mark.parametrize("name", ["adam", "amsgrad", "rmsprop"])
def test_what_the_warning_of_an_average_advises_silences_it(name: str) -> None:
    optimizer = OPTIMIZERS[name]

    def step(p: Any, g: Any, state: Any) -> Any:
        updates, state = optimizer.update(g, state, p)
        return optax.apply_updates(p, updates), state

    given = PARAMETERS, gradients(1, False)[0], optimizer.init(jnp.asarray(PARAMETERS))
    with pytest.warns(RangeWarning) as caught:
        jmpc.secure(step).lower(*given)
    advice = re.search(r"jmpc\.bounded\(gradients, (\d+)\)", str(caught[0].message))
    assert advice is not None
    limit = float(advice[1])
    followed = jmpc.secure(lambda p, g, s: step(p, jmpc.bounded(g, limit), s), outputs=jmpc.SECRET)
    with warnings.catch_warnings(), executor(SIMULATED):
        warnings.simplefilter("error")
        p, state = followed(*given)
        followed(p, given[1], state)


def test_the_range_of_an_average_of_squares_is_said_and_can_be_declared() -> None:
    """As a wrong step of a large gradient would be silent; but not where there is no average yet."""
    g, optimizer = gradients(1, False)[0], OPTIMIZERS["rmsprop"]
    state = optimizer.init(jnp.asarray(PARAMETERS))

    def step(p: Any, g: Any, state: Any) -> Any:
        return optimizer.update(g, state, p)[0]

    with pytest.warns(RangeWarning, match=r"moving average.* below") as caught:
        jmpc.secure(step).lower(PARAMETERS, g, state)
    assert {w.filename for w in caught} == {__file__}  # the user's line, and optax's after it
    assert re.search(r"--> \S*test_optimizers\.py:\d+ \(.*\bstep\), in \S*optax", str(caught[0].message))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held = jax.tree.map(lambda v: 2.0**18, state)
        jmpc.secure(lambda p, g, s: step(p, jmpc.bounded(g, 512.0), jax.tree.map(jmpc.bounded, s, held))).lower(
            PARAMETERS, g, state
        )
        jmpc.secure(lambda p, g: optimizer.update(g, optimizer.init(p), p)[0]).lower(PARAMETERS, g)
