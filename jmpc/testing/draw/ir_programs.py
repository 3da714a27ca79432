"""Random well-typed programs, for every test that takes a program.

What goes in: nothing, or a configuration. What comes out: hypothesis strategies for value-level and share-level
programs that `verify` accepts, and inputs within their bounds. Which ops a step may emit follows from the traits of
their records, so that an op that is new is drawn where its like are. Shapes come from a small pool, so that JAX
compiles little.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.errors import BoundError
from jmpc.ir import ops
from jmpc.ir.ops.record import DRAWS, LINEAR, OPENS, SELECTION, SUMMING, VALUE
from jmpc.ir.program import Input, Output, Program, Value
from jmpc.ir.types import (
    ARITH,
    ASSUMED,
    BITS,
    BOOL,
    DECLARED,
    FIXED,
    INT,
    LOCAL,
    PLAIN,
    PUBLIC,
    SECRET,
    Type,
    secret_bits,
)
from jmpc.roles import Role
from jmpc.testing.draw.attributes import conv_attrs, of_op
from jmpc.testing.draw.ir_maker import Draw, Maker

CONFIGS = (Config(), Config(f=10), Config(k=32, f=8))
SHAPES = ((), (4,), (2, 4))
OWNERS = ("alice", "bob", "")


def ops_with(trait: str) -> tuple[str, ...]:
    """The value-level ops with a trait, in a fixed order; also those that were declared after this file was read."""
    return tuple(sorted(ops.with_trait(trait) & ops.of_level(VALUE)))


def elementwise_ops() -> tuple[str, ...]:
    """The linear ops that do nothing to shapes: all that there is to draw of them is operands."""
    return tuple(n for n in ops_with(LINEAR) if not ops.OPS[n].attrs and ops.OPS[n].more is None)


# --- inputs


def input_type(draw: Draw, config: Config, owner: str) -> Type:
    """A type for an input of `owner`: its limit declared and small, or the contract of the number format."""
    kind = draw(st.sampled_from((FIXED, FIXED, INT, BOOL)))
    shape = draw(st.sampled_from(SHAPES))
    visibility = LOCAL if owner else PUBLIC
    if kind == BOOL:
        return Type(shape, BOOL, visibility=visibility, owner=owner, form=PLAIN)
    scale = config.f if kind == FIXED else 0
    origin = draw(st.sampled_from((DECLARED, ASSUMED)))
    limit = ops.contract(scale, config) if origin == ASSUMED else draw(st.integers(1, 7 << scale))
    return Type(shape, kind, scale, limit, origin, visibility, owner, PLAIN)


def input_arrays(program: Program, seed: int) -> list[np.ndarray]:
    """One array an input, in ring units: half of the elements are small, some are the limits themselves."""
    rng = np.random.default_rng(seed)
    return [_array(rng, value.type) for value in program.body.params]


def _array(rng: np.random.Generator, t: Type) -> np.ndarray:
    if t.kind == BOOL:
        return rng.integers(0, 2, t.shape).astype(bool)
    wide = rng.integers(-t.limit, t.limit, t.shape, endpoint=True)
    small = rng.integers(-min(3, t.limit), min(3, t.limit), t.shape, endpoint=True)
    edge = rng.choice(np.array([-t.limit, 0, t.limit]), t.shape)
    return np.choose(rng.integers(0, 3, t.shape), [wide, small, edge])


# --- steps of the value level: each emits a few ops and adds values, or returns where nothing fits


def arith(maker: Maker, draw: Draw) -> Value | None:
    found = maker.with_(ARITH)
    return draw(st.sampled_from(found)) if found else None


def bits(maker: Maker, draw: Draw) -> Value | None:
    found = maker.with_(BITS)
    return draw(st.sampled_from(found)) if found else None


def linear(maker: Maker, draw: Draw) -> Value | None:
    """Sums and their like: linear ops of numbers of one shape."""
    x = arith(maker, draw)
    if x is None:
        return None
    name = draw(st.sampled_from((*elementwise_ops(), "public")))
    if name == "public":
        return maker.emit("add", x, maker.const(draw(st.integers(-5, 5)), x.type))
    return maker.emit(name, x, *(maker.like(draw, x) for _ in ops.OPS[name].operands[1:]))


def structure(maker: Maker, draw: Draw) -> Value | None:
    """Ops that move elements, on numbers or bits."""
    found = [value for value in maker.with_(ARITH, BITS) if value.shape and value.type.size]
    if not found:
        return None
    name = draw(st.sampled_from(ops_with(SELECTION)))
    inputs, attrs = of_op(maker, draw, name, draw(st.sampled_from(found)))
    return maker.emit(name, *inputs, **attrs)


def summing(maker: Maker, draw: Draw) -> Value | None:
    """Sums along axes or windows."""
    found = [value for value in maker.with_(ARITH) if value.shape and value.type.size]
    if not found:
        return None
    name = draw(st.sampled_from(ops_with(SUMMING)))
    inputs, attrs = of_op(maker, draw, name, draw(st.sampled_from(found)))
    return maker.emit(name, *inputs, **attrs)


def largest(maker: Maker, draw: Draw) -> Value | None:
    found = [value for value in maker.with_(ARITH) if value.shape and value.type.size]
    if not found:
        return None
    name = draw(st.sampled_from(("window_max", "reduce_max", "argmax")))
    inputs, attrs = of_op(maker, draw, name, draw(st.sampled_from(found)))
    return maker.emit(name, *inputs, **attrs)


def drawing(maker: Maker, draw: Draw) -> Value | None:
    """Randomness that no party knows. Two ops of one number would be one op."""
    name = draw(st.sampled_from(ops_with(DRAWS)))
    rows = [value for value in maker.with_(ARITH, BITS) if len(value.shape) in (2, 3)]
    if ops.OPS[name].operands and not rows:
        return None
    first = draw(st.sampled_from(rows)) if ops.OPS[name].operands else None
    inputs, attrs = of_op(maker, draw, name, first)
    made = maker.emit_many(name, *inputs, **attrs)
    maker.values += made[1:]
    return made[0]


def product(maker: Maker, draw: Draw) -> Value | None:
    """A product of two secrets or of one with a constant, and the truncation behind it."""
    x = arith(maker, draw)
    if x is None or x.type.scale > maker.config.f:
        return None
    y = maker.like(draw, x) if draw(st.booleans()) else maker.const(draw(st.integers(-9, 9)), x.type)
    name = draw(st.sampled_from(("mul", "dot"))) if x.shape else "mul"
    dims = (((0,), (0,)), ((), ()))
    z = maker.emit("mul", x, y) if name == "mul" else maker.emit("dot", x, y, dims=dims)
    if z.type.scale <= maker.config.f or len(z.shape) > 3:
        return z
    return maker.emit("truncate", z, bits=maker.config.f)


def convolution(maker: Maker, draw: Draw) -> Value | None:
    found = [value for value in maker.with_(ARITH) if value.shape == (2, 4) and value.type.scale <= maker.config.f]
    if not found:
        return None
    x = draw(st.sampled_from(found))
    image = maker.emit("reshape", x, shape=(1, 1, 2, 4))
    kernel = maker.emit("reshape", maker.like(draw, x), shape=(2, 1, 2, 2))
    return maker.emit("reshape", maker.emit("conv", image, kernel, **conv_attrs()), shape=(2, 1, 3))


def compare(maker: Maker, draw: Draw) -> Value | None:
    x = arith(maker, draw)
    if x is None:
        return None
    name = draw(st.sampled_from(("is_negative", "is_zero", "width")))
    return maker.emit("is_negative", x, width=x.type.width, drop=0) if name == "width" else maker.emit(name, x)


def logic(maker: Maker, draw: Draw) -> Value | None:
    x = bits(maker, draw)
    if x is None:
        return None
    name = draw(st.sampled_from(("xor", "and", "or", "not", "reduce_and", "reduce_or", "to_arith")))
    if name in ("not", "to_arith"):
        return maker.emit(name, x)
    if name.startswith("reduce"):
        return maker.emit(name, x, axes=tuple(range(len(x.shape))))
    same = [value for value in maker.with_(BITS) if value.shape == x.shape]
    return maker.emit(name, x, draw(st.sampled_from(same)))


def select(maker: Maker, draw: Draw) -> Value | None:
    x = arith(maker, draw)
    if x is None:
        return None
    name = draw(st.sampled_from(("select_or_zero", "relu", "floor", "bound", "scale_up")))
    if name == "select_or_zero":
        return maker.emit(name, maker.emit("is_negative", maker.like(draw, x)), x)
    if name == "scale_up":
        return maker.emit(name, x, bits=maker.config.f) if x.type.scale == 0 else None
    if name == "floor" and x.type.kind != FIXED:
        return None
    if name == "bound":  # a declaration that is true: an assumed limit may be passed
        return maker.emit(name, x, limit=x.type.limit) if x.type.origin != ASSUMED else None
    return maker.emit(name, x)


def loop(maker: Maker, draw: Draw) -> Value | None:
    """A loop whose carry keeps its type, with a constant and rows of a stacked operand."""
    found = [value for value in maker.with_(ARITH) if value.shape]
    if not found:
        return None
    stacked, carried = draw(st.sampled_from(found)), draw(st.sampled_from(maker.with_(ARITH)))
    const = maker.const(draw(st.integers(-3, 3)), stacked.type, stacked.shape[1:])
    row = stacked.type.with_(shape=stacked.shape[1:])
    params = tuple(Value(t) for t in (const.type, carried.type, row))
    body = Maker(maker.config, params, "model.py:2 (step)")
    step = draw(st.sampled_from(("neg", "relu", "select")))
    if step == "select":
        after = body.emit("select_or_zero", body.emit("is_negative", params[1]), params[1])
    else:
        after = body.emit(step, params[1])
    out = body.emit("is_negative", body.emit("sub", params[2], params[0]))
    block = body.block(after, out)
    outputs = maker.emit_many("loop", const, carried, stacked, body=block, consts=1, carry=1, trip=stacked.shape[0])
    maker.values.append(outputs[0])
    return outputs[1]


def ordered(maker: Maker, draw: Draw) -> Value | None:
    """Numbers or bits in the order of keys of their shape: what opens an order that nobody knows."""
    found = [value for value in maker.with_(ARITH, BITS) if value.shape and value.type.size]
    if not found:
        return None
    x = draw(st.sampled_from(found))
    keys = draw(st.lists(st.sampled_from([v for v in found if v.shape == x.shape]), min_size=1, max_size=2))
    return maker.emit(draw(st.sampled_from(ops_with(OPENS))), maker.emit("rank", *keys), x)


STEPS = (linear, structure, summing, largest, product, convolution, compare, logic, select, ordered, loop)


@st.composite
def programs(draw: Draw, config: Config | None = None, steps: int = 6, draws: bool = False) -> Program:
    """A value-level program of up to `steps` steps, one to three inputs and one to three outputs. draws: also ops whose
    results are random, so that no interpreter says what comes out."""
    used: Config = config or draw(st.sampled_from(CONFIGS))
    owners = draw(st.lists(st.sampled_from(OWNERS), min_size=1, max_size=3))
    params = tuple(Value(input_type(draw, used, owner)) for owner in owners)
    maker = Maker(used, params)
    maker.values = [maker.emit("share", value) for value in params]
    kinds = (*STEPS, drawing) if draws else STEPS
    for step in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=steps)):
        maker.builder.loc = f"model.py:{len(maker.builder.ops)} ({step.__name__})"
        try:
            value = step(maker, draw)
        except BoundError:  # declared bounds may multiply to more than the ring holds; that is another test
            continue
        maker.values += [value] if value is not None else []
    return finish(maker, draw(st.lists(st.sampled_from(maker.values), min_size=1, max_size=3)), owners)


def finish(maker: Maker, results: list[Value], owners: list[str]) -> Program:
    """The program whose parameters belong to `owners`; its results go to carol."""
    inputs = tuple(Input(f"args[{n}]", owner) for n, owner in enumerate(owners))
    outputs = tuple(Output(f"[{n}]", "carol", _dtype(value.type)) for n, value in enumerate(results))
    return Program("random", maker.config, inputs, outputs, maker.block(*results))


def _dtype(t: Type) -> str:
    return {FIXED: "float32", INT: "int32", BOOL: "bool"}[t.kind]


# --- share level


@st.composite
def share_programs(draw: Draw, config: Config | None = None) -> Program:
    """A share-level program: two secrets, a product, truncation, comparison and injection by some protocol."""
    used: Config = config or draw(st.sampled_from(CONFIGS))
    shape = draw(st.sampled_from(SHAPES))
    limit = ops.contract(used.f, used)
    params = tuple(Value(Type(shape, FIXED, used.f, limit, ASSUMED, SECRET, "", ARITH)) for _ in range(2))
    maker = Maker(used, params)
    z = maker.emit("mul_sum3", *params)
    if draw(st.booleans()):
        z = maker.emit("add", z, maker.emit("to_sum3", maker.emit("scale_up", params[0], bits=used.f)))
    halves = maker.emit("open_split", z) if draw(st.booleans()) else maker.emit("split", maker.emit("reshare", z))
    short = maker.emit(draw(st.sampled_from(("truncate_wrap", "truncate_local"))), halves, bits=used.f)
    sign = maker.emit("msb", halves, width=halves.type.width, drop=0, block=4)
    other = draw(st.sampled_from(("", "not", "and")))
    if other:
        flipped = maker.emit("not", sign)
        sign = maker.emit("and", sign, flipped) if other == "and" else flipped
    zero = maker.emit("zero_test", halves, width=halves.type.width, block=4)
    results = [_inject(maker, draw, sign, short), maker.emit("xor", sign, zero), maker.emit("bit_to_arith", zero)]
    return finish(maker, results, [Role.SECRET, Role.SECRET])


@st.composite
def order_programs(draw: Draw, config: Config | None = None) -> Program:
    """A share-level program: a number and a bit in the order of one of them or of both, by pairs or by digits."""
    used: Config = config or draw(st.sampled_from(CONFIGS))
    shape, block = draw(st.sampled_from(SHAPES[1:])), draw(st.integers(1, 5))
    params = (Value(Type(shape, FIXED, used.f, 7 << used.f, DECLARED)), Value(secret_bits(shape)))
    maker = Maker(used, params)
    halves, width = maker.emit("split", params[0]), params[0].type.width
    kind = draw(st.sampled_from(("pairs", "both", "words", "planes")))
    if kind in ("pairs", "both"):
        count = 1 + (kind == "both")
        attrs = {"widths": (width, 1)[:count], "blocks": (block, 1)[:count]}
        place = maker.emit("pair_rank", *(halves, params[1])[:count], **attrs)
    else:
        whole = maker.emit("bit_words", halves, width=width, block=block) if kind == "words" else None
        bits = whole or maker.emit("bits_of", halves, start=0, width=width, block=block)
        place = maker.emit("radix_rank", bits, width=width, digit=block, turned=(width - 1,))
    return finish(maker, [maker.emit("permute", place, x) for x in params], [Role.SECRET, Role.SECRET])


def _inject(maker: Maker, draw: Draw, bit: Value, x: Value) -> Value:
    if draw(st.booleans()):
        return maker.emit("inject", bit, x)
    mask, mask_arith = maker.emit_many("dabit", shape=bit.shape)
    number = maker.emit("bit_to_arith_dabit", bit, mask, mask_arith)
    chosen = maker.emit("inject_dabit", bit, mask, mask_arith, x)
    return maker.emit("add", chosen, maker.emit("scale_up", number, bits=x.type.scale))
