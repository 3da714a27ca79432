"""Random programs in which the passes find work: products that are summed, biases, pooled ReLUs, constants, repeats.

What goes in: nothing, or a configuration. What comes out: a hypothesis strategy for valid value-level programs.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.errors import BoundError
from jmpc.ir.program import Program, Value
from jmpc.ir.types import ARITH, DECLARED, FIXED, INT, LOCAL, PLAIN, Type
from jmpc.testing.draw import ir_programs as base
from jmpc.testing.draw.attributes import window_attrs
from jmpc.testing.draw.ir_programs import Draw, Maker, finish

SHAPES = ((2, 4), (4,), (2, 2, 2))


def latest(maker: Maker, draw: Draw, scale: bool = False) -> Value:
    """One of the last few numbers; with `scale`, of fixed point."""
    found = [v for v in maker.with_(ARITH) if not scale or v.type.kind == FIXED][-4:]
    return draw(st.sampled_from(found))


def product(maker: Maker, draw: Draw) -> Value:
    x = latest(maker, draw, scale=True)
    others = [v for v in maker.with_(ARITH) if (v.shape, v.type.kind, v.type.scale) == (x.shape, FIXED, x.type.scale)]
    z = maker.emit("mul", x, draw(st.sampled_from(others)))
    return maker.emit("truncate", z, bits=maker.config.f)


def total(maker: Maker, draw: Draw) -> Value:
    """The sum, difference or gap of two values, often of two truncations."""
    x = latest(maker, draw)
    same = [
        v
        for v in maker.with_(ARITH)
        if (v.shape, v.type.kind, v.type.scale) == (x.shape, x.type.kind, x.type.scale) and v is not x
    ]
    return maker.emit(draw(st.sampled_from(("add", "sub", "gap"))), x, draw(st.sampled_from(same or [x])))


def bias(maker: Maker, draw: Draw) -> Value:
    x = latest(maker, draw, scale=True)
    constant = maker.const(draw(st.integers(-9, 9)), x.type)
    return maker.emit("add", *draw(st.permutations([x, constant])))


def moved(maker: Maker, draw: Draw) -> Value:
    """An op through which a truncation may sink."""
    x = latest(maker, draw)
    name = draw(st.sampled_from(("neg", "rev", "reshape", "reduce_sum", "window_sum")))
    if name == "neg" or not x.shape:
        return maker.emit("neg", x)
    if name == "window_sum":
        return maker.emit(name, x, **window_attrs(len(x.shape)))
    attrs: dict[str, Any] = {"rev": {"axes": (0,)}, "reshape": {"shape": (x.type.size,)}, "reduce_sum": {"axes": (0,)}}
    return maker.emit(name, x, **attrs[name])


def pooled(maker: Maker, draw: Draw) -> Value:
    x = latest(maker, draw)
    relu = maker.emit("relu", x)
    if draw(st.booleans()):
        maker.values.append(relu)  # somebody else may read it
    if not x.shape:
        return relu
    if draw(st.booleans()):
        return maker.emit("reduce_max", relu, axes=(0,))
    return maker.emit("window_max", relu, **window_attrs(len(x.shape)))


def constants(maker: Maker, draw: Draw) -> Value:
    """Things to fold: 0 and 1, constants reshaped, negated and scaled."""
    x = latest(maker, draw)
    kind = draw(st.sampled_from(("zero", "one", "shape", "neg", "scale")))
    if kind == "zero":
        zero = maker.const(0, x.type)
        return (
            maker.emit("sub", x, zero) if draw(st.booleans()) else maker.emit("add", *draw(st.permutations([x, zero])))
        )
    if kind == "one":
        one = maker.emit("const", shape=x.shape, kind=INT, scale=0, value=1)
        return maker.emit("mul", *draw(st.permutations([x, one])))
    value = draw(st.integers(-5, 5))
    if kind == "shape":
        small = maker.const(value, x.type, ())
        return maker.emit("add", x, maker.emit("broadcast", small, shape=x.shape, dims=()))
    if kind == "neg":
        return maker.emit("sub", x, maker.emit("neg", maker.const(value, x.type)))
    whole = maker.emit("const", shape=x.shape, kind=INT, scale=0, value=value)
    return maker.emit("add", x, maker.emit("scale_up", whole, bits=x.type.scale)) if x.type.kind == FIXED else x


def again(maker: Maker, draw: Draw) -> Value:
    """An op that is there already, once more."""
    made = [op for op in maker.builder.ops if op.name not in ("loop", "share") and len(op.outputs) == 1]
    if not made:
        return latest(maker, draw)
    op = draw(st.sampled_from(made))
    return maker.emit(op.name, *op.inputs, **op.attrs)


STEPS = (product, product, total, total, total, bias, moved, moved, pooled, constants, again)
OTHERS = (base.compare, base.select, base.loop)


@st.composite
def chains(draw: Draw, config: Config | None = None, most: int = 10) -> Program:
    config = config or draw(st.sampled_from(base.CONFIGS))
    shape = draw(st.sampled_from(SHAPES))
    owners = ["alice", "bob"]
    limit = 4 << config.f
    params = tuple(Value(Type(shape, FIXED, config.f, limit, DECLARED, LOCAL, owner, PLAIN)) for owner in owners)
    maker = Maker(config, params)
    maker.values = [maker.emit("share", value) for value in params]
    for step in draw(st.lists(st.sampled_from(STEPS + OTHERS), min_size=2, max_size=most)):
        maker.builder.loc = f"chain.py:{len(maker.builder.ops)} ({step.__name__})"
        try:
            value = step(maker, draw)
        except BoundError:
            continue
        maker.values += [value] if value is not None else []
    results = [maker.values[-1], *draw(st.lists(st.sampled_from(maker.values), max_size=2))]
    return finish(maker, results, owners)
