"""Rules for randomness that no party knows: `jmpc.random`. Every equation draws anew, in every iteration of a loop.

But for one: a checkpoint computes again, in its backward pass, what its forward pass did, draws among it; those must be
what they were, or are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from jmpc import _jax
from jmpc.frontend.expand import expand
from jmpc.frontend.fixed_point.divide import form_of
from jmpc.frontend.integer import integers
from jmpc.frontend.walk import Operand, Results, Walker, rule
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import FIXED
from jmpc.numerics.elementary import logarithm
from jmpc.numerics.elementary.normalise import Form
from jmpc.numerics.language import draws

DRAWN = "drawn"
SPARE = 14  # fraction bits beyond those of the format, of the numbers whose logarithms are Gumbel's
OUTSIDE = "draw before it, and pass in what was drawn"
AGAIN = f"jax.checkpoint draws it again for the backward pass, which would be another number: {OUTSIDE}"
MOVED = f"one jax.checkpoint inside another may draw once for all iterations of a loop: {OUTSIDE}"


def _drawing(name: str) -> Callable[[Callable[[Walker, Any], Any]], None]:
    """Register what a draw does, where it is one."""

    def register(make: Callable[[Walker, Any], Any]) -> None:
        @rule(draws.PREFIX + name)
        def emit(w: Walker, eqn: Any, args: list[Operand]) -> Results:
            p = eqn.params
            if p["saved"] > 1:
                return _refused(w, eqn, MOVED)
            forward, backward = _places(w.shared.program, p["number"]) if w.redone else (0, 1)
            before = _drawn_before(w, p["number"], p["shape"]) if forward == 1 else None
            if before is not None:
                return before
            if forward or backward > 1:
                return _refused(w, eqn, AGAIN)
            made = make(w, eqn)
            w.emitted[DRAWN, p["number"]] = made
            return made

    return register


def _refused(w: Walker, eqn: Any, why: str) -> list[Operand]:
    w.shared.missing["a draw of jmpc.random", w.build.loc] = why
    return [w.placeholder(v.aval) for v in eqn.outvars]


def _places(jaxpr: Any, number: int, redone: bool = False) -> tuple[int, int]:
    """How often a draw stands in a program, and how often in the backward pass of a checkpoint."""
    forward, backward = 0, 0
    for eqn in jaxpr.eqns:
        here = draws.is_draw(eqn) and eqn.params["number"] == number
        forward, backward = forward + (here and not redone), backward + (here and redone)
        for body in _jax.bodies_of(eqn):
            inner = _places(body, number, redone or _jax.is_redone(eqn))
            forward, backward = forward + inner[0], backward + inner[1]
    return forward, backward


def _drawn_before(w: Walker, number: int, shape: tuple[int, ...]) -> Value | None:
    """What this scope, or one around it, has drawn under this number."""
    found: Operand | None = w.emitted.get((DRAWN, number))
    if found is None and w.parent is not None:
        outer = _drawn_before(w.parent, number, shape)
        return None if outer is None else w.capture(outer)
    return found if isinstance(found, Value) and found.shape == tuple(shape) else None


def _draw(w: Walker, op: str, shape: tuple[int, ...], **attrs: Any) -> Value:
    w.shared.draws += 1
    return w.emit(op, shape=tuple(shape), number=w.shared.draws, **attrs)


@_drawing("words")
def _words(w: Walker, eqn: Any) -> Any:
    """The low bits of a uniform ring element are uniform."""
    dtype = eqn.params["dtype"]
    if integers.bits_of(dtype) > w.config.k:
        return _refused(w, eqn, f"{dtype} has more bits than the ring: use Config(k=64)")
    return _draw(w, "random_words", eqn.params["shape"])


@_drawing("bools")
def _bools(w: Walker, eqn: Any) -> Value:
    return _draw(w, "random_bits", eqn.params["shape"])


@_drawing("fraction")
def _fraction(w: Walker, eqn: Any) -> Value:
    """f random bits behind the point."""
    shape, bits = eqn.params["shape"], w.config.f
    if not math.prod(shape):
        return w.emit("move_point", _draw(w, "random_words", shape), bits=bits)
    number = w.emit("from_bits", _draw(w, "random_bits", (bits, *shape)), signed=False)
    return w.emit("move_point", number, bits=bits)


@_drawing("count")
def _count(w: Walker, eqn: Any) -> Value:
    p = eqn.params
    bits = _draw(w, "random_count", p["shape"], thresholds=p["thresholds"], trials=p["trials"], bits=p["width"])
    return integers.within(w, w.emit("from_bits", bits, signed=False), (0, len(p["thresholds"]) * p["trials"]))


@_drawing("chance")
def _chance(w: Walker, eqn: Any) -> Value:
    p = eqn.params
    below = _draw(w, "random_chances", p["shape"], thresholds=(p["threshold"],), bits=p["width"])
    return w.emit("reshape", below, shape=tuple(p["shape"]))


@rule(draws.PREFIX + "shuffle")
def _shuffle(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    p = eqn.params
    if p["saved"] > 1 or (w.redone and sum(_places(w.shared.program, p["number"])) > 1):
        return _refused(w, eqn, MOVED if p["saved"] > 1 else AGAIN)
    lead, values = p["lead"], [w.secret(a) for a in args]
    rows, n = math.prod(values[0].shape[:lead]), values[0].shape[lead]
    wide = [math.prod(v.shape[lead + 1 :]) for v in values]
    given = [w.emit("reshape", v, shape=(rows, n, m)) for v, m in zip(values, wide, strict=True)]
    w.shared.draws += 1
    attrs = {"number": w.shared.draws}
    types = ops.infer("random_shuffle", [v.type for v in given], attrs, w.config, w.build.loc)
    made = w.build.emit_many("random_shuffle", given, types, **attrs)
    for before, after in zip(values, made, strict=True):
        integers.within(w, after, integers.interval(w, before))
    return [w.emit("reshape", x, shape=v.shape) for x, v in zip(made, values, strict=True)]


# --- digits of exponential numbers


@_drawing("exponential")
def _exponential(w: Walker, eqn: Any) -> Value:
    return _digits(w, eqn.params["shape"], w.config.f)


@_drawing("gumbel")
def _gumbel(w: Walker, eqn: Any) -> Any:
    """A number of 2n + 1 units of half the size, so that none is 0, of as many bits as a logarithm takes."""
    most = w.config.k - 2 - w.config.f - draws.EXPONENTIAL_TOP - 1
    x = w.emit("move_point", _digits(w, eqn.params["shape"], min(w.config.f + SPARE, most)), bits=1)
    x = w.emit("add", w.emit("add", x, x), w.emit("const", value=1, shape=x.shape, kind=FIXED, scale=x.type.scale))
    return expand(w, _minus_log(form_of(x.type, w.config, False)), x)


@lru_cache(maxsize=64)
def _minus_log(form: Form) -> Any:
    return lambda x: -logarithm.log(x, form=form)


def _digits(w: Walker, shape: tuple[int, ...], bits: int) -> Value:
    """Exponential numbers with so many fraction bits."""
    thresholds = tuple(draws.exponential_digits(bits))
    digits = _draw(w, "random_chances", shape, thresholds=thresholds, bits=draws.CHANCE_BITS)
    return w.emit("move_point", w.emit("from_bits", digits, signed=False), bits=bits)
