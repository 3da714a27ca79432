"""What becomes of each primitive of JAX on a secret, by version of JAX; and of one that nobody here has heard of."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.interpreters import mlir

import jmpc
from jmpc import _jax
from jmpc.errors import UnsupportedError
from jmpc.frontend import calls
from jmpc.frontend.kinds import has_secure_form, is_real
from jmpc.testing import assert_secure_close
from tests.frontend import survey

TABLE = Path(__file__).with_name("primitives.txt")
Columns = dict[str, dict[str, str]]


def columns() -> Columns:
    """By version of JAX: how each of its primitives is taken."""
    head, *lines = (re.split(r" {2,}", line) for line in TABLE.read_text().splitlines())
    return {v: {row[0]: row[n] for row in lines if row[n] != "-"} for n, v in enumerate(head) if n}


def text_of(found: Columns) -> str:
    names, versions = sorted({name for column in found.values() for name in column}), sorted(found, key=_number)
    rows = [["primitive", *versions], *([n, *(found[v].get(n, "-") for v in versions)] for n in names)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(versions) + 1)]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)


def before(known: Columns) -> dict[str, str]:
    """The column of this version of JAX, or of the last one before it."""
    return known[max((v for v in known if _number(v) <= _number(jax.__version__)), key=_number)]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def test_the_table_of_primitives(request: pytest.FixtureRequest) -> None:
    """That of this version of JAX; of one without a column, nothing is other than in the version before it."""
    found, known, version = survey.primitives(), columns(), jax.__version__
    if request.config.getoption("--update-golden"):
        TABLE.write_text(text_of({**known, version: found}))
        known = columns()
    assert found == before(known), "see what is new, then: pytest tests/frontend/test_primitives.py --update-golden"


def test_each_is_supported_or_refused_for_a_reason_of_its_own() -> None:
    assert [name for name, how in survey.primitives().items() if how == survey.UNKNOWN] == []


def test_the_public_functions_of_jax_are_traced() -> None:
    """Else the table would be short without a word."""
    assert len(survey.met()) >= 150
    assert {"tanh", "sort", "fft", "reduce_window_max", "population_count", "eigh", "complex"} <= set(survey.met())


# --- what stands for a primitive without a rule


def _primitive(name: str, meaning: Callable[..., Any]) -> Any:
    """A primitive as JAX defines them, which it replaces by `meaning` when it compiles."""
    made = _jax.Primitive(name)
    made.def_impl(meaning)
    made.def_abstract_eval(lambda x, *rest, **params: _jax.aval(x.shape, x.dtype))
    mlir.register_lowering(made, mlir.lower_fun(meaning, multiple_results=False))
    return made


def _cubic(x: Any, y: Any, *, power: int) -> Any:
    return lax.add(lax.mul(lax.integer_pow(x, power), y), y)


CUBIC = _primitive("cubic_of_tomorrow", _cubic)
NESTED = _primitive("nested_of_tomorrow", lambda x: CUBIC.bind(x, jnp.tanh(x), power=2))
ITERATED = _primitive("iterated_of_tomorrow", lambda x: lax.igamma(x, lax.zeta(x + 2, x)))
X = np.array([[-1.5, -0.25, 0.0], [0.5, 1.0, 2.0]], np.float32)


def test_a_primitive_of_tomorrow_is_what_jax_computes_it_by() -> None:
    function = lambda x, y: CUBIC.bind(x, y, power=3) + NESTED.bind(y)  # noqa: E731
    assert_secure_close(function, X, X + 1, tolerance=1e-3, executors=("meaning", "simulated"))


def test_it_works_in_loops_in_branches_and_under_check() -> None:
    def function(x: Any) -> Any:
        looped = lax.fori_loop(0, 2, lambda n, c: NESTED.bind(c) / 4, x)
        return lax.cond(x.sum() > 0, lambda v: CUBIC.bind(v, v, power=2), lambda v: v, looped)

    assert_secure_close(function, X, tolerance=1e-3)
    assert_secure_close(function, X, tolerance=1e-3, config=jmpc.Config(check=True))


def test_a_secret_inside_it_is_refused_under_its_own_name() -> None:
    with pytest.raises(UnsupportedError) as caught:
        jmpc.secure(lambda x: ITERATED.bind(x) + 1).lower(X)
    (line,) = caught.value.todo
    assert line.startswith("iterated_of_tomorrow on a secret, at ")
    assert __file__ in line
    assert "JAX computes it by igamma, zeta" in line


def test_one_that_only_the_backend_knows_is_refused() -> None:
    bare = _jax.Primitive("bare_of_tomorrow")
    bare.def_abstract_eval(lambda x: x)
    with pytest.raises(UnsupportedError, match=r"bare_of_tomorrow on a secret, at .*no secure form"):
        jmpc.secure(lambda x: bare.bind(x)).lower(X)


@pytest.mark.parametrize("name", [n for n, how in before(columns()).items() if how == survey.DECOMPOSED])
def test_what_stands_for_a_primitive_computes_it(name: str) -> None:
    ran = 0
    for eqn in survey.met()[name]:
        avals = [v.aval for v in eqn.invars]
        if all(has_secure_form(a.dtype) for a in avals) and survey.accepts(eqn):
            args = [_mixed(a.shape, np.dtype(a.dtype)) for a in avals]
            args = [np.sort(a) for a in args] if name == "SearchSorted" else args
            narrow = any(is_real(v.aval.dtype) and v.aval.dtype.itemsize < 4 for v in eqn.outvars)
            function, bound = partial(_jax.bind, eqn), 2.0**-6 if narrow else 1e-3
            assert_secure_close(lambda *x, f=function: f(*x), *args, tolerance=bound, executors=("meaning",))
            ran += 1
    assert ran


def _mixed(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Numbers from 1 to 2, or zeros and ones, in no order."""
    size = int(np.prod(shape))
    numbers = np.random.default_rng(size).permutation(size).reshape(shape) / max(size, 1)
    return np.asarray(1 + numbers if is_real(dtype) else numbers >= 0.5, dtype)


