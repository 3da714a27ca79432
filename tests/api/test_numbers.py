"""Numbers as users pass them: what JAX's dtype does not hold is refused by name, never another number in silence; what
is no number is named too; and no warning of NumPy leaks."""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmpc
from jmpc.errors import ArgumentError, RangeError, UnsupportedError, UserError
from jmpc.testing.executors import SIMULATED, executor

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code

OWNERS: dict[str, dict[str, Any]] = {
    "caller": {},
    "named": {"inputs": {"income": "client"}, "outputs": "client", "owners": ["other"]},
    "shared": {"inputs": {"income": "client"}, "outputs": "other", "owners": ["other"]},
    "public": {"public": ["income"]},
}
BEYOND: dict[str, Any] = {
    "2^31": 2**31,
    "below": -(2**31) - 1,
    "2^40": 2**40,
    "2^64": 2**64,
    "2^200": 2**200,
    "in a list": [1, 2**31],
    "in a dict": {"a": (3, -(2**40))},
    "int64": np.array([1, 2**31]),
    "uint64": np.array([2**32], np.uint64),
    "float": 1e300,
    "float64": np.array([1.0, -1e40]),
    "complex128": np.array([1.0, 1e40j]),
}


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", jmpc.errors.JMPCWarning)
        yield


def _sum(income: Any) -> Any:
    return sum(jnp.sum(jnp.real(leaf)) for leaf in jax.tree.leaves(income))


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("name", BEYOND)
def test_what_the_dtype_does_not_hold(name: str, owner: str) -> None:
    for function in (_sum, lambda income: income):
        if function is not _sum and owner == "shared" and "complex" in name:
            continue
        with pytest.raises(RangeError, match=r"^income") as caught:
            jmpc.secure(function, **OWNERS[owner])(BEYOND[name])
        assert caught.value.where.startswith("income")
        assert "jax_enable_x64" in "".join([caught.value.why, *caught.value.todo])


@pytest.mark.parametrize("owner", OWNERS)
def test_what_it_holds_is_exact(owner: str) -> None:
    for value in (2**31 - 1, -(2**31), 0, True):
        with executor(SIMULATED):
            found = jmpc.secure(lambda income: income, **OWNERS[owner])(value)
        assert found.dtype == jnp.asarray(value).dtype
        assert found == value


def test_with_64_bits_on() -> None:
    with jax.enable_x64(True), executor(SIMULATED):
        assert int(jmpc.secure(lambda a: a + 1)(2**40)) == 2**40 + 1
        assert int(jmpc.secure(lambda a: a)(np.array(2**63 - 1))) == 2**63 - 1
        with pytest.raises(RangeError, match=r"^a: .* int64") as caught:
            jmpc.secure(lambda a: a)(2**63)
        assert "jax_enable_x64" not in str(caught.value)
        with pytest.raises(RangeError, match=r"^a: 1 of 1 elements are beyond the number format"):
            jmpc.secure(lambda a: a + 1)(1e300)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from((jnp.int8, jnp.int16, jnp.uint8, jnp.uint32, jnp.float16, jnp.float32, jnp.bfloat16)),
    st.sampled_from((2, -1, 0.5, True, 2j)),
)
def test_a_python_number_takes_the_dtype_of_what_it_meets(dtype: Any, number: Any) -> None:
    x = jnp.ones((2,), dtype)
    expected = jax.eval_shape(jax.jit(lambda x, n: x * n), x, number)
    assert jmpc.secure(lambda x, n: x * n).trace(x, number).out_info == expected


class Colour(enum.Enum):
    RED = 1


