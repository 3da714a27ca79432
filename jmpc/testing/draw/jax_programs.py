"""Random JAX programs: a function, concrete inputs, and the stated tolerance of each element of each result.

What goes in: a configuration, or nothing. What comes out: `programs()`, a hypothesis strategy of `RandomProgram`s.
A program is called like a function, and prints as Python that runs by itself. Every value stays in the range of the
number format, since values are known while steps are drawn. Not here: comparing (`check.py`, `differential.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.testing.draw.elements import filled, ring_elements
from jmpc.testing.draw.forward_error import Noise, Tracked, exact
from jmpc.testing.draw.maker import Block, Maker
from jmpc.testing.draw.steps import (
    approximated,
    control,
    declared,
    edge,
    elementwise,
    integer,
    order,
    squares,
    structure,
    zero,
)
from jmpc.testing.snippet import HEAD, array_text, options_text, value_text

Array = np.ndarray
CONFIGS = (Config(), Config(), Config(), Config(f=12), Config(k=32, f=8))
INPUT_SHAPES = ((), (3,), (2, 3), (3, 3), (4,), (2, 1), (1, 3), (2, 3, 2), (0,))
MOST_RESULTS = 4
EVERYBODY = "(all)"
OWNERS = ("", "", EVERYBODY, "alice", "bob")


@dataclass(frozen=True)
class Argument:
    """array; owner: empty for the caller, EVERYBODY for a public argument, or a name."""

    array: Array
    owner: str


@dataclass(frozen=True, eq=False)
class RandomProgram:
    """A function of its arguments, written by `block`. config: the number format for which errors are stated."""

    block: Block
    arguments: tuple[Argument, ...]
    config: Config

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        """The function, in JAX."""
        return tuple(self.block.run(jnp, *arrays))

    @property
    def __name__(self) -> str:
        return "function"

    @property
    def inputs(self) -> tuple[Array, ...]:
        return tuple(a.array for a in self.arguments)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"x{n}" for n in range(len(self.arguments)))

    @cached_property
    def tracked(self) -> list[Tracked]:
        """The exact results, each with its error."""
        return self.block.track(Noise(self.config), *(known(a.array, self.config) for a in self.arguments))

    @property
    def tolerance(self) -> list[Array]:
        """For each result, the largest distance of a right answer from plain JAX, element by element."""
        return [2 * t.error if t.kind == "f" else t.error for t in self.tracked]

    @cached_property
    def function(self) -> Callable[..., Any]:
        """As a function whose parameters have names, as `jmpc.secure` asks for them."""
        named = _WITH_NAMES[len(self.arguments)](self)
        named.__name__, named.as_script = "function", self.__str__  # pyright: ignore[reportFunctionMemberAccess]
        return named

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of `jmpc.secure`."""
        owners = {name: a.owner for name, a in zip(self.names, self.arguments, strict=True)}
        public = tuple(name for name, owner in owners.items() if owner == EVERYBODY)
        named = {name: owner for name, owner in owners.items() if owner not in ("", EVERYBODY)}
        found: dict[str, Any] = {"public": public} if public else {}
        if named:
            others = {name: "carol" for name, owner in owners.items() if owner == ""}
            found |= {"inputs": named | others, "outputs": next(iter(named.values()))}
        return found | ({"config": self.config} if self.config != Config() else {})

    def source(self) -> str:
        """The function alone, as Python."""
        lines, results = self.block.lines(self.names, "v")
        body = "".join(f"    {line}\n" for line in lines)
        return f"def function({', '.join(self.names)}):\n{body}    return {', '.join(results)},\n"

    def __str__(self) -> str:
        """A script that compares the secure function with `jax.jit`."""
        arrays = "\n".join(f"{n} = {array_text(a.array)}" for n, a in zip(self.names, self.arguments, strict=True))
        names = ", ".join(self.names)
        return (
            f"{HEAD}\n\n{self.source()}\n\n{arrays}\nexpected = jax.jit(function)({names})\n"
            f"got = jmpc.secure(function{options_text(self.options)})({names})\n"
            f"assert_close(got, expected, tolerance={value_text(self.tolerance)})\n"
        )

    def __repr__(self) -> str:
        return "\n" + str(self)


# One function for each number of arguments: `jmpc.secure` reads the names of the parameters.
_WITH_NAMES: dict[int, Callable[[RandomProgram], Callable[..., Any]]] = {
    1: lambda p: lambda x0: p(x0),
    2: lambda p: lambda x0, x1: p(x0, x1),
    3: lambda p: lambda x0, x1, x2: p(x0, x1, x2),
    4: lambda p: lambda x0, x1, x2, x3: p(x0, x1, x2, x3),
}


def known(array: Array, config: Config) -> Tracked:
    """An input: exact but for its encoding."""
    value = exact(array)
    return value if value.kind != "f" else Tracked(value.x, Noise(config).encoded(value.x))


# --- drawing

Step = Callable[[Maker], None]