# --- what JAX writes for floats alone, and a ring need not do


def _rounds(function: Callable[..., Any], x: Any) -> int:
    """Beyond those of a sum."""
    return jmpc.secure(function).lower(x).cost().rounds - jmpc.secure(lambda v: v + v).lower(x).cost().rounds


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_upper_half_of_a_float_is_all_of_a_secret(dtype: Any) -> None:
    """As JAX 0.12 splits a square in the derivatives of erf and erfc, so that their rest is zero."""
    word, mask = (np.uint32, 0xFFFFF000) if dtype == np.float32 else (np.uint64, 0xFFFFFFFFF8000000)

    def rest(x: Any) -> Any:
        upper = lax.bitcast_convert_type(lax.bitcast_convert_type(x, word) & word(mask), dtype)
        return (x - upper) * (x + upper) + x

    with jax.enable_x64(dtype == np.float64):
        assert _rounds(rest, X.astype(dtype)) == 0
        assert_secure_close(rest, X.astype(dtype), tolerance=1e-3, executors=("meaning",))


def test_another_mask_is_refused() -> None:
    def exponent(x: Any) -> Any:
        return lax.bitcast_convert_type(lax.bitcast_convert_type(x, np.uint32) & np.uint32(0x7F800000), np.float32)

    with pytest.raises(UnsupportedError, match="bitcast_convert_type on a secret"):
        jmpc.secure(exponent).lower(X)


def test_products_that_are_zero_for_all_of_the_format_cost_nothing() -> None:
    """As JAX 0.12 scales the derivative of arcsinh, against squares beyond float32."""
    assert _rounds(lambda x: x * 2.0**-62 + x, X) == 0
    assert _rounds(lambda x: x * 0 + x, X) == 0
    assert _rounds(lambda x: x * 2.0**-30 + x, X) > 0
    tiny = jmpc.secure(lambda x: x * 2.0**-30)(np.full(3, 2.0**25, np.float32))
    np.testing.assert_allclose(tiny, 2.0**-5, atol=2.0**-17)


def _is_of_its_own(function: Callable[..., Any], *args: Any) -> bool:
    """Whether JAX (from 0.12 on) calls a function with a derivative of its own here, which the front end knows."""
    return "custom_jvp_call" in str(jax.make_jaxpr(function)(*args))


def _slope_of_erf(x: Any) -> Any:
    return jax.grad(lambda v: lax.erf(v).sum())(x)


