"""Random well-typed programs, for every test that takes a program.

What goes in: nothing, or a configuration. What comes out: hypothesis strategies for value-level and share-level
programs that `verify` accepts, inputs within their bounds, and `Maker`, which emits an op with the types that
`ops.infer` gives. Shapes come from a small pool, so that JAX compiles little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.errors import BoundError
from jmpc.ir import ops
from jmpc.ir.program import Block, Builder, Input, Output, Program, Value
from jmpc.ir.types import (
    ARITH,
    ASSUMED,
    BITS,
    BOOL,
    DECLARED,
    FIXED,
    INT,
    KEPT,
    LOCAL,
    PLAIN,
    PUBLIC,
    SECRET,
    Type,
    secret_bits,
)

CONFIGS = (Config(), Config(f=10), Config(k=32, f=8))
SHAPES = ((), (4,), (2, 4))
OWNERS = ("alice", "bob", "")
Draw = Callable[[st.SearchStrategy[Any]], Any]


class Maker:
    """Emits ops into one block and keeps the values that may be used, by what the next step asks for."""

    def __init__(self, config: Config, params: tuple[Value, ...] = (), loc: str = "model.py:1 (f)") -> None:
        self.config = config
        self.builder = Builder(loc)
        self.params = params
        self.values: list[Value] = []

    def emit_many(self, name: str, *inputs: Value, **attrs: Any) -> tuple[Value, ...]:
        types = ops.infer(name, [value.type for value in inputs], attrs, self.config)
        return self.builder.emit_many(name, inputs, types, **attrs)

    def emit(self, name: str, *inputs: Value, **attrs: Any) -> Value:
        (value,) = self.emit_many(name, *inputs, **attrs)
        return value

    def const(self, value: int, like: Type, shape: tuple[int, ...] | None = None) -> Value:
        return self.emit(
            "const", shape=like.shape if shape is None else shape, kind=like.kind, scale=like.scale, value=value
        )

    def with_(self, *forms: str) -> list[Value]:
        return [value for value in self.values if value.type.form in forms]

    def block(self, *results: Value) -> Block:
        return self.builder.block(self.params, results)


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


def _like(maker: Maker, draw: Draw, x: Value) -> Value:
    """A value that can be added to x; x itself is one."""

    def fits(t: Type) -> bool:
        return t.form == ARITH and (t.shape, t.kind, t.scale) == (x.shape, x.type.kind, x.type.scale)

    return draw(st.sampled_from([value for value in maker.values if fits(value.type)]))


def linear(maker: Maker, draw: Draw) -> Value | None:
    x = arith(maker, draw)
    if x is None:
        return None
    name = draw(st.sampled_from(("neg", "add", "sub", "gap", "public")))
    if name == "neg":
        return maker.emit("neg", x)
    if name == "public":
        return maker.emit("add", x, maker.const(draw(st.integers(-5, 5)), x.type))
    return maker.emit(name, x, _like(maker, draw, x))


def structure(maker: Maker, draw: Draw) -> Value | None:
    """Ops that move elements, on numbers or bits."""
    found = [value for value in maker.with_(ARITH, BITS) if value.shape]
    if not found:
        return None
    x = draw(st.sampled_from(found))
    rank, axes = len(x.shape), tuple(range(len(x.shape)))
    name = draw(st.sampled_from(tuple(_STRUCTURE)))
    inputs, attrs = _STRUCTURE[name](maker, x, rank, axes)
    return maker.emit(name, *inputs, **attrs)


def _index(maker: Maker, value: int) -> Value:
    return maker.emit("const", shape=(), kind=INT, scale=0, value=value)


_STRUCTURE: dict[str, Callable[[Maker, Value, int, tuple[int, ...]], tuple[tuple[Value, ...], dict[str, Any]]]] = {
    "reshape": lambda maker, x, rank, axes: ((x,), {"shape": (x.type.size,)}),
    "transpose": lambda maker, x, rank, axes: ((x,), {"perm": axes[::-1]}),
    "broadcast": lambda maker, x, rank, axes: ((x,), {"shape": (2, *x.shape), "dims": tuple(a + 1 for a in axes)}),
    "slice": lambda maker, x, rank, axes: (
        (x,),
        {"start": (0,) * rank, "limit": tuple(max(n - 1, 0) for n in x.shape), "strides": None},
    ),
    "rev": lambda maker, x, rank, axes: ((x,), {"axes": (0,)}),
    "concat": lambda maker, x, rank, axes: ((x, x), {"axis": 0}),
    "pad": lambda maker, x, rank, axes: ((x, maker.const(1, x.type, ())), {"config": ((1, 0, 0),) * rank}),
    "dynamic_slice": lambda maker, x, rank, axes: (
        (x, *(_index(maker, 1) for _ in axes)),
        {"sizes": tuple(min(n, 2) for n in x.shape)},
    ),
    "dynamic_update": lambda maker, x, rank, axes: (
        (x, maker.emit("rev", x, axes=axes), *(_index(maker, 1) for _ in axes)),
        {},
    ),
    "gather": lambda maker, x, rank, axes: (
        (x, maker.emit("const", shape=(3, 1), kind=INT, scale=0, value=1)),
        {"dims": (axes[1:], (0,), (0,), (), ()), "sizes": (1, *x.shape[1:]), "mode": "fill"},
    ),
}


def summing(maker: Maker, draw: Draw) -> Value | None:
    found = [value for value in maker.with_(ARITH) if value.shape]
    if not found:
        return None
    x = draw(st.sampled_from(found))
    name = draw(st.sampled_from(("reduce_sum", "cumsum", "window_sum", "window_max", "reduce_max", "argmax")))
    filled = x.type.size > 0
    if name == "cumsum":
        return maker.emit(name, x, axis=0, reverse=draw(st.booleans()))
    if name.startswith("window"):
        return maker.emit(name, x, **_window(len(x.shape)))
    if name == "argmax":
        return maker.emit(name, x, axis=0) if filled else None
    return maker.emit(name, x, axes=(0,)) if name == "reduce_sum" or filled else None


def _window(rank: int) -> dict[str, Any]:
    ones = (1,) * rank
    return {
        "window": (2,) * rank,
        "strides": ones,
        "padding": ((0, 1),) * rank,
        "base_dilation": ones,
        "window_dilation": ones,
    }


def product(maker: Maker, draw: Draw) -> Value | None:
    """A product of two secrets or of one with a constant, and the truncation behind it."""
    x = arith(maker, draw)
    if x is None or x.type.scale > maker.config.f:
        return None
    y = _like(maker, draw, x) if draw(st.booleans()) else maker.const(draw(st.integers(-9, 9)), x.type)
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
    kernel = maker.emit("reshape", _like(maker, draw, x), shape=(2, 1, 2, 2))
    return maker.emit("reshape", maker.emit("conv", image, kernel, **conv_attrs()), shape=(2, 1, 3))


def conv_attrs() -> dict[str, Any]:
    order = (0, 1, 2, 3)
    return {
        "strides": (1, 1),
        "padding": ((0, 0), (0, 0)),
        "lhs_dilation": (1, 1),
        "rhs_dilation": (1, 1),
        "dims": (order, order, order),
        "feature_groups": 1,
        "batch_groups": 1,
    }


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
        return maker.emit(name, maker.emit("is_negative", _like(maker, draw, x)), x)
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
    """Numbers or bits in the order of keys of their shape."""
    found = [value for value in maker.with_(ARITH, BITS) if value.shape and value.type.size]
    if not found:
        return None
    x = draw(st.sampled_from(found))
    keys = draw(st.lists(st.sampled_from([v for v in found if v.shape == x.shape]), min_size=1, max_size=2))
    return maker.emit("permute", maker.emit("rank", *keys), x)


STEPS = (linear, structure, summing, product, convolution, compare, logic, select, ordered, loop)


@st.composite
def programs(draw: Draw, config: Config | None = None, steps: int = 6) -> Program:
    """A value-level program of up to `steps` steps, one to three inputs and one to three outputs."""
    used: Config = config or draw(st.sampled_from(CONFIGS))
    owners = draw(st.lists(st.sampled_from(OWNERS), min_size=1, max_size=3))
    params = tuple(Value(input_type(draw, used, owner)) for owner in owners)
    maker = Maker(used, params)
    maker.values = [maker.emit("share", value) for value in params]
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=steps)):
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
    return finish(maker, results, [KEPT, KEPT])


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
    return finish(maker, [maker.emit("permute", place, x) for x in params], [KEPT, KEPT])


def _inject(maker: Maker, draw: Draw, bit: Value, x: Value) -> Value:
    if draw(st.booleans()):
        return maker.emit("inject", bit, x)
    mask, mask_arith = maker.emit_many("dabit", shape=bit.shape)
    number = maker.emit("bit_to_arith_dabit", bit, mask, mask_arith)
    chosen = maker.emit("inject_dabit", bit, mask, mask_arith, x)
    return maker.emit("add", chosen, maker.emit("scale_up", number, bits=x.type.scale))
