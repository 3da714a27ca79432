"""`assert_secure_close` passes what is right, and shows what is wrong so that it can be seen again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.frontend.walk import RULES, Walker
from jmpc.testing import assert_close, assert_secure_close, executor
from jmpc.testing.compare import difference
from jmpc.testing.snippet import array_text, call_snippet, config_text, value_text
from tests.testing.functions import layer

ROOT = Path(__file__).parents[2]
X = np.array([[0.5, -1.25, 2.0], [3.5, 0.0, -4.0]], np.float32)
W = np.array([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75]], np.float32)
QUICK = ("meaning", "simulated")


def test_a_right_function_passes_on_every_executor_of_this_process() -> None:
    assert_secure_close(layer, X, W, executors=(*QUICK, "local"))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(),
        lambda x: x.mean(1),
        lambda x: (x > 0, x.argmax(1), x * x * x),
        lambda x: jax.lax.scan(lambda c, t: (c * 0.5 + t, c > t), x[0], x),
        lambda x: {"a": x @ x.T, "b": [x.astype(int)]},
    ],
)
def test_the_default_tolerance_lets_right_results_pass(function: Any) -> None:
    assert_secure_close(function, X, executors=QUICK)


def test_the_default_tolerance_is_small() -> None:
    """A product of small numbers is held to 2^-18 times a few."""
    from jmpc.testing.check import stated

    expected = jax.jit(lambda x: x * x)(X)
    (bound,) = stated(jmpc.secure(lambda x: x * x), (X,), expected)
    assert 2.0**-18 < bound < 100 * 2.0**-18


def test_a_false_bound_is_found_where_the_result_is_right() -> None:
    """8 is no number below 4 in magnitude; a sum of it is right all the same, a comparison would not be."""

    def trusting(x: Any) -> Any:
        return jmpc.bounded(x + x, 4.0) + 1

    assert_secure_close(trusting, X / 2, executors=QUICK)
    with pytest.raises(AssertionError, match=r"a value passes its declared bound[\s\S]*check=True") as caught:
        assert_secure_close(trusting, X, executors=QUICK)
    assert "results agree with plaintext" in str(caught.value)


def test_examples_of_one_shape_are_compiled_once() -> None:
    traced: list[Any] = []

    def counted(x: Any) -> Any:
        traced.append(x.shape)
        return x * 2

    for n in range(1, 5):
        assert_secure_close(counted, X * n, executors=("meaning",))
    assert traced == [X.shape] * len(traced)
    once = len(traced)
    assert_secure_close(counted, X[:1], executors=("meaning",))
    assert len(traced) == 2 * once
    assert_secure_close(counted, X, executors=("meaning",), config=jmpc.Config(f=12))
    assert len(traced) > 2 * once


@pytest.fixture
def wrong_product(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A compiler whose products are a thousandth too large."""
    right = RULES["mul"]

    def wrong(w: Walker, eqn: Any, args: list[Any]) -> Any:
        made = right(w, eqn, args)
        nudge = w.emit("const", shape=made.shape, kind=made.type.kind, scale=made.type.scale, value=1 << 8)
        return w.emit("add", made, nudge)

    monkeypatch.setitem(RULES, "mul", wrong)
    return


@pytest.mark.usefixtures("wrong_product")
@pytest.mark.parametrize("name", QUICK)
def test_a_wrong_result_is_found(name: str) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_secure_close(lambda x, y: x * y, X, X, executors=(name,), seed=7)
    text = str(caught.value)
    assert f"on {name}, seed 7: 6 of 6 elements are further off than stated; the worst is result[" in text
    assert "expected" in text
    assert "bound" in text
    assert "jmpc.Config()" in text


@pytest.mark.usefixtures("wrong_product")
def test_the_snippet_of_a_failure_runs() -> None:
    """As text, by itself, it makes the comparison: here, with the wrong compiler, it fails as the check did."""
    with pytest.raises(AssertionError) as caught:
        assert_secure_close(lambda x, y: (x * y, x), X, X, executors=("meaning",), config=jmpc.Config(f=12))
    text = str(caught.value)
    snippet = text[text.index("import jax\n") :]
    assert "config=jmpc.Config(f=12)" in snippet
    with executor("meaning"), pytest.raises(AssertionError, match="further off than stated"):
        exec(snippet, {})  # noqa: S102