def test_the_derivative_of_erf_near_and_far() -> None:
    """JAX 0.12 keeps its square small; before, a square beyond the format is for the user to avoid."""
    far = [8.0, 100.0, 2.0**13, 2.0**20] if _is_of_its_own(_slope_of_erf, X) else []
    x = np.array([*np.linspace(-6, 6, 49), *far, *(-v for v in far)], np.float32)
    true = 2 / np.sqrt(np.pi) * np.exp(-(x.astype(np.float64) ** 2))
    assert np.abs(np.asarray(jmpc.secure(_slope_of_erf)(x), np.float64) - true).max() < 1e-4


def test_the_derivative_of_erf_does_not_correct_what_only_floats_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    known = _rounds(lambda x: _slope_of_erf(x) + x, X)
    monkeypatch.setattr(calls, "EXAMPLES", [])
    walked = _rounds(lambda x: _slope_of_erf(x) + x, X)
    assert known < walked if _is_of_its_own(_slope_of_erf, X) else known == walked


SIZES = [2.0**-17, 1e-3, 0.02, 1.0, 30.0, 1024.0]


def _pairs() -> tuple[np.ndarray, np.ndarray]:
    numbers = np.array([0.0, *SIZES, *(-s for s in SIZES)], np.float32)
    left, right = np.meshgrid(numbers, numbers)
    return left.ravel(), right.ravel()


def test_hypot_at_every_scale() -> None:
    x, y = _pairs()
    error = np.abs(np.asarray(jmpc.secure(jnp.hypot)(x, y), np.float64) - np.hypot(x, y))
    assert (error <= 1e-4 + 1e-4 * np.hypot(x, y)).all()


@pytest.mark.parametrize("of", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("value", [True, False])
def test_the_derivative_of_hypot_with_and_without_its_value(of: tuple[int, ...], value: bool) -> None:
    """What nothing reads is dropped, and what is left of JAX's function is known all the same."""
    x, y = _pairs()
    # where it is JAX's own derivative of a quotient, that takes 1 / x^2, of which nothing is left at 1024
    known = _is_of_its_own(jnp.hypot, x, y)
    bound, most = (2e-3, 2048.0) if known else (4e-3, 64.0)
    x, y = (a[(np.hypot(x, y) >= 0.02) & (np.hypot(x, y) <= most)] for a in (x, y))

    def total(x: Any, y: Any) -> Any:
        return jnp.hypot(x, y).sum()

    def function(x: Any, y: Any) -> Any:
        found, slopes = jax.value_and_grad(total, of)(x, y)
        return (found / 1024, slopes) if value else slopes

    got, true = jax.tree.leaves(jmpc.secure(function)(x, y)), [x / np.hypot(x, y), y / np.hypot(x, y)]
    for slope, number in zip(got[int(value) :], of, strict=True):
        assert np.abs(np.asarray(slope, np.float64) - true[number]).max() < bound


@pytest.mark.filterwarnings("ignore::jmpc.errors.NothingSecretWarning")
def test_a_function_of_a_user_is_not_taken_for_one_of_jax() -> None:
    @jax.custom_jvp
    def _hypot(x: Any, y: Any) -> Any:
        return x + 2 * y

    _hypot.defjvp(lambda primals, tangents: (_hypot(*primals), tangents[0] + 2 * tangents[1]))
    assert_secure_close(_hypot, X, X, executors=("meaning",))
    slopes = jmpc.secure(jax.grad(lambda x, y: _hypot(x, y).sum(), (0, 1)))(X, X)
    np.testing.assert_array_equal(slopes, [np.ones_like(X), 2 * np.ones_like(X)])


def test_total_orders_of_every_dtype() -> None:
    """As jnp.searchsorted and jnp.digitize use them; an unsigned number of 64 bits fills the ring."""

    def ordered(a: Any) -> Any:
        left, right = jnp.broadcast_arrays(a[:, None], a)
        return [p.bind(left, right) for p in (lax.lt_to_p, lax.le_to_p, lax.eq_to_p)]

    unsigned, signed = np.array([0, 1, 2**63 - 1, 2**63, 2**64 - 1], np.uint64), np.array([-(2**63), -1, 0, 2**63 - 1])
    with jax.enable_x64(True):
        for x in (unsigned, signed, np.array([False, True]), X.ravel()):
            assert_secure_close(ordered, x, executors=("meaning",))
