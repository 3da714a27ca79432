"""What must hold between two runs of a secure function, without a reference: metamorphic rules.

What goes in: a rule, a function, its arguments. What comes out: nothing, or an AssertionError that shows where the two
secure results differ. A rule changes the arguments inside the function, or who owns them, and says what that does to
the result; it finds faults that plain JAX and the secure function might have in common, and costs no reference.

    assert_rule(ADD_ZERO, predict, params, x)
    assert_rule(permute_rows((2, 0, 1), arguments=(1,)), predict, params, x)

`ADD_ZERO`, `DOUBLE_TRANSPOSE`, `SPLIT_AND_CONCATENATE` and `SWAP_OWNERS` hold for every function; `permute_rows` for
one that treats rows alike, `scale` for a homogeneous one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jmpc._types import Array
from jmpc.api import secure
from jmpc.errors import ConfigError
from jmpc.testing.check import stated
from jmpc.testing.compare import Tolerance, difference
from jmpc.testing.executors import executor
from jmpc.testing.snippet import HEAD, function_text, options_text, value_text

Options = dict[str, Any]


def _same(x: Any) -> Any:
    return x


@dataclass(frozen=True)
class Rule:
    """holds: the rule, as a formula. change: of an array of the arguments. undo: of an array of the result, so that it
    is again what the function gives unchanged. arguments: numbers of those that are changed; None for all. owners: of
    the options of `jmpc.secure`."""

    name: str
    holds: str
    change: Callable[[Array], Array] = _same
    undo: Callable[[Array], Array] = _same
    arguments: tuple[int, ...] | None = None
    owners: Callable[[Options], Options] = _same

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function that must give what `function` gives."""

        def changed(*args: Any) -> Any:
            given = [
                jax.tree.map(self.change, a) if self.arguments is None or n in self.arguments else a
                for n, a in enumerate(args)
            ]
            return jax.tree.map(self.undo, function(*given))

        if self.change is _same:
            return function
        changed.__name__ = getattr(function, "__name__", "function")
        changed.__wrapped__ = function  # pyright: ignore[reportFunctionMemberAccess]  (its parameters have names)
        return changed


def assert_rule(
    rule: Rule,
    function: Callable[..., Any],
    *args: Any,
    tolerance: Tolerance | None = None,
    executors: Sequence[str | None] = (None,),
    seed: int = 0,
    **options: Any,
) -> None:
    """The secure function and its variant by the rule give the same, on each of the executors.

    tolerance: absolute; by default twice that of `assert_secure_close`, for either result has its rounding. Integers
    and bools must be equal. executors, options: as in `assert_secure_close`.

    Raises AssertionError; ConfigError where the rule asks for owners that the options do not have; and what
    `jmpc.secure` raises for a function that it refuses.
    """
    plain, variant = secure(function, **options), secure(rule.of(function), **rule.owners(options))
    for name in executors:
        with executor(name, seed) as backend:
            one, two = plain(*args), variant(*args)
        bound = [2 * t for t in stated(plain, args, one)] if tolerance is None else tolerance
        fault = difference(two, one, bound)
        if fault is not None:
            where = f"{plain.__name__} breaks the rule {rule.name}, {rule.holds}, on {backend.name}"
            raise AssertionError(f"{where}: {fault}\nto see it again:\n\n{_snippet(rule, function, args, options)}")


def _snippet(rule: Rule, function: Callable[..., Any], args: Sequence[Any], options: Options) -> str:
    return (
        f"{HEAD}from jmpc.testing.metamorphic import *\n\n\n{function_text(function)}\n"
        f"args = {value_text(tuple(args))}\n"
        f"assert_rule({rule.name}, function, *args{options_text(options)})\n"
    )


# --- the rules


def _plus_zero(x: Array) -> Array:
    return jnp.logical_or(x, False) if jnp.asarray(x).dtype == bool else x + jnp.zeros((), jnp.asarray(x).dtype)


def _twice_transposed(x: Array) -> Array:
    return jnp.transpose(jnp.transpose(x))


def _cut_and_joined(x: Array) -> Array:
    """In two along the first axis, where there are two."""
    rows = jnp.shape(x)[0] if jnp.ndim(x) else 0
    return x if rows < 2 else jnp.concatenate([x[: rows // 2], x[rows // 2 :]])


def _rotated(options: Options) -> Options:
    inputs = dict(options.get("inputs") or {})
    if len(set(inputs.values())) < 2:
        raise ConfigError(
            "swap_owners needs two owners", where="inputs", todo="name an owner for each argument: inputs={...}"
        )
    owners = list(inputs.values())
    return {**options, "inputs": dict(zip(inputs, owners[1:] + owners[:1], strict=True))}


ADD_ZERO = Rule("ADD_ZERO", "f(x + 0) = f(x)", _plus_zero)
DOUBLE_TRANSPOSE = Rule("DOUBLE_TRANSPOSE", "f(x.T.T) = f(x)", _twice_transposed)
SPLIT_AND_CONCATENATE = Rule("SPLIT_AND_CONCATENATE", "f(concatenate(split(x))) = f(x)", _cut_and_joined)
SWAP_OWNERS = Rule("SWAP_OWNERS", "f does not depend on who owns what", owners=_rotated)
EVERY = (ADD_ZERO, DOUBLE_TRANSPOSE, SPLIT_AND_CONCATENATE, SWAP_OWNERS)


def permute_rows(order: Sequence[int], arguments: tuple[int, ...] = (0,)) -> Rule:
    """f(x[order]) = f(x)[order], for a function that treats the rows of these arguments alike and gives as many."""
    order = tuple(order)
    back = jnp.argsort(jnp.array(order))
    name = f"permute_rows({order}, {arguments})"
    return Rule(name, f"f(x[{order}]) = f(x)[{order}]", lambda x: x[jnp.array(order)], lambda y: y[back], arguments)


def scale(power: int, degree: int = 1, arguments: tuple[int, ...] = (0,)) -> Rule:
    """f(2^power x) = 2^(power degree) f(x), for a function that is homogeneous in these arguments. A negative power
    costs that many bits of the argument: state a tolerance."""
    name = f"scale({power}, {degree}, {arguments})"
    up, down = 2.0**power, 2.0 ** (-power * degree)
    return Rule(name, f"f({up} x) = {1 / down} f(x)", lambda x: x * up, lambda y: y * down, arguments)


__all__ = [
    "ADD_ZERO", "DOUBLE_TRANSPOSE", "EVERY", "SPLIT_AND_CONCATENATE", "SWAP_OWNERS", "Rule", "assert_rule",
    "permute_rows", "scale",
]  # fmt: skip
