"""Carries of loops: types that hold in every iteration, of every dtype, by a fixed point and not by luck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.config import Config
from jmpc.frontend.loops import carries
from jmpc.frontend.loops.carries import Held
from jmpc.ir import ops
from jmpc.ir.program import walk
from jmpc.ir.types import ASSUMED, DECLARED, FIXED, INFERRED, INT, Type
from jmpc.testing.executors import executor
from tests.frontend.data import X
from tests.frontend.oracle import check

SMALL = Config(k=32, f=8)


def repeated(body: Callable[[Any], Any], start: Any, length: int = 3) -> Any:
    return lax.scan(lambda c, _: (body(c), None), start, None, length=length)[0]


def values(dtype: Any) -> np.ndarray:
    info = np.iinfo(dtype)
    return np.array([3, int(info.max), 7, int(info.min), int(info.max) // 3], dtype)


BODIES: dict[str, Callable[[Any], Any]] = {
    "xor": lambda v: repeated(lambda c: c ^ v, v ^ 5),
    "or": lambda v: repeated(lambda c: c | v, v & 5),
    "not": lambda v: repeated(lambda c: ~c, v ^ v),
    "add": lambda v: repeated(lambda c: c + v, v),
    "add to an unsettled start": lambda v: repeated(lambda c: c + v, v * v),
    "subtract from": lambda v: repeated(lambda c: v - c, v),
    "multiply": lambda v: repeated(lambda c: c * v + 1, v),
    "maximum": lambda v: repeated(lambda c: jnp.maximum(c, v), v ^ v),
    "maximum of an unsettled start": lambda v: repeated(lambda c: jnp.maximum(c, v), v + v),
    "shift right": lambda v: repeated(lambda c: c >> 1, v),
    "shift left": lambda v: repeated(lambda c: c << 1, v),
    "remainder": lambda v: repeated(lambda c: (c + (v & 3)) % 7, v & 3),
    "where": lambda v: repeated(lambda c: jnp.where(c > v, c - v, c + v), v),
    "clip": lambda v: repeated(lambda c: jnp.clip(c + v, 2, 9), v ^ v),
    "a chain": lambda v: lax.fori_loop(0, 7, lambda k, c: (*c[1:], c[-1] + v), (v ^ v,) * 6),
    "a loop in a loop": lambda v: repeated(lambda c: repeated(lambda d: d * 3 ^ v, c), v & 7),
    "a counter": lambda v: lax.fori_loop(0, 3, lambda k, c: c + (v > 3), v ^ v),
}
DTYPES = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32)


@pytest.mark.parametrize("name", sorted(BODIES))
@pytest.mark.parametrize("config", [Config(), SMALL], ids=["64 bits", "32 bits"])
def test_integers_of_every_dtype(name: str, config: Config) -> None:
    for dtype in DTYPES:
        with jax.numpy_dtype_promotion("standard"):
            check(BODIES[name], values(dtype), config=config)


@pytest.mark.parametrize("name", sorted(BODIES))
def test_integers_as_wide_as_the_ring(name: str) -> None:
    with jax.enable_x64(True):
        for dtype in (np.int64, np.uint64):
            check(BODIES[name], values(dtype))


def test_a_share_program_carries_unsigned_integers() -> None:
    """Through the protocols: a stated limit of one more than the dtype holds broke the rule for loops."""
    x = np.arange(4, dtype=np.uint8)
    with executor("simulated", 0):
        got = jmpc.secure(lambda x, y: repeated(lambda c: c ^ y, x ^ y))(x, x[::-1])
    np.testing.assert_array_equal(got, x)


def held(function: Callable[..., Any], *args: Any, config: Config | None = None) -> list[Type]:
    """The types of the carries of all loops."""
    lowered = jmpc.secure(function, config=config).lower(*args)
    loops = [op for op in walk(lowered.flow.frontier.program.body) if op.name == "loop"]
    return [v.type for op in loops for v in op.outputs[: op.attrs["carry"]]]


UNIT = 2**18
MOST = ops.contract(18, Config())
BOUNDS: dict[str, tuple[Callable[[Any], Any], int, str]] = {
    "a declared bound that the body keeps": (
        lambda x: repeated(lambda c: c * 0.5, jmpc.bounded(x, 4.0)), 4 * UNIT, DECLARED,
    ),
    "a moving average of declared values": (
        lambda x: repeated(lambda c: c * 0.9 + jmpc.bounded(x, 4.0), jmpc.bounded(x, 4.0)), None, ASSUMED,
    ),
    "a declared bound that grows": (lambda x: repeated(lambda c: c * 2, jmpc.bounded(x, 4.0)), MOST, ASSUMED),
    "a bound that would be refused": (
        lambda x: repeated(lambda c: c * c * c * 1e-5, jmpc.bounded(x, 2.0**20)), MOST, ASSUMED,
    ),
    "what starts with zeros and is bounded": (
        lambda x: repeated(lambda c: c * 0.5 + jnp.tanh(x), jnp.zeros(x.shape)), None, ASSUMED,
    ),
    "nothing is known": (lambda x: repeated(lambda c: c + x, jnp.zeros(x.shape)), MOST, ASSUMED),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_bounds_of_real_carries(name: str) -> None:
    function, limit, origin = BOUNDS[name]
    check(function, X)
    (found,) = held(function, X)
    assert found.origin == origin
    assert found.limit == limit if limit is not None else found.limit < 2**28


def test_bounds_of_integer_carries() -> None:
    i = np.array([3, -5, 7], np.int32)
    assert [t.limit for t in held(lambda i: repeated(lambda c: (c + i) % 7, i * 0), i)] == [13]
    assert [t.limit for t in held(lambda i: repeated(lambda c: jnp.maximum(c, i), i), i)] == [2**31]
    (declared,) = held(lambda i: repeated(lambda c: c[::-1], jmpc.bounded(i, 10)), i)
    assert (declared.limit, declared.origin) == (10, DECLARED)
    (whole,) = held(lambda x: repeated(lambda c: jnp.maximum(c, x.astype(int)), x.astype(int)), X)
    assert whole.origin == ASSUMED  # a real number that is taken for whole is assumed to be one of the format


def test_the_weakest_origin_goes_around() -> None:
    """The second carry is assumed from the second iteration on, the first from the third."""
    found = held(lambda x, i: repeated(lambda c: (c[1], x[0, 0].astype(int)), (i % 5, i % 5)), X, np.int32(3))
    assert [t.origin for t in found] == [ASSUMED, ASSUMED]


def test_a_fixed_point_is_reached_in_few_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    from jmpc.frontend.rules import scan

    walks = []
    walked = scan.Scan.walk
    monkeypatch.setattr(scan.Scan, "walk", lambda self: walks.append(self) or walked(self))

    def nested(x: Any, depth: int) -> Any:
        return repeated(lambda c: nested(c, depth - 1), x) if depth else x * 0.5 + 1

    def count(function: Callable[..., Any], *args: Any) -> int:
        walks.clear()
        jmpc.secure(function).lower(*args)
        return len(walks)

    assert count(lambda x: repeated(lambda c: c * 0.5 + x, x), X) == 1  # nothing is known at the start: no search
    chain = lambda i: lax.fori_loop(0, 30, lambda k, c: (*c[1:], c[-1] + i), (i * 0,) * 20)  # noqa: E731
    assert count(chain, X.astype(np.int32)) <= 9
    assert count(lambda x: nested(jmpc.bounded(x, 4.0), 4), X) <= 20  # not 4 to the 4th


def number(limit: int, origin: str = INFERRED) -> Held:
    return Held(Type((), FIXED, 18, limit, origin))


def integer(low: int, high: int, origin: str = INFERRED) -> Held:
    return Held(Type((), INT, 0, max(-low, high, 1), origin), (low, high))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("config", [Config(), SMALL], ids=["64 bits", "32 bits"])
def test_every_way_up_ends_and_contains_what_was_seen(dtype: Any, config: Config) -> None:
    rng = np.random.default_rng(5)
    low, high = (max(min(int(n), 2**62), -(2**62)) for n in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    for _ in range(200):
        start = integer(*sorted(int(n) >> int(rng.integers(0, 60)) for n in rng.integers(low, high, 2)))
        now, steps = carries.carried(start, start, carries.START, dtype, config), 0
        while True:
            grown = int(rng.integers(1, 2**40))
            found = integer(now.span[0] - grown, now.span[1] + grown, [INFERRED, DECLARED, ASSUMED][rng.integers(3)])
            if now.holds(found):
                break
            now, steps = carries.widened(now, start, found, dtype, config), steps + 1
            assert now.rung == carries.LAST or carries._is_within(start.span, now.span)
            assert steps < 8
        assert now.rung == carries.LAST


def test_a_real_carry_goes_to_the_contract() -> None:
    start = carries.carried(number(1), number(1), carries.START, np.float32, Config())
    rungs = [start]
    while not rungs[-1].holds(number(2 * rungs[-1].type.limit)):
        found = number(2 * rungs[-1].type.limit)
        rungs.append(carries.widened(rungs[-1], start, found, np.float32, Config()))
    assert [h.type.limit for h in rungs] == [1, 2, 4 << carries.ROOM_BITS, MOST]
    assert rungs[-1].type.origin == ASSUMED
