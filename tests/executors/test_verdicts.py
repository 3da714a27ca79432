"""A party that is not content stops everybody, in every executor, and no result leaves or is stored."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from jmpc.backends import Kept
from jmpc.config import Config
from jmpc.errors import CheatingDetected, JMPCError, PartyError
from jmpc.executors.engine import PartyEngine, program_text
from jmpc.executors.local import run_local
from jmpc.executors.segment import Placed
from jmpc.ir import ops
from jmpc.ir.program import Builder, Input, Output, Program, Value
from jmpc.ir.types import BOOL, PLAIN, PUBLIC, Type
from jmpc.party.build import plan_all
from jmpc.ring.element import Ring
from jmpc.roles import Role
from jmpc.runtime.memory import memory_channels
from jmpc.testing.conformance.executors import judged_flow
from jmpc.testing.simulator.lockstep import Masks, run_traced, traces
from jmpc.testing.simulator.shares import hold
from tests.api.parties_here import parties_here
from tests.executors.programs import KEYS

BITS = Type((3,), BOOL, visibility=PUBLIC, form=PLAIN)
X = Type((3,), "fixed", 0, 9)
FINE = [[1, 1, 1]] * 3
ONE_OBJECTS = [[1, 1, 1], [1, 0, 1], [1, 1, 1]]


def emit(build: Builder, name: str, *inputs: Value, **attrs: Any) -> Value:
    return build.emit(name, inputs, ops.infer(name, [v.type for v in inputs], attrs, Config())[0], **attrs)


def squared(build: Builder, x: Value) -> Value:
    return emit(build, "reshare", emit(build, "mul_sum3", x, x))


def program(where: str) -> Program:
    """x squared twice, once to a receiver and once kept; the bits are judged before, between, after, or in a loop."""
    x, bits, build = Value(X), Value(BITS), Builder()
    if where == "before":
        emit(build, "verify", bits)
    first = squared(build, x)
    if where == "between":
        emit(build, "verify", emit(build, "not", emit(build, "not", bits)))
    second = squared(build, first)
    if where == "after":
        emit(build, "verify", bits)
    if where == "in a loop":
        inner, carried, held = Builder(), Value(second.type), Value(BITS)
        emit(inner, "verify", held)
        body = inner.block((held, carried), (carried,))
        (second,) = build.emit_many(
            "loop", (bits, second), (second.type,), body=body, consts=1, carry=1, trip=3, reverse=False
        )
    outputs = (Output("[0]", "carol", "float32"), Output("[1]", Role.SECRET, "float32"))
    return Program(
        "judged", Config(), (Input("x", Role.SECRET), Input("b", "")), outputs, build.block((x, bits), (first, second))
    )


PLACES = ("before", "between", "after", "in a loop")


def held_inputs(bits: Sequence[Sequence[int]]) -> list[list[np.ndarray]]:
    shares = hold(np.array([1, -2, 3]), X, Ring(64), np.random.default_rng(0))
    return [[*mine, np.array(one, np.uint64)] for mine, one in zip(shares, bits, strict=True)]


@pytest.mark.parametrize("where", PLACES)
def test_the_local_executor_stops(where: str) -> None:
    placed = Placed.here(plan_all(program(where))[1])
    held, _ = run_local(placed, held_inputs(FINE), KEYS)
    assert len(held[0]) == 3
    with pytest.raises(CheatingDetected) as found:
        run_local(placed, held_inputs(ONE_OBJECTS), KEYS)
    assert isinstance(found.value, PartyError)
    assert "[" not in str(found.value)


@pytest.mark.parametrize("where", PLACES)
def test_simulated_parties_stop(where: str) -> None:
    made = traces(program(where))
    for bits, stops in ((FINE, False), (ONE_OBJECTS, True)):
        held = [[[np.asarray(a) for a in mine] for mine in held_inputs(bits)]]
        if not stops:
            run_traced(made, held, Masks(np.random.default_rng(1)))
            continue
        with pytest.raises(CheatingDetected):
            run_traced(made, held, Masks(np.random.default_rng(1)))


@pytest.mark.parametrize("where", PLACES)
def test_parties_over_channels_stop(where: str) -> None:
    """One finds out, in a thread of its own; nobody else ends with a result that it does not know to be right."""
    schedule, _ = plan_all(made := program(where))
    text = program_text(made, schedule)

    def play(party: int, channel: Any, inputs: list[np.ndarray]) -> Any:
        engine = PartyEngine(party)
        key = engine.load(text)
        engine.compile(key)
        try:
            return engine.run(key, channel, KEYS[party], inputs)
        except JMPCError as error:
            channel.close()  # as a session does that ends in an error
            return error

    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(play, range(3), memory_channels(60.0), held_inputs(ONE_OBJECTS)))
    assert isinstance(ends[1], CheatingDetected)


def test_processes_stop_and_keep_nothing() -> None:
    """What stays shared is stored once all are content; each says that it was not, or was told so."""
    flow, x = judged_flow(), np.array([1, 2, 3], np.uint64)
    with parties_here() as backend:
        parties: Any = backend.cluster
        with pytest.raises(CheatingDetected, match="a check of the protocol failed") as found:
            backend.run(flow, [x, np.array([1, 0, 1], np.uint64)])
        assert sorted(found.value.reports) == [0, 1, 2]
        assert all(isinstance(error, PartyError) for error in found.value.reports.values())
        assert parties.held == [0, 0, 0]
        kept = backend.run(flow, [x, np.ones(3, np.uint64)])[0][1]
        assert isinstance(kept, Kept)
        assert parties.held == [2, 2, 2]


MESH = """
import sys
from jmpc.errors import CheatingDetected
from jmpc.executors.mesh import run_mesh
from jmpc.executors.placement import Placement
from jmpc.executors.segment import Placed
from jmpc.party.build import plan_all
from tests.executors.programs import KEYS
from tests.executors.test_verdicts import FINE, ONE_OBJECTS, PLACES, held_inputs, program
for where in PLACES:
    placed = Placed(plan_all(program(where))[1], Placement.of_each())
    held, _ = run_mesh(placed, held_inputs(FINE), KEYS)
    assert [len(mine) for mine in held] == [3, 3, 3]
    try:
        run_mesh(placed, held_inputs(ONE_OBJECTS), KEYS)
    except CheatingDetected:
        print(where)
