"""The guide's Python blocks run, in order, as one program, and give what it says."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jmpc
from jmpc.errors import CheckError
from jmpc.testing.executors import SIMULATED, executor

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the blocks leave. They run in the simulation that compiles nothing, but for check mode, which refuses it."""
    space: dict[str, Any] = {"__name__": "guide"}
    with executor(SIMULATED):
        for block in BLOCKS:
            with jmpc.local() if "check=True" in block else contextlib.nullcontext():
                exec(compile(block, "guide.py", "exec"), space)  # noqa: S102
    return space


def test_the_statistics_are_those_of_plain_jax(names: dict[str, Any]) -> None:
    plain = names["summary"].function(names["rows"])
    for found, right in zip(jax.tree.leaves(names["statistics"]), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(found, right, atol=1e-3)


def test_the_training_is_that_of_plain_jax_and_compiles_twice(names: dict[str, Any]) -> None:
    train_step, params = names["train_step"], {"w": np.zeros(3, np.float32), "b": np.float32(0)}
    state, plain = names["optimizer"].init(params), []
    for _ in names["losses"]:
        params, state, value = train_step.function(params, state, names["rows"])
        plain.append(value)
    np.testing.assert_allclose(names["losses"], plain, atol=2e-3)
    for name, found in names["weights"].items():
        np.testing.assert_allclose(found, params[name], atol=2e-2)
    assert len(train_step.compilations) == 2
    assert isinstance(names["params"]["w"], jmpc.SecretArray)


def test_the_variance_of_incomes_wraps_and_that_of_thousands_does_not(names: dict[str, Any]) -> None:
    assert isinstance(names["fault"], CheckError)
    assert re.search(r"guide\.py:\d+:\d+ \(variance\)", names["fault"].where)
    np.testing.assert_allclose(names["in_thousands"], np.var(names["incomes"] / 1000), rtol=1e-3)


def test_what_to_write_instead() -> None:
    """The rows of the table that are expressions."""
    x, ids, values = np.array([3.0, -1.0, 3.0, 2.0], np.float32), np.array([7, 1, 9, 4]), np.arange(4, dtype=np.float32)

    def instead(x: Any, n: Any, a: Any, b: Any, values: Any) -> Any:
        space = {"x": x, "n": n, "a": a, "b": b, "values": values, "jnp": jax.numpy}
        return [eval(text, space) for text in EXPRESSIONS]  # noqa: S307

    with executor(SIMULATED):
        found = jmpc.secure(instead)(x, 2, ids, ids[1:3], values)
    right = [6 + 2, [3, -1, 0, 0], [-1, 2, 3, *[-1] * 7], [0, 1, 2, 0]]
    for f, r in zip(found, right, strict=True):
        np.testing.assert_allclose(f, r)


EXPRESSIONS = [
    text
    for text in re.findall(r"^\| .* \| `(jnp\.[^`]*)`[^|]*\|$", GUIDE.read_text(), re.MULTILINE)
    if not text.startswith("jnp.where(x > 0, a, b)")
]


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", GUIDE.read_text())
    assert targets
    assert [t for t in targets if not (GUIDE.parent / t).exists()] == []


def test_every_word_of_the_costs_is_an_op() -> None:
    from jmpc.families.replicated3.table import PROTOCOLS

    (table,) = re.findall(r"words of `cost\(\)` mean\n(.*)", GUIDE.read_text(), re.DOTALL)
    words = [w for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for w in re.findall(r"`(\w+)`", row)]
    assert len(words) > 10
    assert [w for w in words if w not in PROTOCOLS] == []
