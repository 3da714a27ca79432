"""Every operation of the catalogue, secure against float64, and the page docs/operations.md."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.families.protocol import Cost
from jmpc.testing.executors import SIMULATED, executor
from tests.frontend.oracle import values_keep_the_contract
from tests.operations import others, primitives, randomness, table
from tests.operations.entry import Entry
from tests.operations.real_functions import ACTIVATIONS, ENTRIES, ROUNDING

ALL: tuple[Entry, ...] = (
    *ENTRIES,
    *ACTIVATIONS,
    *ROUNDING,
    *others.INTEGERS,
    *others.ORDER,
    *others.INDICES,
    *others.CONTROL,
    *others.ALGEBRA,
    *others.WINDOWS,
    *others.FURTHER,
)
FLOAT32 = 2.0**-22  # results are float32
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def exact(entry: Entry) -> list[np.ndarray]:
    """The leaves of the result: of real functions in float64, of what is exact as JAX has it by default."""
    approximate = bool(entry.absolute or entry.relative)
    with jax.enable_x64(approximate):
        args = [
            jnp.asarray(a, np.float64 if approximate and a.dtype == np.float32 else a.dtype) for a in entry.inputs()
        ]
        return [np.asarray(leaf) for leaf in jax.tree.leaves(entry.function(*args))]


@cache
def ran(entry: Entry) -> tuple[list[np.ndarray], Cost]:
    """The leaves of the result, and what the parties sent for it: an iteration of a loop in a plan begins when the one
    before is done, in the simulator each value goes on alone."""
    with executor(SIMULATED) as parties:
        with values_keep_the_contract():
            lowered = jmpc.secure(entry.function).lower(*entry.inputs())
        found, loops = jax.tree.leaves(lowered.compile()(*entry.inputs())), lowered.flow.share.body.ops
    cost = parties.report.cost
    return found, replace(cost, rounds=lowered.cost().rounds) if any(op.name == "loop" for op in loops) else cost


def test_names_are_unique() -> None:
    assert len({e.name for e in ALL}) == len(ALL)


@pytest.mark.parametrize("entry", ALL, ids=lambda e: e.name)
def test_operation(entry: Entry) -> None:
    for one, two in zip(ran(entry)[0], exact(entry), strict=True):
        size = np.abs(two.astype(np.float64))
        bound = np.maximum(entry.absolute, entry.relative * size) + (size * FLOAT32 if one.dtype == np.float32 else 0)
        error = np.abs(np.asarray(one, np.float64) - two.astype(np.float64))
        worst = int(np.argmax((error - bound).reshape(-1))) if error.size else 0
        assert (error <= bound).all(), (
            f"{entry.name}: expected {two.reshape(-1)[worst]}, got {np.asarray(one).reshape(-1)[worst]}"
        )


@pytest.mark.parametrize("name", randomness.DRAWS)
def test_random_numbers_have_the_moments_of_their_distribution(name: str) -> None:
    """Of 4,096 drawn by three parties: each within six deviations of what it estimates."""
    count, wanted = 4096, randomness.DRAWS[name]
    with executor(SIMULATED):
        x = np.asarray(jmpc.secure(lambda: wanted.draw((count,)))(), np.float64)
    apart = (x - wanted.mean) / wanted.deviation
    assert abs(apart.mean()) < 6 / np.sqrt(count)
    spread = np.sqrt(np.mean(apart**4) - 1) if name != "bernoulli" else 1.0
    assert abs(np.mean(apart**2) - 1) < 6 * spread / np.sqrt(count)


def rows() -> list[table.Row]:
    found = []
    for entry in (*ALL, *randomness.ENTRIES):
        cost, size = ran(entry)[1], max(entry.inputs()[0].size, 1)
        found.append(table.Row(entry, cost.rounds, max(cost.bytes_sent, default=0) / size))
    return found


def test_the_page(request: pytest.FixtureRequest) -> None:
    known, version = primitives.rows(list(ALL)), ".".join(jax.__version__.split(".")[:2])
    text = table.page(rows(), known, version)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text)
    assert sum(status != "no" for _, status, _ in known) >= 130
    kept, differs = PAGE.read_text(), "docs/operations.md differs: pytest tests/operations --update-golden"
    assert table.without_figures(kept) == table.without_figures(text), differs
    assert kept == text or f"and JAX {version}:" not in kept, differs