def test_the_snippet_runs_in_a_process_of_its_own() -> None:
    snippet = call_snippet(layer, (X, W), {"public": ("w",)}, 1e-4)
    assert "from tests.testing.functions import layer as function" in snippet
    command, env = [sys.executable, "-c", snippet], os.environ | {"JMPC_CACHE_DIR": ""}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_local_function_is_shown_by_its_source() -> None:
    def twice(x: Any) -> Any:
        return x + x

    scope: dict[str, Any] = {}
    snippet = call_snippet(twice, (X,), {}, 1e-4)
    with executor("meaning"):
        exec(snippet, scope)  # noqa: S102
    np.testing.assert_array_equal(scope["got"], X + X)


def test_refusals_pass_through() -> None:
    with pytest.raises(jmpc.errors.ConfigError, match="no executor 'abacus'"):
        assert_secure_close(lambda x: x, X, executors=("abacus",))
    kept = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(X)
    with executor("meaning"), pytest.raises(jmpc.errors.ConfigError, match="holds no shares"):
        jmpc.secure(lambda x: x)(kept)


# --- comparing


def test_what_differs_is_named() -> None:
    a, b = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)
    b[1, 2] = 0.5
    b[0, 0] = 0.25
    fault = difference({"y": a}, {"y": b}, 1e-3)
    assert str(fault) == (
        "2 of 6 elements are further off than stated; the worst is result['y'][1, 2]: "
        "expected 0.5, got 0.0, error 0.5, bound 0.001"
    )


@pytest.mark.parametrize(
    ("got", "expected", "wanted"),
    [
        ((1.0,), [1.0], "structure"),
        (np.zeros(3, np.float32), np.zeros(4, np.float32), r"float32\[3\], expected float32\[4\]"),
        (np.zeros(3, np.int32), np.zeros(3, np.float32), r"int32\[3\], expected float32\[3\]"),
        (np.array([np.nan], np.float32), np.array([1.0], np.float32), "error inf"),
        (np.array([True]), np.array([False]), "expected False, got True"),
    ],
)
def test_other_differences_are_named(got: Any, expected: Any, wanted: str) -> None:
    with pytest.raises(AssertionError, match=wanted):
        assert_close(got, expected, 0.5)


def test_equal_things_are_close() -> None:
    same = (np.array([np.nan, np.inf, 1.0], np.float32), [True, 3], jnp.zeros((0, 2)))
    assert_close(same, same)
    assert_close([1.0, 2.0], [1.5, 2.0], tolerance=[np.array(0.5), 0.0])


def test_a_tolerance_for_each_result() -> None:
    with pytest.raises(ValueError, match="3 tolerances for 2 results"):
        assert_close([1.0, 2.0], [1.0, 2.0], tolerance=[0.0] * 3)


# --- text


@pytest.mark.parametrize(
    "array",
    [
        np.array(1.5, np.float32),
        np.full((2, 3), -2, np.int32),
        np.array([True, False]),
        np.zeros((0, 3)),
        np.array([np.inf, -np.inf, 0.1], np.float32),
        np.arange(4, dtype=np.uint8).reshape(2, 2),
        np.array([0.0, -0.0, 0.0], np.float32),
    ],
)
def test_an_array_as_text_is_the_array(array: np.ndarray) -> None:
    scope: dict[str, Any] = {"np": np}
    exec(f"found = {array_text(array)}", scope)  # noqa: S102
    assert scope["found"].dtype == array.dtype
    np.testing.assert_array_equal(scope["found"], array)
    assert scope["found"].tobytes() == array.tobytes()


def test_values_as_text_are_the_values() -> None:
    value = {"a": (1, [2.5, None, -np.inf]), "b": jmpc.Config(f=12)}
    scope: dict[str, Any] = {"jmpc": jmpc, "np": np}
    exec(f"found = {value_text(value)}", scope)  # noqa: S102
    assert scope["found"] == value
    assert config_text(jmpc.Config()) == "jmpc.Config()"
