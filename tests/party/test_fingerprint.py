"""Keys of code: equal for the same code, in any process, and different where anything differs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import jmpc
from jmpc import _jax
from jmpc.executors.segment import Work, groups, names_of
from jmpc.party.fingerprint import array_text, key_of
from jmpc.testing import programs
from jmpc.testing.draw.jax_programs import RandomProgram

ROOT = Path(__file__).resolve().parents[2]
LONG = np.arange(3000, dtype=np.uint64)


def changed(index: int, by: int = 1) -> np.ndarray:
    array = LONG.copy()
    array[index] += np.uint64(by)
    return array


def key(function: Callable[..., Any], *args: Any) -> str:
    with _jax.x64():
        jaxpr, consts = _jax.closed(_jax.make_jaxpr(function, *args))
    names = {v: f"i{n}" for n, v in enumerate(jaxpr.invars)}
    names.update((v, f"c{array_text(c)}") for v, c in zip(jaxpr.constvars, consts, strict=True))
    head = str([(v.aval.shape, v.aval.dtype) for v in jaxpr.invars])
    outs = [v for v in jaxpr.outvars if not isinstance(v, _jax.Literal)]
    return key_of(jaxpr.eqns, names, head, outs, {})


def plus(constant: Any) -> Callable[[Any], Any]:
    return lambda x: x + constant


def inner(constant: Any) -> Callable[[Any], Any]:
    """The constant belongs to the body of a call."""
    return lambda x: jax.jit(lambda y: y + constant)(x)


def deeper(constant: Any) -> Callable[[Any], Any]:
    return lambda x: jax.jit(lambda y: jax.jit(lambda z: z ^ constant)(y))(x)


def looped(constant: Any) -> Callable[[Any], Any]:
    return lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y + constant, x)


def branched(constant: Any) -> Callable[[Any], Any]:
    return lambda x: jax.lax.cond(x[0] > 1, lambda y: y + constant, lambda y: y, x)


DIFFERENT = {
    "a constant, at its end": (plus(LONG), plus(changed(-1)), LONG),
    "a constant, in its middle": (plus(LONG), plus(changed(1500)), LONG),
    "a constant of a call": (inner(LONG), inner(changed(1500)), LONG),
    "a constant of a call in a call": (deeper(LONG), deeper(changed(1500)), LONG),
    "a constant of a loop": (looped(LONG), looped(changed(1500)), LONG),
    "a constant of a branch": (branched(LONG), branched(changed(1500)), LONG),
    "a number in its last bit": (plus(1 + 2**-52), plus(1.0), np.ones(3)),
    "a number in the body of a call": (inner(1 + 2**-52), inner(1.0), np.ones(3)),
    "the sign of zero": (lambda x: x * 0.0, lambda x: x * -0.0, np.ones(3)),
    "an operation": (lambda x: x + x, lambda x: x * x, LONG),
    "the order of operands": (lambda x, y: x - y, lambda x, y: y - x, LONG, LONG),
    "which result": (lambda x: (x + 1, x * 2), lambda x: (x * 2, x + 1), LONG),
    "a parameter": (lambda x: jnp.flip(x, 0), lambda x: jnp.flip(x, 1), np.ones((2, 2))),
    "a dtype": (lambda x: x.astype(np.uint8), lambda x: x.astype(np.uint16), LONG),
}


@pytest.mark.parametrize("what", sorted(DIFFERENT))
def test_what_differs_has_another_key(what: str) -> None:
    one, other, *args = DIFFERENT[what]
    assert key(one, *args) == key(one, *args)
    assert key(one, *args) != key(other, *args)


@pytest.mark.parametrize("value", [LONG, np.float64(0.1), np.zeros((2, 0)), np.array(True), 3, np.uint8(3)])
def test_an_array_is_named_by_dtype_shape_and_content(value: Any) -> None:
    array = np.asarray(value)
    others = [array.reshape((1, *array.shape)), array.astype(np.complex64), np.append(array, array)]
    assert array_text(array) == array_text(array.copy())
    assert array_text(array) not in [array_text(other) for other in others]


def test_an_array_of_objects_equals_none() -> None:
    array = np.array([object()])
    assert array_text(array) != array_text(array)


@jax.custom_jvp
def _with_a_rule(x: Any) -> Any:
    return x + 1


_with_a_rule.defjvp(lambda primals, tangents: (_with_a_rule(*primals), tangents[0]))


def test_what_holds_a_function_equals_none() -> None:
    """A function shows itself by its address, which another function may get."""
    assert key(_with_a_rule, LONG) != key(_with_a_rule, LONG)


SEEN: dict[Any, str] = {}


@pytest.mark.filterwarnings("ignore::jmpc.errors.RangeWarning")
@settings(max_examples=15)
@given(program=programs(steps=8))
def test_segments_with_equal_keys_are_the_same_program_for_xla(program: RandomProgram) -> None:
    """Over all the random programs of a run: a key stands for one text."""
    plans = jmpc.secure(program.function, **program.options).lower(*program.inputs).flow.plans
    for group in groups(plans):
        if any(group):
            work = Work.of(group, inside=False)
            with _jax.x64():
                text = jax.jit(work.run, keep_unused=True).lower(*work.arguments).as_text()
            assert SEEN.setdefault(names_of(group), text) == text


SCRIPT = """
import jax, jax.numpy as jnp, numpy as np, jmpc
from jmpc.executors.segment import groups, names_of
x = np.ones((3, 4), np.float32)
for f in (lambda x: jax.nn.softmax(x), lambda x: jnp.sort(x), lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y * x, x)):
    print([names_of(g) for g in groups(jmpc.secure(f).lower(x).flow.plans)])
"""


def test_keys_are_the_same_in_every_process() -> None:
    def shown(seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", SCRIPT]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment).stdout

    assert shown("1") == shown("2") != ""
