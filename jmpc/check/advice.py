"""What would help where check mode found a fault, in numbers.

What goes in: how large values were, how far results were off, the settings, and a way to try others. What comes out:
remedies, one a line; settings are named only where they were tried and the results are right. Sizes are told as powers
of two above what was met, and errors in one digit: no value is in a message.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from jmpc import _typed
from jmpc.check.plain import Met
from jmpc.config import ERROR, Config
from jmpc.errors import ConfigError
from jmpc.frontend.fixed_point.precision import average_range
from jmpc.ir.types import DECLARED, FIXED, INFERRED, INT

Tried = Callable[[Config], float]  # how far results are off under other settings at worst; 0 where none can be tried

SATURATING = ("exp", "exp2", "expm1", "sinh", "cosh", "pow")
LEAST_FRACTION = 4  # with fewer bits hardly anything is a number of the format
WIDE = 64
ATTEMPTS = 3  # at settings that hold what was met
ROOM = 4  # more fraction bits leave so much of the tolerance for a run with unluckier roundings
ROUNDINGS = 4  # of plain JAX add up to so many units of the largest number, in a sum or a mean
LARGEST = 0.1  # an error beyond this is none that one allows
SUMS = (
    *("reduce_sum", "cumsum", "reduce_window_sum", "dot_general", "conv_general_dilated", "scatter-add"),
    *("sum", "mean", "average", "cumsum", "matmul", "einsum", "dot", "vdot", "inner", "_var", "_std", "norm"),
)


def report(function: str) -> str:
    return (
        f"report it as a bug of jmpc, with the program: print({function}.lower(...).as_text('value')), and as_text(); "
        "they hold no data, but the constants of the function"
    )


# --- a value that passed a bound


def saturates(passed: Met) -> bool:
    """Whether a secure value stays within the bound whatever its operands are: then nothing is wrong but the value."""
    return passed.note.name in SATURATING or passed.note.value.type.origin == INFERRED


def for_bound(passed: Met, met: Sequence[Met], config: Config, function: str, tried: Tried) -> list[str]:
    """met: all that the function met."""
    t = passed.note.value.type
    size = bits(passed.most)
    if saturates(passed):
        return [
            f"keep to operands for which {passed.note.name} does not saturate (docs/operations.md states its domain)",
            f"or, if they are within it, {report(function)}",
        ]
    if t.origin == DECLARED:
        what = "a bound that holds" if passed.note.name == "jmpc.bounded" else "larger bounds for what it is made of"
        more = [f"declare {what}, of {2.0**size:g} or more here: jmpc.bounded(x, {2.0**size:g})"]
        return more if size <= config.value_bits else [*more, *_for_range(passed, met, config, tried)]
    return _for_range(passed, met, config, tried)


def _for_range(passed: Met, met: Sequence[Met], config: Config, tried: Tried) -> list[str]:
    t, todo = passed.note.value.type, list[str]()
    if t.kind != INT or config.k < WIDE:
        wider = holding(met, config, tried)
        if wider is not None:
            bits_left = "" if wider.k > config.k else f", and are multiples of 2^-{wider.f}"
            todo.append(f"{shown(wider, config)}: then numbers stay right below 2^{wider.value_bits}{bits_left}")
    over = max(bits(passed.most) - math.floor(math.log2((t.limit + 1) / 2**t.scale)), 1)
    if passed.note.name in SUMS:
        return [*todo, f"scale the terms of this sum down before they are summed, by 2^{over} or more"]
    return [*todo, f"scale the values that it is made of down, so that it is smaller by 2^{over} or more"]


def holding(met: Sequence[Met], config: Config, tried: Tried) -> Config | None:
    """The settings with the most fraction bits that hold all that was met, and at which results are right: those of a
    wider ring first where there is one."""
    attempts = 0
    for k in (WIDE, config.k) if config.k < WIDE else (config.k,):
        most_f = config.f if k > config.k else config.f - 1
        for f in range(most_f, LEAST_FRACTION - 1, -1):
            made = changed(config, k=k, f=f)
            if made is None or not _holds(made, met, config):
                continue
            attempts += 1
            if tried(made) <= config.tolerance:
                return made
            if attempts == ATTEMPTS:
                return None
    return None


def _holds(made: Config, met: Sequence[Met], config: Config) -> bool:
    """Whether every number that was met has room. Of one on the way to a root the range is narrower."""
    for m in met:
        t = m.note.value.type
        narrow = t.scale > 2 * config.f
        if t.kind == FIXED and bits(m.most) > (average_range(made) if narrow else made.value_bits):
            return False
    return True


# --- a result that is not precise enough


def for_plain(error: float, worst: float, before: Sequence[Met], m: Met, config: Config) -> list[str]:
    """Where the error may be that of plain JAX, which rounds large numbers of float32 more coarsely than fixed point
    does; nothing otherwise. error: of the value of m; worst: of a result; before: what was met until then."""
    dtype = np.asarray(m.value).dtype
    if not np.issubdtype(dtype, np.floating):
        return []
    size = bits(max((p.most for p in before if p.note.value.type.kind == FIXED), default=0.0))
    rounded = math.ldexp(_typed.eps(dtype), size - 1)
    if rounded <= 2.0**-config.f or error > ROUNDINGS * rounded:
        return []
    return [
        "compare with numbers of 64 bits, jax.config.update('jax_enable_x64', True) and arguments of float64: plain "
        f"JAX in {dtype} rounds numbers as large as were met, up to 2^{size}, to multiples of "
        f"2^{round(math.log2(rounded))}, and may be what is off",
        *_budget(max(worst, error)),
    ]


def _budget(error: float) -> list[str]:
    return [f"or allow this error: Config(tolerance={_above(error):g})"] if error < LARGEST else []


def for_precision(error: float, met: Sequence[Met], config: Config, function: str, tried: Tried) -> list[str]:
    """error: of the worst result, absolute plus relative."""
    budget = _budget(error)
    made = precise(error, met, config, tried)
    if made is not None:
        return [f"{shown(made, config)}: {_what_it_gives(made, config)}", *budget]
    return [
        f"scale small values up where they are divided by or multiplied with large ones: all numbers are multiples of "
        f"2^-{config.f}, and no setting has enough fraction bits for this and room for the largest values",
        f"or, where no value here is small, {report(function)}",
        *budget,
    ]


def precise(error: float, met: Sequence[Met], config: Config, tried: Tried) -> Config | None:
    """The settings at which the error, which falls by half with each fraction bit, is within the tolerance. It may be
    larger than it shows: of a number that was rounded to 0 no more than the number is lost."""
    for k in (config.k, WIDE) if config.k < WIDE else (config.k,):
        worst, f = error, config.f
        while math.isfinite(worst):
            f += max(math.ceil(math.log2(ROOM * worst / config.tolerance)), 1)
            made = changed(config, k=k, f=f)
            if made is None or not _holds(made, met, config):
                break
            wanted = max(min(config.error, config.tolerance / 4), _above(made.least_error))
            made = made.replace(error=min(wanted, made.error))
            worst = tried(made)
            if ROOM * worst <= config.tolerance:
                return made
    return None


def _what_it_gives(made: Config, config: Config) -> str:
    finer = f"numbers are multiples of 2^-{made.f}, and stay right below 2^{made.value_bits}"
    return finer if made.error == config.error else f"{finer}; approximations are off by at most {made.error:.1g}"


# --- settings


def changed(config: Config, k: int, f: int) -> Config | None:
    """None where there are none such. An error budget below what so many fraction bits leave is the default one."""
    for error in (config.error, ERROR):
        with suppress(ConfigError):
            return config.replace(k=k, f=f, error=error)
    return None


def shown(made: Config, config: Config) -> str:
    """As one writes what is changed."""
    differs = [n for n in ("k", "f", "error") if getattr(made, n) != getattr(config, n) or n == "f"]
    return f"Config({', '.join(f'{n}={getattr(made, n)!r}' for n in differs)})"


def bits(number: float) -> int:
    """The least power of two above a magnitude, 1 at least."""
    return max(math.frexp(number * (1 + 1e-6))[1], 0)


def _above(error: float) -> float:
    """In one digit."""
    unit = 10.0 ** math.floor(math.log10(error))
    return math.ceil(error / unit * (1 + 1e-9)) * unit
