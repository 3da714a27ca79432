"""What every executor must do (`Backend` of `jmpc/backends.py`), as rules that any executor can be put to.

What goes in: a backend, whose parties are there. What comes out: nothing, or an AssertionError that names the rule that
does not hold.

    with jmpc.processes() as backend:
        check_executor(backend)

An executor gets a compiled program and what to feed it. It may run where it likes; the rules ask for right results, for
the rounds and bytes that the compiler stated, for new randomness in every run, for shares that stay where they are, and
that a party which is not content stops everybody.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmpc import backends
from jmpc.api import secure
from jmpc.backends import Backend, LocalBackend
from jmpc.compiler import Flow
from jmpc.config import Config
from jmpc.errors import ArgumentError, CheatingDetected
from jmpc.handle import SecretArray
from jmpc.ir import ops
from jmpc.ir.program import Builder, Input, Output, Program, Value
from jmpc.ir.types import BOOL, FIXED, LOCAL, PLAIN, PUBLIC, Type
from jmpc.random import uniform
from jmpc.roles import Role
from jmpc.testing.compare import assert_close
from jmpc.testing.conformance.rules import Rules

Array = np.ndarray
EXECUTORS: Rules[Backend] = Rules("an executor")


def check_executor(backend: Backend, only: Sequence[str] | None = None) -> None:
    """Put an executor to every rule of executors, or to those that `only` names. Raises AssertionError."""
    EXECUTORS.run(backend, only)


# --- programs that between them use every part of an executor


def _numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def _layers(x: Any, w: Any, b: Any, v: Any) -> Any:
    return jax.nn.relu(x @ w + b) @ v


def _convolution(x: Any, kernel: Any) -> Any:
    h = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _loop(x: Any, w: Any) -> Any:
    def body(carry: Any, t: Any) -> Any:
        return carry @ w + t, (carry.sum(), carry > t)

    return jax.lax.scan(body, x, jnp.arange(3.0), reverse=True)


def _small(x: Any, nothing: Any) -> Any:
    """A scalar, an empty array, a constant, and the same result twice."""
    total = x.sum()
    return total, nothing * 2, jnp.float32(3), total, x.argmax(-1)


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Config, float]] = {
    "layers": (_layers, (_numbers(3, 5), _numbers(5, 4), _numbers(4), _numbers(4, 2)), Config(), 1e-3),
    "a ring of 32 bits": (lambda x, y: (x @ y) * y[:3], (_numbers(3, 5), _numbers(5, 3)), Config(k=32, f=8), 0.1),
    "masks of ChaCha20": (lambda x, y: x @ y, (_numbers(3, 5), _numbers(5, 3)), Config(prf="chacha20"), 1e-3),
    "a convolution": (_convolution, (_numbers(1, 6, 6, 1), _numbers(3, 3, 1, 2)), Config(), 1e-3),
    "bools": (lambda x: (x > 0, (x > 0) & (x < 1)), (_numbers(3, 7),), Config(), 0.0),
    "integers": (lambda x: x * x - 3, (np.arange(-5, 70, dtype=np.int32),), Config(), 0.0),
    "a sort": (jnp.argsort, (_numbers(100) > 0,), Config(), 0.0),
    "a loop": (_loop, (_numbers(2, 3), _numbers(3, 3) / 3), Config(), 1e-3),
    "small ones": (_small, (_numbers(5), np.zeros((0, 3), np.float32)), Config(), 1e-3),
}


# --- results and counts


@EXECUTORS.rule
def results_are_those_of_jax(backend: Backend) -> None:
    """Every program gives what JAX gives, and gives it again, on other arguments, after others have run."""
    secured = {name: secure(function, config=config) for name, (function, _, config, _) in PROGRAMS.items()}
    with backends.use(backend):
        for turned in (False, True):
            for name, (function, args, _, tolerance) in PROGRAMS.items():
                given = tuple(x[::-1].copy() if turned else x for x in args)
                try:
                    assert_close(secured[name](*given), jax.jit(function)(*given), tolerance)
                except AssertionError as fault:
                    raise AssertionError(f"{name}: {fault}") from fault


@EXECUTORS.rule
def rounds_and_bytes_are_those_that_were_stated(backend: Backend) -> None:
    """A run counts the rounds, and by party the bytes, that the compiler stated before; and says where it ran."""
    with backends.use(backend):
        for name, (function, args, config, _) in PROGRAMS.items():
            secured = secure(function, config=config)
            secured(*args)
            stated, ran = secured.lower(*args).cost(), secured.last_run
            assert ran is not None
            found = (ran.rounds, tuple(ran.bytes_sent))
            wanted = (stated.rounds, tuple(stated.bytes_sent))
            assert found == wanted, f"{name}: counted rounds and bytes {found}, stated {wanted}"
            assert ran.executor == backend.name, f"it ran on {ran.executor!r}, and is called {backend.name!r}"
            assert ran.seconds >= 0


@EXECUTORS.rule
def every_run_draws_anew(backend: Backend) -> None:
    """No key of a mask or of a random number is used in two runs."""
    secured = secure(lambda x: x + uniform((4,)))
    with backends.use(backend):
        first, second = (np.asarray(secured(_numbers(4))) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3, "two runs drew the same random numbers"


@EXECUTORS.rule
def results_are_the_callers(backend: Backend) -> None:
    """What a caller does to a result changes no later one."""
    x = _numbers(6)
    secured = secure(lambda x: x * 2)
    with backends.use(backend):
        first = np.array(secured(x))
        with contextlib.suppress(ValueError, TypeError):  # it may be one that cannot be written to
            np.asarray(secured(x))[:] = 99
        assert_close(secured(x), first, 1e-4)


# --- what stays shared


@EXECUTORS.rule
def what_stays_shared_feeds_the_next_run(backend: Backend) -> None:
    """Shares stay with the parties between calls; one handle may be used more than once, beside others."""
    x = _numbers(3, 4)
    keeps = secure(lambda x: (x * 2, x > 0), outputs=Role.SECRET)
    uses = secure(lambda a, b, c: jnp.where(c, a + b, -b))
    with backends.use(backend):
        double, positive = keeps(x)
        assert isinstance(double, SecretArray)
        for again in (x, -x):
            assert_close(uses(double, again, positive), np.where(x > 0, 2 * x + again, -again), 1e-3)


@EXECUTORS.rule
def shares_of_other_parties_are_refused(backend: Backend) -> None:
    """A handle that other parties made is an ArgumentError: these do not hold its shares."""
    keeps, uses = secure(lambda x: x * 2, outputs=Role.SECRET), secure(lambda x: x + 1)
    for maker, user in ((LocalBackend(), backend), (backend, LocalBackend())):
        with backends.use(maker):
            handle = keeps(_numbers(3))
        with backends.use(user):
            try:
                uses(handle)
            except ArgumentError:
                continue
        raise AssertionError("shares were taken from parties that do not hold them")


# --- a party that is not content


BITS = Type((3,), BOOL, visibility=PUBLIC, form=PLAIN)
GIVEN = Type((3,), FIXED, 0, 9, visibility=LOCAL, owner=Role.CALLER, form=PLAIN)


def judged_program(config: Config) -> Program:
    """Minus x, for carol and once kept, where all bits are set."""
    x, bits, build = Value(GIVEN), Value(BITS), Builder()
    build.emit_many("verify", (bits,), ops.infer("verify", [BITS], {}, config))
    shared = build.emit("share", (x,), ops.infer("share", [GIVEN], {}, config)[0])
    minus = build.emit("neg", (shared,), ops.infer("neg", [shared.type], {}, config)[0])
    outputs = (Output("[0]", "carol", "float32"), Output("[1]", Role.SECRET, "float32"))
    inputs = (Input("x", Role.CALLER), Input("b", Role.PUBLIC))
    return Program("judged", config, inputs, outputs, build.block((x, bits), (minus, minus)))


def judged_flow() -> Flow:
    """That program, as a backend gets it."""
    some = secure(lambda x: x + 1).lower(_numbers(3)).flow
    return dataclasses.replace(some, share=judged_program(some.config))


@EXECUTORS.rule
def a_check_that_fails_stops_everybody(backend: Backend) -> None:
    """Where a party is not content the run is `CheatingDetected`, nothing of it leaves, and the next one works."""
    flow, x = judged_flow(), np.array([1, 2, 3], np.uint64)
    minus = (0 - x).astype(np.uint64)
    for bits in ([1, 1, 1], [1, 0, 1], [1, 1, 1]):
        with _stopped_unless(all(bits)):
            shown, kept = backend.run(flow, [x, np.array(bits, np.uint64)])[0]
            assert not isinstance(shown, backends.Kept)
            assert isinstance(kept, backends.Kept)
            np.testing.assert_array_equal(np.asarray(shown).astype(np.uint64), minus)


@contextlib.contextmanager
def _stopped_unless(content: bool) -> Generator[None]:
    try:
        yield
    except CheatingDetected:
        assert not content, "a run was stopped in which every party was content"
    else:
        assert content, "a run went on in which a party was not content"
