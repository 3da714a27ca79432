"""Check mode's advice: it names numbers, and where it is followed the check passes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.config import Config
from jmpc.errors import CheckError

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code

V = np.array([0.5, -1.25, 2.0, 3.5], np.float32)
CHECKED = Config(check=True)


def fault(function: Callable[..., Any], *args: Any, config: Config = CHECKED) -> CheckError:
    with pytest.raises(CheckError) as caught:
        jmpc.secure(function, config=config)(*args)
    return caught.value


def settings(error: CheckError) -> dict[str, Any] | None:
    """What the first remedy that names settings of the format says."""
    for remedy in error.todo:
        found = re.match(r"Config\((.*?f=\d+.*?)\):", remedy)
        if found:
            pairs = [part.split("=") for part in found[1].split(", ")]
            return {name: float(text) if name == "error" else int(text) for name, text in pairs}
    return None


def power(error: CheckError) -> int:
    """By how many powers of two the advice says to scale down."""
    (found,) = [m for m in (re.search(r"by 2\^(\d+) or more", t) for t in error.todo) if m]
    return int(found[1])


# --- what passed the number format's range: fewer fraction bits, a wider ring, smaller values

OVERFLOWS: dict[str, tuple[Callable[..., Any], Any]] = {
    "product": (lambda x: (x + 1) * (x + 1) * 0.5, V * 10_000),
    "square in the middle": (lambda x: x * x * 1e-6, V * 9_000),
    "sum": (lambda x: jnp.sum(x), V * 1.9e7),
    "sum of products": (lambda x: x @ x, V * 3_000),
    "inside a loop": (lambda x: lax.scan(lambda c, t: (c, (c * t) ** 2 * 1e-6), x, jnp.array([1.0, 8e3]))[1], V),
    "loop": (lambda x: lax.fori_loop(0, 6, lambda i, c: c * 40.0, x), V),
}


@pytest.mark.parametrize("name", OVERFLOWS)
def test_fewer_fraction_bits_hold_what_was_met(name: str) -> None:
    function, x = OVERFLOWS[name]
    error = fault(function, x)
    assert "assumed bound" in error.why
    advised = settings(error)
    assert advised is not None
    assert 4 <= advised["f"] < CHECKED.f
    config = CHECKED.replace(**advised)
    found = jmpc.secure(function, config=config)(x)
    np.testing.assert_allclose(found, function(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["product", "sum of products", "loop"])
def test_no_more_fraction_bits_than_advised_hold_it(name: str) -> None:
    """The advice keeps as many as it can."""
    function, x = OVERFLOWS[name]
    advised = settings(fault(function, x))
    assert advised is not None
    fault(function, x, config=CHECKED.replace(f=advised["f"] + 1))


def test_a_product_is_scaled_down_by_what_is_advised() -> None:
    function = lambda x, by: (x / 2.0**by) * x  # noqa: E731
    x = V * 10_000
    by = power(fault(lambda x: function(x, 0), x))
    jmpc.secure(lambda x: function(x, by), config=CHECKED)(x)
    fault(lambda x: function(x, by - 1), x)


def test_a_sum_is_named_and_its_terms_are_scaled_down() -> None:
    x = np.full(8, 5e7, np.float32)
    error = fault(jnp.sum, x)
    assert "terms of this sum" in "".join(error.todo)
    jmpc.secure(lambda x: (x / 2.0 ** power(error)).sum(), config=CHECKED)(x)


def test_a_ring_of_32_bits_is_widened_before_bits_are_given_up() -> None:
    config = Config(k=32, f=10, check=True)
    function, x = (lambda x: x * x), V * 100
    assert settings(fault(function, x, config=config)) == {"k": 64, "f": 10}
    jmpc.secure(function, config=config.replace(k=64, f=10))(x)


def test_no_settings_are_named_where_none_hold_it() -> None:
    error = fault(lambda x: jnp.prod(x), np.full(4, 2e4, np.float32))
    assert settings(error) is None
    assert "scale" in error.todo[0]
    assert not any("more fraction" in remedy for remedy in error.todo)


# --- too few fraction bits

IMPRECISE: dict[str, tuple[Callable[..., Any], Config]] = {
    "small factor": (lambda x: (x * 0.001) * 1000.0, Config(f=6, check=True)),
    "small product": (lambda x: (x * 0.01) * (x * 0.01) * 100.0, Config(f=10, check=True)),
    "tight tolerance": (lambda x: x * x / 3, Config(tolerance=1e-6, check=True)),
    "approximation": (jax.nn.sigmoid, Config(tolerance=2e-5, check=True)),
    "quotient": (lambda x: 1 / (x * 0.004), Config(f=12, check=True)),
    "in 32 bits": (lambda x: (x * 0.001) * 1000.0, Config(k=32, f=10, check=True)),
}


@pytest.mark.parametrize("name", IMPRECISE)
def test_more_fraction_bits_are_precise_enough(name: str) -> None:
    function, config = IMPRECISE[name]
    error = fault(function, V, config=config)
    assert "no value before it passed a bound" in error.why
    advised = settings(error)
    assert advised is not None
    assert advised["f"] > config.f
    jmpc.secure(function, config=config.replace(**advised))(V)


def test_roundings_are_not_told_as_a_fault_of_the_compiler() -> None:
    """The quotient of 0.002 at 18 bits is off by half the tolerance or by twice of it, as the divisor was rounded."""
    secured = jmpc.secure(lambda x: 1 / (x * 0.004), config=CHECKED)
    told: list[CheckError] = []
    for _ in range(100):
        try:
            secured(V)
        except CheckError as error:
            told.append(error)
        if len(told) == 4:
            break
    assert len(told) == 4
    for error in told:
        assert "no value before it passed a bound" in error.why
        assert (settings(error) or {})["f"] > CHECKED.f


INCOMES = np.random.default_rng(1).normal(5e4, 1.5e4, 200)


def test_a_value_that_wraps_is_told_before_the_roundings_that_it_has_met() -> None:
    """A variance of incomes: their distances from the mean are rounded, and the sum of the squares is out of range."""
    function = lambda x: jnp.sum((x - x.mean()) ** 2) / 200  # noqa: E731
    error = fault(function, INCOMES, config=CHECKED.replace(tolerance=1e-5))
    assert "passed its assumed bound" in error.why
    scale = 2.0 ** power(fault(function, INCOMES))
    found = jmpc.secure(lambda x: function(x / scale), config=CHECKED)(INCOMES) * scale**2
    np.testing.assert_allclose(found, np.var(INCOMES), rtol=1e-3)


def test_the_roundings_of_plain_jax_are_not_told_as_the_programs() -> None:
    function, x = lambda x: (x + 0.1) - x, np.array([5e4, 7e4])
    error = fault(function, x)
    assert error.what.endswith("0.00142")
    assert "jax_enable_x64" in error.todo[0]
    assert "float32 rounds numbers as large as were met, up to 2^17, to multiples of 2^-7" in error.todo[0]
    with jax.enable_x64(True):
        found = jmpc.secure(function, config=CHECKED)(x)
    np.testing.assert_allclose(found, 0.1, atol=1e-4)


def test_no_fraction_bits_are_named_where_the_largest_value_leaves_no_room() -> None:
    error = fault(lambda x: ((x * 1e-6) * 1e6, x * 1e7), V)
    assert settings(error) is None
    assert "scale small values up" in error.todo[0]
    assert "report it as a bug" in error.todo[1]


def test_an_error_that_one_may_allow_is_named() -> None:
    function, config = IMPRECISE["tight tolerance"]
    remedy = fault(function, V, config=config).todo[-1]
    allowed = re.search(r"Config\(tolerance=(.*)\)", remedy)
    assert allowed is not None
    jmpc.secure(function, config=config.replace(tolerance=4 * float(allowed[1])))(V)  # roundings differ by the run


# --- bounds and constants


def test_a_larger_bound_is_declared() -> None:
    def function(x: Any, limit: float) -> Any:
        return jax.nn.relu(jmpc.bounded(x * 3.0, limit))

    error = fault(lambda x: function(x, 2.0), V)
    found = re.search(r"jmpc\.bounded\(x, (\d+)\)", error.todo[0])
    assert found is not None
    assert float(found[1]) == 16.0, "the least power of two above the largest value"
    jmpc.secure(lambda x: function(x, float(found[1])), config=CHECKED)(V)
    assert "fraction" not in "".join(error.todo)


def test_a_passed_bound_is_named_where_the_result_agrees() -> None:
    """It is not the results that say so: the next arguments may be those for which it counts."""
    error = fault(lambda x: jmpc.bounded(x * 3.0, 8.0) + 1, V)
    assert "passes its declared bound" in error.what
    assert "agree" in error.why


def test_a_constant_beyond_the_format_is_named() -> None:
    with pytest.warns(jmpc.errors.RangeWarning):
        error = fault(lambda x: jnp.where(x > 0, x, -1e9), V)
    assert "constant" in error.what
    assert "below 2^26" in error.todo[0]
    jmpc.secure(lambda x: jnp.where(x > 0, x, -(2.0**26 - 8)), config=CHECKED)(V)
    with pytest.warns(jmpc.errors.RangeWarning):
        scaled = fault(lambda x: jnp.where(x > 0, x, -1e9) * 1e-3, V)
    assert "the constant at" in scaled.why
    assert "below 2^26" in scaled.todo[0]


def test_a_function_beyond_its_domain_says_so() -> None:
    error = fault(jnp.exp, V * 10)
    assert "domain" in error.todo[0]
    assert settings(error) is None


def test_what_has_no_number_in_plain_jax_says_so() -> None:
    error = fault(jnp.sqrt, V)
    assert "NaN or infinite" in error.why
    jmpc.secure(lambda x: jnp.sqrt(jnp.where(x > 0, x, 0)), config=CHECKED)(V)


def test_integers_that_wrap_as_they_do_in_jax_are_no_fault() -> None:
    jmpc.secure(lambda i: (i * i, i * i < i), config=CHECKED)(np.arange(5, dtype=np.int32) * 100_000)


def test_no_advice_holds_a_value() -> None:
    for function, x in OVERFLOWS.values():
        error = fault(function, x)
        text = "".join([error.what, *error.todo])
        values = [f"{number:.6g}" for number in np.ravel([*np.ravel(function(x)), *x])]
        assert [value for value in values if len(value) > 4 and value in text] == []
