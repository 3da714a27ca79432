"""A program as its caller's alone: the same but for the names."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np

import jmpc
from jmpc.executors.engine import program_text
from jmpc.ir.caller import of_the_caller
from jmpc.ir.spec import verify
from jmpc.ir.text import parse_program, print_program
from jmpc.roles import Role

X = np.float32([1.0, -2.0])


def looped(a, b, w):
    def step(carry, _):
        return jnp.maximum(carry * w, b), carry

    return jax.lax.scan(step, a, None, length=3)


def named(one: str, other: str) -> jmpc.api.Lowered:  # type: ignore[name-defined]
    return jmpc.secure(looped, inputs={"a": one, "b": other}, public="w", outputs=(one, jmpc.SECRET)).lower(
        X, X, np.float32(2.0)
    )


def test_only_the_names_are_others() -> None:
    flow = named("alice", "bob").flow
    made = of_the_caller(flow.share)
    verify(made, "share")
    before, after = (print_program(program, locations=False) for program in (flow.share, made))
    assert re.search('"alice"|"bob"', before)
    assert after == re.sub('"(alice|bob)"', '"caller"', before)
    assert {entry.owner for entry in made.inputs} == {Role.CALLER, Role.PUBLIC}
    assert {entry.receiver for entry in made.outputs} == {Role.CALLER, Role.SECRET}


def test_the_work_of_an_owner_is_the_callers() -> None:
    """Whose it is stands in the path of an input that is no argument."""
    function = jmpc.secure(lambda a, b: a * 2 * b, inputs={"a": "alice", "b": "bob"}, outputs="bob")
    flow = function.lower(X, X).flow
    assert [entry.path for entry in flow.share.inputs] == ["(work of alice)", "b"]
    assert [entry.path for entry in of_the_caller(flow.share).inputs] == ["(work of caller)", "b"]


def test_the_schedule_still_fits_and_the_text_is_read() -> None:
    flow = named("alice", "bob").flow
    text = program_text(of_the_caller(flow.share), flow.schedule)
    assert print_program(parse_program(text.partition("\nschedule ")[0]), locations=False) in text


def test_a_program_without_names_is_itself() -> None:
    share = jmpc.secure(lambda x, w: x * w, public="w").lower(X, X).flow.share
    assert of_the_caller(share) is share