NO_NUMBERS: dict[str, Any] = {
    "object": np.array([1.0, None], object),
    "numbers as objects": np.array([1.0, 2.0], object),
    "dates": np.array(["2020-01-01"], "datetime64[D]"),
    "durations": np.array([1], "timedelta64[s]"),
    "text": np.array(["a"]),
    "record": np.zeros(1, [("a", "i4")]),
    "string": "a secret",
    "enum": Colour.RED,
    "set": {1, 2},
}


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_is_no_number_is_named(name: str, owner: str) -> None:
    for value, place in ((NO_NUMBERS[name], "income"), ({"a": [1, NO_NUMBERS[name]]}, "income['a'][1]")):
        with pytest.raises(ArgumentError, match="is not an array") as caught:
            jmpc.secure(lambda income: income, **OWNERS[owner])(value)
        assert caught.value.where == place
        assert "a secret" not in str(caught.value)


SMALL = (jnp.float8_e4m3fn, jnp.float8_e5m2, jnp.int4, jnp.uint4)


@pytest.mark.parametrize("dtype", SMALL, ids=lambda d: np.dtype(d).name)
def test_a_dtype_without_a_secure_form_names_the_argument(dtype: Any) -> None:
    value = jnp.asarray([1, 0.5]).astype(dtype)
    for owner in ("caller", "shared"):
        for function in (lambda income: income * 2, lambda income: income[::-1]):
            with pytest.raises(UserError, match=np.dtype(dtype).name) as caught:
                jmpc.secure(function, **OWNERS[owner])(value)
            assert "income" in str(caught.value) or "result" in caught.value.where
    with executor(SIMULATED):
        found = jmpc.secure(lambda income: income.astype(jnp.float32) * 2)(value)
    np.testing.assert_allclose(found, np.asarray(value, np.float32) * 2, atol=1e-4)


def test_a_result_without_a_secure_form_is_named() -> None:
    with pytest.raises(UnsupportedError, match="float8_e5m2"):
        jmpc.secure(lambda x: x.astype(jnp.float8_e5m2)).lower(np.ones(2, np.float32))
    with pytest.raises(UnsupportedError, match="float8_e5m2") as caught:
        jmpc.secure(lambda x: {"a": x.astype(jnp.float8_e5m2)}, inputs={"x": "a"}, owners="b", outputs="b").lower(
            np.ones(2, np.float32)
        )
    assert caught.value.where == "['a']"


X = np.array([[0.5, -1.25], [2.0, 0.0]], np.float32)
ZERO, HUGE, NAN = np.zeros((2, 2), np.float32), np.full((2, 2), 3e38, np.float32), np.full((2, 2), np.nan, np.float32)
FOLDED: dict[str, Callable[..., Any]] = {
    "division by zero": lambda x: jnp.where(x > 0, x, jnp.asarray(ZERO) / ZERO),
    "infinite reciprocal": lambda x: jnp.where(x > 0, x, 1 / jnp.asarray(ZERO)),
    "public divisor": lambda x: x / jnp.maximum(jnp.asarray(ZERO), 1e-30),
    "overflow": lambda x: jnp.minimum(x, jnp.asarray(HUGE) * 10),
    "smallest": lambda x: jnp.maximum(x, jnp.asarray(-HUGE) * 10),
    "comparison": lambda x: x < jnp.asarray(NAN),
    "choice of two": lambda x: x / jnp.where(x > 0, 1.0, 0.0),
    "cast": lambda x: x + jnp.asarray(HUGE).astype(jnp.int32) * 0,
    "narrow result": lambda x: (x * 1e5).astype(jnp.float16),
    "gradient of a norm": jax.grad(lambda x: jnp.sqrt((x * x).sum())),
    "log of zero": lambda x: jnp.where(x > 0, x, jnp.log(jnp.asarray(ZERO))),
}


@pytest.mark.parametrize("name", FOLDED)
def test_no_warning_of_numpy_leaks(name: str) -> None:
    """Every warning but our own is an error here; what is refused is refused by an error of ours."""
    for options in ({}, {"config": jmpc.Config(check=True)}, {"inputs": {"x": "a"}, "outputs": "a"}):
        try:
            jmpc.secure(FOLDED[name], **options)(X)
        except UserError:
            continue
