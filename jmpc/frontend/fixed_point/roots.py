"""Roots, and quotients by them: what is known of a divisor that is a root.

What goes in: the arguments of roots, and quotients. What comes out: roots, and quotients by them. A divisor that is a
root is never computed where one over the root is precise enough: x over the root of a sum in which x stands squared is
of moderate size, whatever x is, so one over the root may have as many fraction bits as the ring has room for. A root
stays one when it is moved, times a constant, or beside a constant that is too small to be seen next to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, TypeVar

import numpy as np

from jmpc.config import Config
from jmpc.errors import ConfigError
from jmpc.frontend.expand import expand, with_fraction
from jmpc.frontend.facts import Fact
from jmpc.frontend.fixed_point import squares, sums
from jmpc.frontend.fixed_point.precision import extra
from jmpc.frontend.fixed_point.squares import Argument, is_over_its_own_root
from jmpc.frontend.kinds import constant
from jmpc.frontend.known import Known
from jmpc.frontend.walk import Operand, Walker
from jmpc.ir import ops
from jmpc.ir.program import Op, Value
from jmpc.numerics.elementary import root
from jmpc.numerics.elementary.normalise import Form, last_digit, most_fraction, scaled
from jmpc.numerics.language.words import fraction, product

Part = tuple[Argument, tuple[Value, ...]]  # an argument, and the other factors
ROOT: Fact[Argument] = Fact("what it is the root of")
INVERSE: Fact[Argument] = Fact("what it is one over the root of")
PART: Fact[Part] = Fact("of what it is something over the root, and other factors")
SOURCE: Fact[Value] = Fact("the value that it is one over the root of")
T = TypeVar("T")
MOVES = ("reshape", "broadcast", "transpose")
LEAST_FRACTION = 7  # of the number format, for approximations that start from the top bit
SPARE = 16  # fraction bits of one over a root beyond those of the format


def form_of(t: Any, config: Config, symmetric: bool) -> Form:
    """How a secret of type `t` is held. Raises ConfigError for a format in which nothing can be computed of it."""
    if config.f < LEAST_FRACTION:
        raise ConfigError(
            f"jmpc.Config: f={config.f} is too few fraction bits for quotients, roots and logarithms",
            where="Config.f",
            why="what they compute with would have fewer than their tables need",
            todo=f"use f={LEAST_FRACTION} or more (18 for k=64, 10 for k=32)",
        )
    width, whole = max(t.limit.bit_length(), 1), last_digit(config.k - 2 - config.f)
    return Form(t.scale, width, config.f, config.k, most_fraction(config.k, config.f), symmetric, config.error, whole)


# --- computing them


@dataclass(frozen=True)
class Held:
    """How the argument of a root is held: by range, its form and how many times the root is wanted. most: where the
    second range takes over."""

    forms: tuple[Form, ...]
    gains: tuple[float, ...]
    most: float


def root_of(w: Walker, function: Any, x: Argument, bits: int) -> Value:
    """A root, or one over it, with so many fraction bits."""
    values = [x.low] if x.high is None else [x.low, x.high]
    return w.secret(expand(w, _root(function, _held(w, function, x, bits)), *values, bits=bits)[0])


def sqrt(w: Walker, x: Value) -> Value:
    """The root of x. A quotient by it may take x instead."""
    argument = squares.argument(w, x)
    found = root_of(w, root.sqrt, argument, w.wanted.product if w.wanted else w.config.f)
    limit = math.ceil(math.sqrt(argument.most) * (1 + 2.0**-10) * 2.0**found.type.scale) + 2
    found = w.emit("bound", found, limit=min(limit, found.type.limit), origin=x.type.origin)
    return w.facts.note(ROOT, w.in_format(found), argument)


def rsqrt(w: Walker, x: Value) -> Value:
    """One over the root of x. A product with what x sums the squares of may take x instead."""
    argument = squares.argument(w, x)
    made = w.in_format(root_of(w, root.rsqrt, argument, w.config.f))
    return w.facts.note(INVERSE, w.facts.note(SOURCE, made, x), argument)


def note_power(w: Walker, made: Value, x: Value, times: int) -> Value:
    """`made` is x to the power of -(1/2 + times), as in derivatives of one over a root: so many more of its square."""
    inverse = rsqrt(w, x)
    return w.facts.note(PART, made, (squares.argument(w, x), (inverse,) * (2 * times)))


def _held(w: Walker, function: Any, x: Argument, bits: int) -> Held:
    forms, power = [replace(form_of(x.low.type, w.config, False), out=bits)], -0.5 if function is root.rsqrt else 0.5
    if x.high is not None:
        forms.append(replace(form_of(x.high.type, w.config, False), out=bits))
    gains = (x.factor**power, (x.factor * 2.0**x.shrunk) ** power)
    return Held(tuple(forms), gains[: len(forms)], 2.0 ** (w.config.value_bits - 1 - x.shrunk))


@lru_cache(maxsize=256)
def _root(function: Any, held: Held) -> Any:
    if len(held.forms) == 1:
        return partial(function, form=held.forms[0], gain=held.gains[0])
    (low, high), (one, two) = held.forms, held.gains
    return partial(root.of_ranges, root=function, forms=(low, high), gains=(one, two), most=held.most)


# --- what is one


def noted(w: Walker, fact: Fact[T], x: Operand) -> tuple[T, list[Op]] | None:
    """What is known of x, or of what it was moved from, and how it was moved since, the last move first."""
    moves: list[Op] = []
    while (found := w.facts.of(fact, x)) is None:
        made = w.build.maker(x)
        if made is None or made.name not in MOVES:
            return None
        moves.append(made)
        x = made.inputs[0]
    return found, moves


def moved(w: Walker, x: Value, moves: Sequence[Op]) -> Value:
    for made in reversed(moves):
        x = w.emit(made.name, x, **made.attrs)
    return x


def beside(w: Walker, made: Value, x: Operand, number: float | None) -> Value:
    """`made` is the sum of x and a number, or the larger of both: a root as x is, where the number is too small to be
    told from its rounding."""
    if number is not None and 0 <= number <= 2.0 ** -(w.config.f + 2):
        _keep(w, made, x, 1.0)
    return made


def times(w: Walker, made: Value, x: Operand, number: float | None) -> Value:
    """`made` is the product of x and a number."""
    if number is not None and number > 0:
        _keep(w, made, x, number)
    return made


def _keep(w: Walker, made: Value, x: Operand, number: float) -> None:
    argument = w.facts.of(ROOT, x)
    if argument is not None:
        square = number * number
        w.facts.note(ROOT, made, replace(argument, factor=argument.factor * square, most=argument.most * square))


# --- quotients by them


def quotient(w: Walker, x: Operand, y: Value) -> Value | None:
    """x / y, if y is a root and there is a way that never computes it."""
    found = noted(w, ROOT, y)
    if found is None:
        return None
    return _over(w, x if isinstance(x, Known) and not x.owner else w.secret(x), *found)


def normalised(w: Walker, x: Operand, y: Operand) -> Value | None:
    """x y, if y is one over the root of a sum in which x stands squared, or that times something else."""
    found, factors = noted(w, INVERSE, y), ()
    if found is None and (part := noted(w, PART, y)) is not None:
        found, factors = (part[0][0], part[1]), part[0][1]
    if found is None or (isinstance(x, Known) and not x.owner):
        return None
    (argument, moves), (x, multiple) = found, _without_number(w, w.secret(x))
    if not is_over_its_own_root(w, x, argument):
        return None
    made, rest = unit(w, x, replace(argument, factor=argument.factor / multiple**2), moves), None
    for factor in reversed(factors):  # what came last may be large, and the first ones small
        rest = factor if rest is None else _times(w, factor, rest)
    return made if rest is None else _times(w, moved(w, rest, moves), made)


def _times(w: Walker, x: Value, y: Value) -> Value:
    x, y = (with_fraction(w, v, w.config.f) if v.type.secret and v.type.scale > w.config.f else v for v in (x, y))
    made = w.emit("mul", x, y)
    return with_fraction(w, made, w.config.f) if made.type.secret else made


def _without_number(w: Walker, x: Value) -> tuple[Value, float]:
    """What x is a positive multiple of, and the number: of a derivative of a square, 2."""
    made = sums.unrounded(w, x)
    if made is not None and made.name == "mul":
        for base, factor in (made.inputs, made.inputs[::-1]):
            number = squares.number(w, factor)
            if number is not None and number > 0 and base.type.secret:
                return base, number
    return x, 1.0


def note_product(w: Walker, made: Value, x: Operand, y: Operand) -> None:
    """`made` is x y: of one over a root and something else, in a derivative, what was squared may still be a factor."""
    if (found := noted(w, INVERSE, y)) is not None and _are_as_many(found[1]):
        _note_part(w, made, x, _argument_moved(w, *found), ())
    elif (part := noted(w, PART, y)) is not None and _are_as_many(part[1]):
        (argument, factors), moves = part
        _note_part(w, made, x, _argument_moved(w, argument, moves), tuple(moved(w, v, moves) for v in factors))


def _are_as_many(moves: Sequence[Op]) -> bool:
    """A root of what was spread would be computed of more elements."""
    return all(made.inputs[0].type.size == made.output.type.size for made in moves)


def _argument_moved(w: Walker, x: Argument, moves: Sequence[Op]) -> Argument:
    high = None if x.high is None else moved(w, x.high, moves)
    return replace(x, low=moved(w, x.low, moves), high=high)


def note_negative(w: Walker, made: Value, x: Operand) -> None:
    """`made` is -x."""
    note_product(w, made, constant(np.full(made.shape, -1.0, np.float32)), x)


def divisor(w: Walker, x: Operand) -> Argument | None:
    """What x is something over the root of."""
    if (found := noted(w, INVERSE, x)) is not None:
        return found[0]
    return None if (part := noted(w, PART, x)) is None else part[0][0]


def note_quotient(w: Walker, made: Value, x: Operand, y: Value) -> Value:
    """`made` is x / y, and y may be a root, or x one over that of y."""
    if (argument := w.facts.of(ROOT, y)) is not None:
        _note_part(w, made, x, argument, ())
    elif isinstance(x, Value) and w.facts.of(SOURCE, x) is y and (inverse := w.facts.of(INVERSE, x)) is not None:
        w.facts.note(PART, made, (inverse, (x, x)))
    return made


def _note_part(w: Walker, made: Value, x: Operand, argument: Argument, factors: tuple[Value, ...]) -> None:
    """`made` is x and other factors over the root of an argument: one over the root of another, if x is a number."""
    number = x.uniform() if isinstance(x, Known) and not factors else None
    if number is not None and number > 0:
        square = 1 / (float(number) * float(number))
        w.facts.note(INVERSE, made, replace(argument, factor=argument.factor * square, most=argument.most * square))
    else:
        factor = w.factor(x) if isinstance(x, Known) and not x.owner else w.secret(x)
        w.facts.note(PART, made, (argument, (*factors, factor)))


def _over(w: Walker, x: Operand, argument: Argument, moves: Sequence[Op]) -> Value | None:
    """x times one over a root, where the ring holds enough fraction bits of that: in a normalisation, whose result is
    of moderate size, over the root of a moving average, or under a small numerator."""
    f, k = w.config.f, w.config.k
    if isinstance(x, Value) and is_over_its_own_root(w, x, argument):
        return unit(w, x, argument, moves)
    if argument.low.type.scale > 2 * f:
        return _step(w, w.secret(x), argument, moves)
    x = with_fraction(w, x, f) if isinstance(x, Value) and x.type.scale > f else x
    numerator = magnitude(w, x)
    bits, largest = max(f, numerator - f + 16), argument.low.type.scale // 2 + 1 - math.log2(argument.factor) / 2
    if bits > f + 12 or numerator + bits + largest > k - 3:
        return None
    inverse = moved(w, root_of(w, root.rsqrt, argument, bits), moves)
    return w.secret(expand(w, _product(f), x, inverse)[0])


def unit(w: Walker, x: Value, argument: Argument, moves: Sequence[Op]) -> Value:
    """x over its own root: of a mean, at most the root of how many there are."""
    f, limit = w.config.f, max(argument.factor**-0.5, 1.0) * (1 + 2.0**-8)
    room = w.config.k - 5 - f - math.ceil(math.log2(limit))
    bits = max(f, min(room, max(f + SPARE, w.config.value_bits + 8)))
    x = with_fraction(w, x, f) if x.type.scale > f else x
    inverse = moved(w, root_of(w, root.rsqrt, argument, bits), moves)
    return w.secret(expand(w, _scaled(f, limit), x, inverse)[0])


def _step(w: Walker, x: Value, argument: Argument, moves: Sequence[Op]) -> Value:
    """x over the root of a moving average, whose range leaves room for both: the step of an optimizer."""
    f, most = w.config.f, w.config.f + extra(w.config)
    x = with_fraction(w, x, most) if x.type.scale > most else x
    inverse = moved(w, root_of(w, root.rsqrt, argument, f + 2), moves)
    limit = 2.0 ** (w.config.k - 3 - x.type.scale - inverse.type.scale)
    return w.secret(expand(w, _scaled(f, limit), x, inverse)[0])


def magnitude(w: Walker, x: Operand) -> int:
    """Bits of the numerator in units of the format."""
    if isinstance(x, Value):
        shift = w.config.f - x.type.scale
        return (x.type.limit << shift if shift >= 0 else x.type.limit >> -shift).bit_length()
    number = x.uniform()
    if number is None or not math.isfinite(number):
        return ops.contract(w.config.f, w.config).bit_length()
    return math.ceil(abs(number) * 2**w.config.f).bit_length()


@lru_cache(maxsize=64)
def _product(f: int) -> Any:
    return lambda x, inverse: product(x, inverse, bits=f)


@lru_cache(maxsize=256)
def _scaled(f: int, limit: float) -> Any:
    return lambda x, inverse: fraction(scaled(x, inverse, bits=0, limit=limit), bits=f)
