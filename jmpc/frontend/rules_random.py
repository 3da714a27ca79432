"""Rules for randomness that no party knows: `jmpc.random`. Every equation draws anew, in every iteration of a loop."""

from __future__ import annotations

import math
from typing import Any

from jmpc.frontend import integers
from jmpc.frontend.walk import Walker, rule
from jmpc.ir.program import Value


def _draw(w: Walker, op: str, shape: tuple[int, ...], **attrs: Any) -> Value:
    w.shared.draws += 1
    return w.emit(op, shape=tuple(shape), number=w.shared.draws, **attrs)


@rule("jmpc_random_words")
def _words(w: Walker, eqn: Any, args: list[Any]) -> Any:
    """The low bits of a uniform ring element are uniform."""
    dtype = eqn.params["dtype"]
    if integers.bits_of(dtype) > w.config.k:
        return w.refuse(eqn, args, f"{dtype} has more bits than the ring: use Config(k=64)")
    return _draw(w, "random_words", eqn.params["shape"])


@rule("jmpc_random_bools")
def _bools(w: Walker, eqn: Any, args: list[Any]) -> Value:
    return _draw(w, "random_bits", eqn.params["shape"])


@rule("jmpc_random_fraction")
def _fraction(w: Walker, eqn: Any, args: list[Any]) -> Value:
    """f random bits behind the point."""
    shape, bits = eqn.params["shape"], w.config.f
    if not math.prod(shape):
        return w.emit("move_point", _draw(w, "random_words", shape), bits=bits)
    number = w.emit("from_bits", _draw(w, "random_bits", (bits, *shape)), signed=False)
    return w.emit("move_point", number, bits=bits)


@rule("jmpc_random_count")
def _count(w: Walker, eqn: Any, args: list[Any]) -> Value:
    p = eqn.params
    bits = _draw(w, "random_count", p["shape"], thresholds=p["thresholds"], trials=p["trials"], bits=p["width"])
    return integers.within(w, w.emit("from_bits", bits, signed=False), (0, len(p["thresholds"]) * p["trials"]))


@rule("jmpc_random_chance")
def _chance(w: Walker, eqn: Any, args: list[Any]) -> Value:
    p = eqn.params
    reached = _draw(w, "random_count", p["shape"], thresholds=(p["threshold"],), trials=1, bits=p["width"])
    return w.emit("not", w.emit("reshape", reached, shape=tuple(p["shape"])))