STEPS: dict[str, tuple[Step, ...]] = {
    "linear": (elementwise.with_constant, elementwise.binary),
    "elementwise": (elementwise.unary, elementwise.binary, elementwise.with_constant),
    "structural": (structure.structure, structure.joining),
    "comparison": (elementwise.comparison, elementwise.logic),
    "selection": (elementwise.selection,),
    "reduction": (structure.reduction,),
    "matmul": (structure.matrix_product,),
    "order": (order.order, order.by_secret_index),
    "integer": (integer.integer, integer.rounding),
    "loop": (control.scan, control.fori, control.mapped),
    "cond": (control.branch,),
    "nonlinear": (approximated.nonlinear,),
    "zero": (zero.zero_product,),
    "edge": (edge.choice,),
    "beyond": (edge.by_large_constant,),
    "mask": (edge.mask,),
    "long": (squares.statistic,),
    "small": (squares.root_of_squares,),
    "declared": (declared.declared,),
    "large": (declared.of_declared,),
}
# Declares bounds, which a compiler may refuse with BoundError.
BOUNDED = ("declared", "large")
# Makes a step in the default format alone, and there not always: drawn twice as often as others.
OF_ONE_FORMAT = ("long", "small", "large")
KINDS = tuple(kind for kind in STEPS if kind not in BOUNDED)


@st.composite
def inputs(draw: Any, config: Config) -> Array:
    """An argument: float32, int32 or bool. Floats are multiples of 1/8, so that ties and zeros are common, or anything
    of a few bits, or mostly zero, or of sizes from one unit in the last place up; integers are small, or anything,
    edges of int32 among it."""
    shape = draw(st.sampled_from(INPUT_SHAPES))
    kind = draw(st.sampled_from(("grid", "grid", "float", "float", "int", "bool", "zeros", "small")))
    if kind == "bool":
        return draw(filled(shape, st.booleans(), np.bool_))
    if kind == "int":
        return draw(filled(shape, st.one_of(st.integers(-9, 9), ring_elements(32)), np.int32))
    if kind == "zeros":
        return draw(filled(shape, st.sampled_from((0.0, 0.0, 1.0, -0.3, 0.1, -2.5)), np.float32))
    if kind == "small":
        return draw(filled(shape, _small(config), np.float32))
    if kind == "grid":
        return draw(filled(shape, st.integers(-32, 32).map(lambda n: n / 8), np.float32))
    return draw(filled(shape, st.floats(-6, 6, width=32), np.float32))


def _small(config: Config) -> st.SearchStrategy[float]:
    """Numbers that the format holds exactly, as often of one size as of another."""
    digits, size = st.sampled_from((16, -17, 19, -23, 26, 29, -31)), st.integers(0, config.f + 2)
    return st.builds(lambda n, e: n * 2.0 ** (e - config.f), digits, size)


def _results(maker: Maker) -> list[int]:
    """The latest values that no step reads."""
    read = {n for step in maker.steps for n in step.args}
    return [n for n in range(len(maker.values)) if n not in read][: -MOST_RESULTS - 1 : -1]


@st.composite
def _step(draw: Any, maker: Maker, kinds: tuple[str, ...]) -> None:
    """One step more, or none, which is the simplest, so that a program shrinks to few steps."""
    kind = draw(st.sampled_from(("", *kinds, *(kind for kind in kinds if kind in OF_ONE_FORMAT))))
    if kind:
        draw(st.sampled_from(STEPS[kind]))(maker)


@st.composite
def programs(
    draw: Any,
    config: Config | None = None,
    steps: int = 20,
    kinds: Sequence[str] = KINDS,
    owners: bool = True,
) -> RandomProgram:
    """A program of up to `steps` steps, one to three arguments (and a bool to branch on, public unless `owners`), and
    one to four results.

    config: one of CONFIGS by default. kinds: some of STEPS ("linear", "elementwise", "structural", "comparison",
    "selection", "reduction", "matmul", "order", "integer", "loop", "cond", "nonlinear", "zero", "edge", "beyond",
    "mask", "long", "small", "declared", "large"), by default all but the last two: what these declare may be refused
    with BoundError. owners: whether arguments may be public, or of named owners. Raises KeyError for another kind.
    """
    unknown = set(kinds) - set(STEPS)
    if unknown:
        raise KeyError(f"no steps of kind {sorted(unknown)}: choose among {sorted(STEPS)}")
    used: Config = config or draw(st.sampled_from(CONFIGS))
    # Mostly all is the caller's secret: what one owner or everybody knows is computed in the clear.
    names = ("",) if not owners or draw(st.integers(0, 3)) < 3 else OWNERS
    arguments = [Argument(draw(inputs(used)), draw(st.sampled_from(names))) for _ in range(draw(st.integers(1, 3)))]
    if "cond" in kinds:
        owner = draw(st.sampled_from((EVERYBODY, *names))) if owners else EVERYBODY
        arguments.append(Argument(np.array(draw(st.booleans())), owner))
    flags = (len(arguments) - 1,) if "cond" in kinds else ()
    maker = Maker(used, draw, [known(a.array, used) for a in arguments], predicates=flags)
    for _ in range(draw(st.integers(1, steps))):
        draw(_step(maker, tuple(kinds)))
    return RandomProgram(maker.block(*_results(maker)), tuple(arguments), used)