"""


def test_the_mesh_executor_stops() -> None:
    settings = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", MESH], capture_output=True, text=True, env={**os.environ, **settings}, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == list(PLACES)


@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_a_party_judges_once(where: str) -> None:
    for plan in plan_all(program(where))[1]:
        assert [len(step.verdicts) for step in plan.steps if step.verdicts] == [1]


SENT = """
import numpy as np
from jax import lax
import jmpc
from jmpc.extend import protocol, real

@protocol(takes=[real()], gives=[real()], plain=lambda x: x, reference=lambda ring, x: x, source="a test")
def agreed(me, held, types, attrs):
    first, second = held[0]
    content = me.verify(lax.full_like(first, 1))
    others = me.exchange(to_prv=content, from_nxt=(types[0].shape, me.ring.dtype))
    return first, lax.mul(second, others)

x = np.arange(3, dtype=np.float32)
for block in (jmpc.local, jmpc.mesh):
    with block():
        print(*map(int, jmpc.secure(agreed)(x)))
"""


def test_bits_that_are_judged_may_be_sent_too() -> None:
    """And be read by nothing else: then they are freed with the round that sends them."""
    settings = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SENT], capture_output=True, text=True, env={**os.environ, **settings}, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["0 1 2"] * 2


def test_what_has_an_effect_is_neither_dropped_nor_merged() -> None:
    assert [op.name for op in program("after").body.ops].count("verify") == 1
    assert ops.with_trait("effect") == {"verify"}
    assert (
        list(
            itertools.chain.from_iterable(step.verdicts for p in plan_all(program("in a loop"))[1] for step in p.steps)
        )
        == []
    )
