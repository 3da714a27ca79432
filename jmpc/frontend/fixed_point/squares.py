"""What a root is taken of: a sum of squares in two ranges, where one does not hold it.

What goes in: the argument of a root, as it was emitted. What comes out: an `Argument`. A root of the sum of squares of
numbers of the format is a number of the format; the sum need not be one, and small squares need more fraction bits than
others have. So the chain that led from the squares to the root (sums, a factor such as one over their number, a small
constant beside it) is made again from squares that are not rounded, with 2f fraction bits, which is exact as long as it
fits the ring; and from numbers cut to few fraction bits, whose squares always fit. The factor goes into the tables of
the root. A comparison says which of the two holds: nothing is assumed of the numbers but that they are in the format.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jmpc.config import Config
from jmpc.errors import BoundError
from jmpc.frontend.expand import with_fraction
from jmpc.frontend.facts import Fact
from jmpc.frontend.fixed_point import sums
from jmpc.frontend.walk import NUMBER, Operand, Walker
from jmpc.ir import ops
from jmpc.ir.program import Op, Value
from jmpc.ir.types import ASSUMED, FIXED

MOVES = ("reshape", "broadcast", "transpose", "slice", "rev")
SAME = ("truncate", "bound", "relu")
LARGER: Fact[tuple[Value, float]] = Fact("it is the larger of a value and a number")
SCALED: Fact[tuple[Value, float]] = Fact("it is a value times a number, however that is computed")
PRECISE = 11  # bits to which the sum of cut numbers is right where it takes over
Leaf = Callable[[Op], Value]


@dataclass(frozen=True)
class Argument:
    """The root is of factor * low; or, where the sum is large, of factor * 2^shrunk * high. most: the largest that it
    can be of. of: the numbers that are squared."""

    low: Value
    most: float
    factor: float = 1.0
    high: Value | None = None
    shrunk: int = 0
    of: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Chain:
    """factor * max(sum + added, least), the sum being what `remake` emits of the squares."""

    factor: float
    added: float
    of: tuple[Value, ...]
    count: int
    remake: Callable[[Leaf], Value]
    least: float = 0.0


def argument(w: Walker, x: Value) -> Argument:
    """How to take a root of x."""
    return w.once(("argument of a root", x), lambda: _argument(w, x))


def is_over_its_own_root(w: Walker, x: Value, root: Argument) -> bool:
    """Whether what is squared is x, or both are what one value is more than its mean: then |x| over the root is at most
    factor^(-1/2), of a mean the root of how many there are."""
    if len(root.of) != 1:
        return False
    if same(w, root.of[0], x):
        return True
    one, two = deviation(w, root.of[0]), deviation(w, x)
    return one is not None and two is not None and one.axes == two.axes and same(w, one.base, two.base)


def same(w: Walker, x: Value, y: Value, depth: int = 8) -> bool:
    """Whether two values were made alike: the front end emits what the user's function says twice, twice. Two draws are
    never the same."""
    if x is y:
        return True
    one, two = w.build.maker(x), w.build.maker(y)
    if depth == 0 or one is None or two is None or (one.name, one.attrs) != (two.name, two.attrs):
        return False
    if one.outputs.index(x) != two.outputs.index(y) or not (one.inputs or one.name == "const"):
        return False
    return len(one.inputs) == len(two.inputs) and all(
        same(w, a, b, depth - 1) for a, b in zip(one.inputs, two.inputs, strict=True)
    )


@dataclass(frozen=True)
class Deviation:
    """What `base` is more than its mean. total: the sum that its mean is a part of."""

    base: Value
    total: Op

    @property
    def axes(self) -> tuple[int, ...]:
        return tuple(self.total.attrs["axes"])

    @property
    def count(self) -> int:
        return ops.summed("reduce_sum", self.base.shape, self.total.output.shape, self.total.attrs)


def deviation(w: Walker, x: Value) -> Deviation | None:
    """Of what x is how much it is more than its mean along some axes."""
    made = sums.unrounded(w, x)
    if made is None or made.name != "sub":
        return None
    base, mean = made.inputs
    factor, total = _multiple(w, mean)
    if total is None or total.name != "reduce_sum" or not same(w, total.inputs[0], base):
        return None
    found = Deviation(base, total)
    return found if abs(factor * found.count - 1) < 2.0**-8 else None


def _multiple(w: Walker, x: Value) -> tuple[float, Op | None]:
    """The number that x is a multiple by, and what made the value that it is a multiple of, but for moves."""
    factor = 1.0
    while (made := sums.maker(w, x)) is not None:
        if (scaled := w.facts.of(SCALED, x)) is not None:
            x, number = scaled
            factor *= number
        elif made.name in (*MOVES, "truncate", "bound", "scale_up"):
            x = made.inputs[0]
        elif made.name == "mul":
            found = [
                (a, number) for a, b in (made.inputs, made.inputs[::-1]) if (number := _number_of(w, b)) is not None
            ]
            if not found:
                return factor, made
            x, factor = found[0][0], factor * found[0][1]
        else:
            return factor, made
    return factor, None


def _argument(w: Walker, x: Value) -> Argument:
    chain = _chain(w, x) if _has_room(w.config) else None
    if chain is None:
        return Argument(x, x.type.limit / 2.0**x.type.scale)
    f, k = w.config.f, w.config.k
    low = _plus(w, chain.remake(lambda op: _whole_square(w, op)), chain.added)
    low = _at_least(w, low, chain.least)
    largest = max(v.type.limit for v in chain.of) / 2.0**f
    sum_most = max(largest * largest * chain.count + chain.added, chain.least)
    most = chain.factor * sum_most
    if sum_most < 2.0 ** (k - 3 - 2 * f):
        return Argument(low, most, chain.factor, of=chain.of)
    length, value_bits = math.log2(chain.count), w.config.value_bits
    wanted = max(0, math.ceil(length / 2) + PRECISE - value_bits // 2)
    size = math.ceil(math.log2(largest))
    room = (k - 3) // 2 - size
    if room + 1 < min(wanted, (k - 3) // 2 - value_bits):  # a deviation of two numbers may be twice as large as both
        raise BoundError(
            f"the root of a sum of {chain.count} squares of numbers as large as 2^{size} would be imprecise",
            where=w.build.loc,
            why=f"a ring of {k} bits has no room for squares of numbers beyond 2^{value_bits} with bits enough",
            todo=["scale the numbers down", "declare how large they are, jmpc.bounded(x, most)"],
        )
    kept = min(wanted, f, room)
    extra = max(0, math.ceil(length) + 2 * (size + kept) + 3 - (k - 2))
    shrunk = extra + 2 * max(-kept, 0)
    high = _plus(w, chain.remake(lambda op: _cut_square(w, op, kept, extra)), chain.added * 2.0**-shrunk)
    return Argument(low, most, chain.factor, high, shrunk, chain.of)


def _has_room(config: Config) -> bool:
    """Whether one over the root of the largest square has fraction bits to be told by, in such a format."""
    return config.value_bits + 4 <= config.k - 5 - config.f


def _plus(w: Walker, total: Value, added: float) -> Value:
    number = round(added * 2.0**total.type.scale)
    if not number:
        return total
    return w.emit("add", total, _constant(w, number, total))


def _at_least(w: Walker, total: Value, least: float) -> Value:
    number = round(least * 2.0**total.type.scale)
    if not number:
        return total
    least_value = _constant(w, number, total)
    made = w.emit("add", least_value, w.emit("relu", w.emit("gap", total, least_value)))
    return w.emit("bound", made, limit=max(total.type.limit, number), origin=total.type.origin)


def _constant(w: Walker, number: int, like: Value) -> Value:
    return w.emit("const", value=number, shape=like.shape, kind=FIXED, scale=like.type.scale)


# --- the squares


def unfreed(w: Walker, x: Value) -> Value:
    """x, before it was taken to be within the format, or within what is not known of it."""
    while (made := w.build.maker(x)) is not None and made.name == "bound" and x.type.origin == ASSUMED:
        x = made.inputs[0]
    return x


def _base(w: Walker, op: Op) -> Value:
    x = unfreed(w, op.inputs[0])
    return with_fraction(w, x, w.config.f) if x.type.scale != w.config.f else x


def _whole_square(w: Walker, op: Op) -> Value:
    """With all its bits. That it fits is not known: `high` takes over where it does not."""
    x = _base(w, op)
    free = w.emit("bound", x, limit=x.type.limit, origin=ASSUMED)
    return w.emit(op.name, free, free, **op.attrs)


def _cut_square(w: Walker, op: Op, kept: int, extra: int) -> Value:
    """Of the number cut to `kept` fraction bits, times 2^-extra. Where not even whole numbers fit, of the number times
    2^kept."""
    x = _base(w, op)
    x = w.emit("move_point", x, bits=-kept) if kept < 0 else x
    x = w.emit("truncate", x, bits=x.type.scale - max(kept, 0))
    free = w.emit("bound", x, limit=x.type.limit, origin=ASSUMED)
    square = w.emit("mul", free, free)
    square = w.emit("bound", square, limit=x.type.limit**2, origin=ASSUMED)
    square = w.emit("move_point", square, bits=extra) if extra else square
    if op.name == "mul":
        return square
    ((axes, _), _) = op.attrs["dims"]
    return sums.wide_sum(w, "reduce_sum", square, {"axes": axes})


# --- how x was made of squares


def note_scaled(w: Walker, made: Value, x: Value, number: float) -> None:
    """`made` is a number times x, however it is computed."""
    w.facts.note(SCALED, made, (x, number))


def note_larger(w: Walker, made: Value, x: Operand, number: float | None) -> None:
    """`made` is the larger of x and a number."""
    if isinstance(x, Value) and number is not None and number > 0:
        w.facts.note(LARGER, made, (x, number))


def _chain(w: Walker, x: Value) -> Chain | None:
    if (larger := w.facts.of(LARGER, x)) is not None:
        return _larger(w, *larger)
    if (scaled := w.facts.of(SCALED, x)) is not None:
        return _scaled(w, *scaled)
    made = sums.maker(w, x)
    if made is None or x.type.kind != FIXED:
        return None
    if made.name in SAME:
        return _chain(w, made.inputs[0])
    rule = RULES.get(made.name)
    return None if rule is None else rule(w, made)


def _larger(w: Walker, x: Value, number: float) -> Chain | None:
    """Where the sum is so large that its second range holds, no such number counts."""
    inner = _chain(w, x)
    if inner is None or number / inner.factor > 2.0 ** (w.config.value_bits - 2):
        return None
    return replace(inner, least=max(inner.least, number / inner.factor))


def _square(w: Walker, made: Op) -> Chain | None:
    x, y = made.inputs
    if x is not y:
        return _times(w, made)
    return Chain(1.0, 0.0, (_base(w, made),), 1, lambda leaf: leaf(made)) if x.type.secret else None


def _inner(w: Walker, made: Op) -> Chain | None:
    """A product of a number with itself, summed over some axes and matched on the others."""
    x, y = made.inputs
    (left, right), (first, second) = made.attrs["dims"]
    if x is not y or left != right or first != second or len(left) + len(first) != len(x.shape):
        return None
    if tuple(first) != tuple(sorted(first)) or not x.type.secret:
        return None
    count = math.prod(x.shape[d] for d in left)
    return Chain(1.0, 0.0, (_base(w, made),), max(count, 1), lambda leaf: leaf(made))


def _moved(w: Walker, made: Op) -> Chain | None:
    inner = _chain(w, made.inputs[0])
    if inner is None:
        return None
    return replace(inner, remake=lambda leaf: w.emit(made.name, inner.remake(leaf), **made.attrs))


def _summed(w: Walker, made: Op) -> Chain | None:
    """A small square leaves the ring with others, and a cut one is summed so that it does not."""
    inner = _chain(w, made.inputs[0])
    if inner is None or inner.least:
        return None
    count = ops.summed(made.name, made.inputs[0].shape, made.output.shape, made.attrs)
    attrs = {key: value for key, value in made.attrs.items() if key != "wide"}

    def remake(leaf: Leaf) -> Value:
        terms = inner.remake(leaf)
        fits = terms.type.scale < 2 * w.config.f or terms.type.limit * count < 1 << (w.config.k - 2)
        return sums.wide_sum(w, made.name, terms, attrs) if fits else w.emit(made.name, terms, **attrs)

    return Chain(inner.factor, inner.added * count, inner.of, inner.count * count, remake)


def _times(w: Walker, made: Op) -> Chain | None:
    for x, factor in (made.inputs, made.inputs[::-1]):
        found = number(w, factor)
        if found is not None and (chain := _scaled(w, x, found)) is not None:
            return chain
    return None


def _scaled(w: Walker, x: Value, factor: float) -> Chain | None:
    inner = _chain(w, x) if factor > 0 else None
    return None if inner is None else replace(inner, factor=inner.factor * factor)


def _added(w: Walker, made: Op) -> Chain | None:
    for x, other in (made.inputs, made.inputs[::-1]):
        found, inner = number(w, other), _chain(w, x)
        if inner is not None and found is not None and found >= 0 and not inner.least:
            return replace(inner, added=inner.added + found / inner.factor)
    one, two = (_chain(w, v) for v in made.inputs)
    if one is None or two is None or one.least or two.least or not math.isclose(one.factor, two.factor, rel_tol=1e-6):
        return None

    def remake(leaf: Leaf) -> Value:
        return w.emit("add", one.remake(leaf), two.remake(leaf))

    return Chain(one.factor, one.added + two.added, (*one.of, *two.of), one.count + two.count, remake)


def _number_of(w: Walker, x: Value) -> float | None:
    return None if x.type.secret else number(w, x)


def number(w: Walker, x: Value) -> float | None:
    """The one number that a constant is."""
    while (made := w.build.maker(x)) is not None and made.name in (*MOVES, "scale_up"):
        x = made.inputs[0]
    return w.facts.of(NUMBER, x)


RULES: dict[str, Any] = {
    "mul": _square,
    "dot": _inner,
    "add": _added,
    "reduce_sum": _summed,
    "window_sum": _summed,
    "cumsum": _summed,
    **dict.fromkeys(MOVES, _moved),
}
