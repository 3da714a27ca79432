"""An op from outside the package: what declares it, what it is to JAX, to the compiler, to the text, and to parties."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc import Config
from jmpc.errors import ArgumentError, BoundError, ConfigError, LaunchError, ProgramError, UnsupportedError
from jmpc.extend import bit, integer, protocol, real
from jmpc.families.replicated3.protocols.share import numbers, reshare
from jmpc.ir.outside import modules
from jmpc.ir.spec import verify
from jmpc.ir.text import parse_program, print_program
from jmpc.testing.executors import SIMULATED, executor
from tests.families.dealer2 import DEALER2
from tests.families.dealer2.protocols import beaver_mul

X = np.array([0, 3, -4, 0, 2], np.int32)
ROOT = Path(__file__).parents[2]


def zero_to_five(op: Any) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        return jnp.where(op(jmpc.bounded(x, 4), width=3), 5, x)

    return function


@pytest.fixture
def simulated() -> Iterator[None]:
    with executor(SIMULATED):
        yield


# --- in JAX


def test_it_computes_its_plain_meaning(outside: ModuleType) -> None:
    function = zero_to_five(outside.small_is_zero)
    for run in (function, jax.jit(function), jax.vmap(function)):
        np.testing.assert_array_equal(run(X), [5, 3, -4, 5, 2])
    np.testing.assert_array_equal(
        outside.twice_the_sum(np.array([1, 2], np.float32), 3.0), [8, 10]
    )  # a scalar is spread


def test_a_derivative_is_none_of_a_bool_and_refused_of_a_number(outside: ModuleType) -> None:
    def chosen(y: Any) -> Any:
        return jnp.where(outside.small_is_zero(y, width=3), y, 2 * y).sum()

    np.testing.assert_array_equal(jax.grad(chosen)(X.astype(np.float32)), [1, 2, 2, 1, 2])
    with pytest.raises(UnsupportedError, match="twice_the_sum has no gradient"):
        jax.grad(lambda y: outside.twice_the_sum(y, y).sum())(np.array([1, 2], np.float32))


def test_what_is_not_elementwise_has_no_vmap(outside: ModuleType) -> None:
    x = np.ones((2, 3), bool)
    np.testing.assert_array_equal(outside.either_pair(x, x), [True] * 3)
    with pytest.raises(UnsupportedError, match=r"either_pair has no form under jax\.vmap"):
        jax.vmap(outside.either_pair)(x, x)


@pytest.mark.parametrize(
    ("args", "attrs", "said"),
    [
        ((X,), {}, "its attributes are width; got none"),
        ((X,), {"width": 3, "depth": 1}, "its attributes are width; got width, depth"),
        ((X, X), {"width": 3}, "it takes 1 arrays, and got 2"),
        ((X > 0,), {"width": 3}, "operand 0 is bool"),
    ],
)
def test_a_wrong_use_is_refused(outside: ModuleType, args: Any, attrs: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(said)) as found:
        outside.small_is_zero(*args, **attrs)
    assert "outside.py" in found.value.where


def test_an_op_of_shares_is_none_of_jax(outside: ModuleType) -> None:
    with pytest.raises(ArgumentError, match="it has no plain meaning"):
        outside.random_like(X)


# --- in a secure function


def test_a_secure_function_runs_the_protocol(outside: ModuleType, simulated: None) -> None:
    function = zero_to_five(outside.small_is_zero)
    secured = jmpc.secure(function)
    np.testing.assert_array_equal(secured(X), jax.jit(function)(X))
    lowered = secured.lower(X)
    assert lowered.cost().by_op["small_is_zero"] == sum((8, 8, 8 * 8))
    assert "small_is_zero" in lowered.as_text("value")
    assert "small_is_zero" in lowered.as_text("share")


def test_it_runs_compiled_and_in_check_mode(outside: ModuleType) -> None:
    function = zero_to_five(outside.small_is_zero)
    for config in (Config(), Config(check=True)):
        np.testing.assert_array_equal(jmpc.secure(function, config=config)(X), function(X))


def test_it_stands_in_loops_and_equal_ones_are_merged(outside: ModuleType, simulated: None) -> None:
    def function(x: Any) -> Any:
        x = jmpc.bounded(x, 4)
        twice = outside.small_is_zero(x, width=3) | outside.small_is_zero(x, width=3)
        return twice, jax.lax.map(lambda v: outside.small_is_zero(v, width=3), x)

    secured = jmpc.secure(function)
    for found in secured(X):
        np.testing.assert_array_equal(found, X == 0)
    text = secured.lower(X).as_text("share")
    assert text.count("= small_is_zero") == 2


def test_an_op_that_is_not_elementwise_and_one_of_real_numbers(outside: ModuleType, simulated: None) -> None:
    rng = np.random.default_rng(1)
    x, y = (rng.integers(0, 2, (2, 70)) == 1 for _ in range(2))
    np.testing.assert_array_equal(jmpc.secure(outside.either_pair)(x, y), (x & y).any(0))

    def scaled(x: Any) -> Any:
        return 0.5 * outside.twice_the_sum(jmpc.bounded(x, 64), 1.25)

    z = np.array([1.5, -7, 63], np.float32)
    np.testing.assert_allclose(jmpc.secure(scaled)(z), z + 1.25, atol=1e-4)


def test_what_is_in_the_clear_stays_there(outside: ModuleType) -> None:
    secured = jmpc.secure(lambda x, y: outside.small_is_zero(x, width=3) & (y > 0), inputs={"x": "alice", "y": "bob"})
    lowered = secured.lower(X, X)
    assert "small_is_zero" not in lowered.as_text("share")
    assert "small_is_zero" in str(lowered.explain())  # computed by alice, before anything is shared


def test_a_bound_that_is_too_large_is_named_at_the_users_line(outside: ModuleType) -> None:
    with pytest.raises(BoundError, match="operand 0 may be as large as 2") as found:
        jmpc.secure(lambda x: outside.small_is_zero(x, width=3))(X)
    assert "test_declare.py" in found.value.where
    assert "at most 4 in magnitude" in found.value.why


def test_a_result_is_not_taken_to_be_as_small_as_an_operand(outside: ModuleType, simulated: None) -> None:
    """A comparison of it would look at too few bits."""

    @protocol(
        takes=[integer(), integer()], gives=[integer()], plain=lambda x, y: x * y, reference=lambda ring, x, y: x * y,
        source="a test", name="a_product",
    )  # fmt: skip
    def a_product(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        (a, b), (c, d) = held
        return reshare(me, a * c + a * d + b * c, numbers(me.ring))

    def more(x: Any, y: Any) -> Any:
        return a_product(jmpc.bounded(x, 8), jmpc.bounded(y, 8)) > 10

    x = np.array([7, -7, 3], np.int32)
    np.testing.assert_array_equal(jmpc.secure(more)(x, x), more(x, x))


def test_a_real_result_without_a_range_rests_on_the_format(outside: ModuleType) -> None:
    lowered = jmpc.secure(lambda x: outside.compared(jmpc.bounded(x, 2.0)) > 1).lower(np.array([1.0], np.float32))
    assert lowered.cost().assumed


def by_value(me: Any, held: Any, types: Any, attrs: Any) -> Any:
    return reshare(me, held[0][0][: int(held[0][0][0])], numbers(me.ring))


def misshapen(me: Any, held: Any, types: Any, attrs: Any) -> Any:
    return lax.concatenate([held[0][0], held[0][0][None]], 0)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (
            by_value,
            r"by_value\)\n  why: what it does would depend on a value that the party holds \(Conc.*\n  fix: let sha",
        ),
        (misshapen, r"misshapen\)\n  why: TypeError: .*\n  fix: a protocol is JAX for one party"),
    ],
)
def test_an_error_in_a_protocol_is_named_where_it_is_compiled(outside: ModuleType, run: Any, said: str) -> None:
    """With the protocol's line, and none of JAX's own words alone."""
    op = protocol(
        takes=[integer()], gives=[integer()], plain=lambda x: x, reference=lambda ring, x: x, source="a test"
    )(run)
    with pytest.raises(
        ProgramError, match=f"{run.__name__}: the protocol raised an error.*\n  --> {__file__}:.*{said}"
    ):
        jmpc.secure(op)(np.array([1, 2], np.int32))


def test_an_attribute_out_of_its_range_is_refused(outside: ModuleType) -> None:
    with pytest.raises(ConfigError, match="width=9 is not possible") as found:
        jmpc.secure(lambda x: outside.small_is_zero(jmpc.bounded(x, 4), width=9))(X)
    assert "test_declare.py" in found.value.where


def test_a_family_without_a_protocol_for_it_computes_its_plain_meaning(outside: ModuleType, simulated: None) -> None:
    def function(x: Any) -> Any:
        return outside.twice_the_sum(jmpc.bounded(x, 64), x * 0 + 1)

    x = np.array([1.5, -7], np.float32)
    secured = jmpc.secure(function, config=Config(protocol=DEALER2.name))
    np.testing.assert_allclose(secured(x), 2 * (x + 1), atol=1e-4)
    assert "twice_the_sum" not in secured.lower(x).as_text("share")


def test_an_op_of_another_family(outside: ModuleType, simulated: None) -> None:
    config = Config(protocol=DEALER2.name)

    @protocol(
        takes=[integer(within=1000)], gives=[integer(within=1000000)], plain=lambda x: x * x, family=DEALER2.name,
        reference=lambda ring, x: x * x, source="a product, for the tests", name="dealt_square",
    )  # fmt: skip
    def square(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        return beaver_mul(me, [held[0]] * 2, [types[0]] * 2, {})

    secured = jmpc.secure(lambda x: square(jmpc.bounded(x, 4)), config=config)
    np.testing.assert_array_equal(secured(X), X * X)
    assert "= dealt_square" in secured.lower(X).as_text("share")
    assert "= dealt_square" not in jmpc.secure(square).lower(X).as_text("share")


# --- declared


def test_a_name_that_is_taken_is_refused(outside: ModuleType) -> None:
    def declare(name: str) -> Any:
        return protocol(takes=[bit()], gives=[bit()], reference=lambda ring, x: x, source="a test", name=name)

    def identity(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        return held[0]

    for name, where in (("and", "of jmpc itself"), ("shown", "in the module 'tests.extend.outside'")):
        with pytest.raises(ConfigError, match=f"there is an op of that name, {where}") as found:
            declare(name)(identity)
        assert "test_declare.py" in found.value.where
    first = declare("identity")(identity)
    assert declare("identity")(identity) is not first  # a cell of a notebook, run again

    def other(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        return held[0]

    with pytest.raises(ConfigError, match="there is an op of that name"):
        declare("identity")(other)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"source": " "}, "nothing says where it comes from"),
        ({"gives": []}, "it gives nothing"),
        ({"takes": []}, "it takes nothing"),
        ({"gives": [integer(form="split")]}, "a result is of form split"),
        ({"reference": None}, "it has no reference"),
        ({"name": "not a word"}, "is no name for an op"),
        ({"family": "none"}, "there is no family 'none'"),
        ({"shape": lambda shapes, attrs: ()}, "shape= and at= go together"),
    ],
)
def test_what_is_missing_is_named(outside: ModuleType, said: dict[str, Any], fault: str) -> None:
    whole: dict[str, Any] = {"takes": [bit()], "gives": [bit()], "reference": lambda ring, x: x, "source": "a test"}
    whole["name"] = "planted"
    with pytest.raises(ConfigError, match=fault):
        protocol(**{**whole, **said})(lambda me, held, types, attrs: held[0])


def test_a_plain_meaning_that_gives_something_else_is_refused(outside: ModuleType) -> None:
    @protocol(
        takes=[integer()], gives=[real()], plain=lambda x: x, reference=lambda ring, x: x, source="a test", name="odd"
    )
    def odd(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        return held[0]

    with pytest.raises(ConfigError, match="its plain meaning gives int32"):
        jmpc.secure(odd)(X)


# --- in the text of a program


def test_the_text_names_the_module_and_reads_back(outside: ModuleType) -> None:
    share = jmpc.secure(zero_to_five(outside.small_is_zero)).lower(X).flow.share
    text = print_program(share)
    assert 'uses small_is_zero from "tests.extend.outside" "' in text
    again = parse_program(text)
    verify(again, "share")
    assert print_program(again) == text


@pytest.mark.parametrize(
    ("pattern", "by", "said"),
    [
        (
            r'(uses \w+ from ")[\w.]+',
            r"\1elsewhere",
            "'small_is_zero' of the module 'elsewhere', which this process does",
        ),
        (r'(outside" ")\w', r"\1-", "is another one here than in the program"),
        (r"uses .*\n", "", "does not say where its ops come from: small_is_zero"),
        (r"uses (\w+)(.*)\n", r"uses \1\2\nuses shown\2\n", "does not say where its ops come from: shown"),
        (
            r"small_is_zero",
            "small_is_one",
            "'small_is_one' of the module 'tests.extend.outside', which this process does",
        ),
    ],
)
def test_a_text_that_says_otherwise_is_refused(outside: ModuleType, pattern: str, by: str, said: str) -> None:
    text = print_program(jmpc.secure(zero_to_five(outside.small_is_zero)).lower(X).flow.share)
    with pytest.raises(ProgramError, match=re.escape(said)):
        parse_program(re.sub(pattern, by, text))


def test_an_operand_of_another_form_is_refused_at_the_share_level(outside: ModuleType) -> None:
    text = print_program(jmpc.secure(zero_to_five(outside.small_is_zero)).lower(X).flow.share)
    text = re.sub(r"(= small_is_zero )%\d+", r"\1%2", text)  # the shared number, not yet split
    with pytest.raises(ProgramError, match="small_is_zero takes split as operand 0, got arith"):
        verify(parse_program(text), "share")


# --- at the parties


def test_parties_import_the_module_by_themselves(outside: ModuleType, tmp_path: Path) -> None:
    function = zero_to_five(outside.small_is_zero)
    assert "tests.extend.outside" in modules()
    with jmpc.processes() as backend:
        secured = jmpc.secure(function)
        np.testing.assert_array_equal(secured(X), function(X))
        with pytest.raises(
            ProgramError, match="'late' of the module 'test_late_ops', which this process does not have"
        ):
            _late(tmp_path, secured)
        assert backend.name == "processes"


def _late(folder: Path, secured: Any) -> None:
    """An op of a module that the parties were started without."""
    (folder / "test_late_ops.py").write_text(
        "from jmpc.extend import integer, protocol\n\n"
        "@protocol(takes=[integer()], gives=[integer()],\n"
        "          plain=lambda x: x, reference=lambda ring, x: x, source='a test')\n"
        "def late(me, held, types, attrs):\n    return held[0]\n"
    )
    sys.path.append(str(folder))
    try:
        from test_late_ops import late  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(str(folder))
    jmpc.secure(lambda x: late(x))(X)


@pytest.mark.parametrize("name", ["nowhere_to_be_found", "__main__", "not a module"])
def test_a_module_that_no_party_can_import_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="module"), jmpc.processes(modules=[name]):
        pass


def test_a_module_that_fails_at_the_parties_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_broken_ops.py").write_text("raise RuntimeError('no such thing')\n")
    sys.path.append(str(tmp_path))
    try:
        with pytest.raises(LaunchError, match="did not come up") as found, jmpc.processes(modules=["test_broken_ops"]):
            pass
    finally:
        sys.path.remove(str(tmp_path))
    assert "test_broken_ops" in found.value.why
