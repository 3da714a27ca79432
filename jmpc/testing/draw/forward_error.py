"""A value, and how far from it a right answer may be: the error that a random program states for its results.

What goes in: exact values with errors, an operation. What comes out: its result in float64 (or integers, or bools)
with the largest distance, element by element, at which both a secure run and plain JAX in float32 may lie from it:
half a unit in the last place for an input, one for each truncation, what the table of functions states for the rest,
and float32 rounding. Where a comparison may go either way, its bit has error 1. Not here: which operations there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmpc.config import Config

Array = np.ndarray
FLOAT32 = 2.0**-24  # rounding of one float32 operation, relative
GRID = 2.0**-8  # multiples of this, of moderate size, suffer no float32 rounding in sums and products


@dataclass(frozen=True, eq=False)
class Tracked:
    """x: float64, int64 or bool. error: float64, of the same shape."""

    x: Array
    error: Array

    @property
    def kind(self) -> str:
        """ "f", "i" or "b"."""
        return self.x.dtype.kind

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape

    @property
    def largest(self) -> float:
        return float(np.abs(self.x.astype(np.float64)).max(initial=0))


@dataclass(frozen=True)
class Noise:
    """What a number format costs. ulp: a unit in the last place."""

    config: Config

    @property
    def ulp(self) -> float:
        return 2.0**-self.config.f

    @property
    def most(self) -> float:
        """What the number format promises: magnitudes below it are held."""
        return 2.0**self.config.value_bits

    def encoded(self, x: Any) -> Array:
        """The distance from `x` to what its encoding stands for."""
        units = np.ldexp(np.asarray(x, np.float64), self.config.f)
        return np.abs(units - np.rint(units)) * self.ulp

    def truncation(self, exact: Array, *factors: Tracked) -> Array:
        """One unit; none where the factors are exact and so is the quotient."""
        return self.rounded(exact, all(not f.error.any() for f in factors))

    def rounded(self, exact: Array, certain: Any) -> Array:
        """The same, where it is known element by element what is certain before it."""
        return np.where((self.encoded(exact) == 0) & certain, 0.0, self.ulp)

    def doubt(self, *compared: Tracked) -> Array | float:
        """How far apart two values must be for their comparison to be certain."""
        return sum((c.error for c in compared), np.zeros(()))


def exact(x: Any) -> Tracked:
    """A value that everybody computes alike."""
    array = np.asarray(x)
    array = array.astype({"f": np.float64, "i": np.int64, "b": np.bool_}[array.dtype.kind])
    return Tracked(array, np.zeros(array.shape))


def settled(x: Array) -> Array:
    """As a tracked value: float64, bool, or an int64 that wraps as int32 does."""
    if x.dtype.kind in "iu":
        return x.astype(np.int64).astype(np.int32).astype(np.int64)
    return x.astype({"f": np.float64, "b": np.bool_}[x.dtype.kind])


def on_grid(x: Array) -> bool:
    """Whether float32 sums and products of such numbers are exact."""
    return bool((np.abs(x) < 2**10).all()) and bool((np.ldexp(x, 8) == np.rint(np.ldexp(x, 8))).all())


def rounding(out: Array, magnitude: Array, terms: int, args: Sequence[Tracked]) -> Array | float:
    """The float32 rounding of a sum of `terms` terms whose magnitudes sum to `magnitude`; none if there are none."""
    if out.dtype.kind != "f" or not terms or all(on_grid(a) for a in (out, *(a.x for a in args if a.kind == "f"))):
        return 0.0
    return FLOAT32 * (terms + 1) * magnitude


ErrorRule = Callable[..., Any]


@dataclass(frozen=True)
class Op:
    """One expression. text: with {0}, {1} for its operands, as Python. run: (jax.numpy, *arrays) -> array. error:
    (noise, out, *tracked) -> array. host: the same in NumPy, (numpy, *arrays), where `run` does not do for both.
    terms: how many terms an element of the result sums; 0 where float32 is exact. summing: the result for absolute
    values bounds what is summed on the way, or is all that is rounded."""

    text: str
    run: Callable[..., Any]
    error: ErrorRule
    host: Callable[..., Any] | None = None
    terms: int = 1
    summing: bool = False

    @property
    def outputs(self) -> int:
        return 1

    def lines(self, names: Sequence[str], outs: Sequence[str]) -> list[str]:
        return [f"{outs[0]} = {self.text.format(*names)}"]

    def apply(self, numpy: Any, *arrays: Any) -> list[Any]:
        """The results in JAX."""
        return [self.run(numpy, *arrays)]

    def track(self, noise: Noise, *args: Tracked) -> list[Tracked]:
        compute = self.host or self.run
        out = np.asarray(compute(np, *(a.x for a in args)))
        out = settled(out)
        error = np.broadcast_to(np.asarray(self.error(noise, out, *args), np.float64), out.shape)
        size = np.abs(out.astype(np.float64))
        if self.summing:
            size = np.abs(np.asarray(compute(np, *(np.abs(a.x) if a.kind != "b" else a.x for a in args)), np.float64))
        elif out.dtype.kind == "f":
            size = size + sum(a.largest for a in args)
        return [Tracked(out, error + rounding(out, size, self.terms, args))]
