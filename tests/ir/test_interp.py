"""The oracle says what the plain formulas say: per op against NumPy, and whole programs against their own bounds."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import floor
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmpc import families as _registered  # noqa: F401  (share-level ops)
from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir import ops
from jmpc.ir.interp import evaluate
from jmpc.ir.ops.record import DRAWS
from jmpc.ir.program import Input, Op, Output, Program, Value
from jmpc.ir.spec import verify
from jmpc.ir.types import ARITH, ASSUMED, BOOL, FIXED, INT, PLAIN, PUBLIC, SPLIT, SUM3, Type, secret_bits, secret_fixed
from jmpc.testing.draw.ir_programs import Maker, conv_attrs, input_arrays, programs, share_programs

quick = settings(max_examples=40, deadline=None, derandomize=True)
F = 18
RNG = np.random.default_rng(7)
X = RNG.integers(-(1 << 40), 1 << 40, (3, 4))
Y = RNG.integers(-(1 << 40), 1 << 40, (3, 4))
SMALL = RNG.integers(-5, 6, (3, 4))
BIT = RNG.integers(0, 2, (3, 4)).astype(bool)
TWO_BITS = np.stack([Y < 0, BIT])
OTHER = RNG.integers(0, 2, (3, 4)).astype(bool)

PLACES = np.array([0, 1, 2, 3, 512, 1 << 39, -1, -512])
TABLE = np.array([4, -1, 7, 9])


def bits_as_number(bits: list[np.ndarray]) -> Any:
    return sum(b.astype(np.int64) << n for n, b in enumerate(bits))


def type_of(x: np.ndarray, form: str, config: Config) -> Type:
    if x.dtype == np.bool_:
        return secret_bits(x.shape)
    return secret_fixed(x.shape, config.f, ops.contract(config.f, config)).with_(form=form)


def apply(name: str, *arrays: np.ndarray, form: str = ARITH, k: int = 64, exact: bool = False, **attrs: Any) -> Any:
    """One op on secret operands of one form, evaluated."""
    config = Config(k=k, f=F if k == 64 else 8)
    params = tuple(Value(type_of(np.asarray(x), form, config)) for x in arrays)
    maker = Maker(config, params)
    results = maker.emit_many(name, *params, **attrs)
    inputs = tuple(Input(f"x[{n}]", "jmpc.SECRET") for n in range(len(params)))
    outputs = tuple(Output(f"[{n}]", "carol", "float32") for n in range(len(results)))
    found = evaluate(Program("one", config, inputs, outputs, maker.block(*results)), arrays, exact=exact)
    return found[0] if len(found) == 1 else found


def of_integers(name: str, *arrays: np.ndarray, form: str = ARITH, **attrs: Any) -> Any:
    """As `apply`, on whole numbers."""
    config = Config()
    params = tuple(Value(Type(x.shape, INT, 0, 1 << 62, form=form)) for x in arrays)
    maker = Maker(config, params)
    results = maker.emit_many(name, *params, **attrs)
    inputs = tuple(Input(f"x[{n}]", "jmpc.SECRET") for n in range(len(params)))
    outputs = tuple(Output(f"[{n}]", "carol", "int64") for n in range(len(results)))
    found = evaluate(Program("one", config, inputs, outputs, maker.block(*results)), arrays)
    return found[0] if len(found) == 1 else found


def of_public_bits(name: str, x: np.ndarray) -> Any:
    """As `apply`, on bits that each party knows."""
    config, param = Config(), Value(Type(x.shape, BOOL, visibility=PUBLIC, form=PLAIN))
    maker = Maker(config, (param,))
    result = maker.emit(name, param)
    program = Program("one", config, (Input("x", ""),), (Output("", "carol", "bool"),), maker.block(result))
    return evaluate(program, [x])[0]


def wrap(x: np.ndarray, k: int = 64) -> np.ndarray:
    """Signed mod 2^k, by Python's integers."""
    half = 1 << (k - 1)
    return ((x.astype(object) + half) % (1 << k) - half).astype(np.int64)


WINDOW = {"window": (2, 2), "strides": (1, 2), "padding": ((1, 0), (0, 1))}
WINDOW |= {"base_dilation": (1, 1), "window_dilation": (1, 1)}


def windows(x: np.ndarray, fill: int, join: Callable[..., Any]) -> np.ndarray:
    padded = np.pad(x.astype(object), WINDOW["padding"], constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, (2, 2))[::1, ::2]
    return join(views, axis=(2, 3)).astype(np.int64)


def wide(x: np.ndarray, y: np.ndarray, join: Callable[..., Any]) -> np.ndarray:
    return wrap(join(x.astype(object), y.astype(object)))


WAVE = {"rate": 1 << 46, "sin": (1 << 28, 0), "cos": (0, 1 << 27), "scale": 30, "known": 14}
POWER = {"rate": 1 << 48, "top": 4, "high": 2, "low": 3, "scale": 30, "known": 14}
POWERS = np.arange(-13, 4) << F


def wave(x: np.ndarray) -> np.ndarray:
    """sin(a) + cos(3 a) / 2 with a period of 4."""
    a = 2 * np.pi * (x % (4 << F)) / (4 << F)
    return np.rint((np.sin(a) + np.cos(3 * a) / 2) * 2**30).astype(np.int64)


def sorted_places(*keys: np.ndarray) -> np.ndarray:
    """By Python's sort, which is stable."""
    rows = []
    for row in zip(*keys, strict=True):
        order = sorted(range(len(row[0])), key=lambda i, row=row: tuple(key[i] for key in row))
        rows.append([order.index(i) for i in range(len(order))])
    return np.array(rows)


DOT = (((1,), (1,)), ((), ()))
FORMULAS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "neg": lambda: (apply("neg", X), -X),
    "add": lambda: (apply("add", X, Y), X + Y),
    "sub": lambda: (apply("sub", X, Y), X - Y),
    "gap": lambda: (apply("gap", X, Y), X - Y),
    "mul": lambda: (apply("mul", X, Y), wide(X, Y, np.multiply)),
    "mul_sum3": lambda: (apply("mul_sum3", X, Y), wide(X, Y, np.multiply)),
    "dot": lambda: (apply("dot", X, Y, dims=DOT), wide(X, Y.T, np.dot)),
    "dot_sum3": lambda: (apply("dot_sum3", X, Y, dims=DOT), wide(X, Y.T, np.dot)),
    "scale_up": lambda: (apply("scale_up", X, bits=5), X * 32),
    "move_point": lambda: (apply("move_point", X, bits=5), X),
    "bound": lambda: (apply("bound", X, limit=1 << 41), X),
    "share": lambda: (apply("share", X), X),
    "to_sum3": lambda: (apply("to_sum3", X), X),
    "reshare": lambda: (apply("reshare", X, form=SUM3), X),
    "verify": lambda: (of_public_bits("verify", BIT), BIT),
    "split": lambda: (apply("split", X), X),
    "open_split": lambda: (apply("open_split", X, form=SUM3), X),
    "reshape": lambda: (apply("reshape", X, shape=(2, 6)), X.reshape(2, 6)),
    "transpose": lambda: (apply("transpose", BIT, perm=(1, 0)), BIT.T),
    "broadcast": lambda: (apply("broadcast", BIT, shape=(2, 3, 4), dims=(1, 2)), np.stack([BIT, BIT])),
    "slice": lambda: (apply("slice", X, start=(0, 1), limit=(3, 4), strides=(2, 1)), X[0:3:2, 1:4]),
    "rev": lambda: (apply("rev", BIT, axes=(1,)), BIT[:, ::-1]),
    "take": lambda: (apply("take", X, rows=(1, 0, 1)), X[[1, 0, 1]]),
    "concat": lambda: (apply("concat", X, Y, axis=1), np.concatenate([X, Y], 1)),
    "pad": lambda: (
        apply("pad", X, np.int64(7), config=((1, 0, 0), (0, 2, 0))),
        np.pad(X, ((1, 0), (0, 2)), constant_values=7),
    ),
    "reduce_sum": lambda: (apply("reduce_sum", X, axes=(0,)), X.sum(0)),
    "cumsum": lambda: (apply("cumsum", X, axis=1, reverse=True), X[:, ::-1].cumsum(1)[:, ::-1]),
    "window_sum": lambda: (apply("window_sum", X, **WINDOW), windows(X, 0, np.sum)),
    "window_max": lambda: (apply("window_max", -abs(X) - 1, **WINDOW), windows(-abs(X) - 1, -(2**63), np.max)),
    "is_negative": lambda: (apply("is_negative", SMALL, drop=3, width=60), SMALL < 0),
    "msb": lambda: (apply("msb", SMALL, form=SPLIT, drop=0, width=60, block=4), SMALL < 0),
    "is_zero": lambda: (apply("is_zero", SMALL), SMALL == 0),
    "wrap": lambda: (of_integers("wrap", X, bits=8, signed=True), X.astype(np.int8)),
    "less": lambda: (of_integers("less", X, Y), X < Y),
    "bit_at": lambda: (of_integers("bit_at", X, bits=8), X.astype(np.int8) < 0),
    "bit_test": lambda: (of_integers("bit_test", X, form=SPLIT, bits=8, block=4), X.astype(np.int8) < 0),
    "is_multiple": lambda: (of_integers("is_multiple", SMALL, bits=2), SMALL % 4 == 0),
    "low_zero": lambda: (of_integers("low_zero", SMALL, form=SPLIT, bits=2, block=4), SMALL % 4 == 0),
    "low_bits": lambda: (of_integers("low_bits", X, form=SPLIT, bits=8, block=4)[0], X % 256),
    "zero_test": lambda: (apply("zero_test", SMALL, form=SPLIT, width=60, block=4), SMALL == 0),
    "bits": lambda: (apply("bits", X, start=3, width=50), (X >> np.arange(3, 53)[:, None, None]) & 1 == 1),
    "bits_of": lambda: (apply("bits_of", X, form=SPLIT, start=0, width=2, block=2), np.stack([X & 1, X >> 1 & 1]) == 1),
    "exponent": lambda: (
        bits_as_number(apply("exponent", PLACES, width=40, digits=6, symmetric=False)),
        np.array([0, 9, 10, 10, 18, 48, 56, 56]),
    ),
    "top_bit": lambda: (
        bits_as_number(apply("top_bit", PLACES, form=SPLIT, width=50, digits=6, symmetric=True, block=2)),
        np.array([0, 9, 10, 10, 18, 48, 64 + 8, 64 + 17]),
    ),
    "lookup": lambda: (apply("lookup", BIT, OTHER, tables=((4, -1, 7, 9),), scales=(3,)), TABLE[BIT + 2 * OTHER]),
    "from_bits": lambda: (apply("from_bits", BIT, signed=True), BIT[0] + 2 * BIT[1] - 4 * BIT[2]),
    "floor": lambda: (apply("floor", X), X // (1 << F)),
    "relu": lambda: (apply("relu", X), np.where(X > 0, X, 0)),
    "select_or_zero": lambda: (apply("select_or_zero", BIT, X), X * BIT),
    "inject": lambda: (apply("inject", BIT, X), X * BIT),
    "inject_dabit": lambda: (apply("inject_dabit", BIT, OTHER, OTHER * 1, X), X * BIT),
    "is_below": lambda: (apply("is_below", X, threshold=-5, drop=2), X < -5),
    "periodic": lambda: (apply("periodic", X, **WAVE), wave(X)),
    "periodic_sum3": lambda: (apply("periodic_sum3", X, form=SPLIT, **WAVE), wave(X)),
    "power2": lambda: (apply("power2", POWERS, **POWER), 1 << np.arange(17, 34)),
    "power2_sum3": lambda: (apply("power2_sum3", POWERS, form=SPLIT, **POWER), 1 << np.arange(17, 34)),
    "rank": lambda: (apply("rank", BIT, SMALL), sorted_places(BIT, SMALL)),
    "pair_rank": lambda: (
        apply("pair_rank", X, SMALL, form=SPLIT, widths=(3, 60), blocks=(1, 1)),
        sorted_places((X + 4) % 8 - 4, SMALL),
    ),
    "radix_rank": lambda: (apply("radix_rank", TWO_BITS, digit=1, width=2, turned=(1,)), sorted_places(~BIT, Y < 0)),
    "bit_words": lambda: (apply("bit_words", X, form=SPLIT, width=2, block=1)[:3], np.stack([X & 1, X & 2, X & 0]) > 0),
    "permute": lambda: (apply("permute", np.array([[2, 0, 1]]), np.array([[5, 6, 7]])), [[6, 7, 5]]),
    "one_hot": lambda: (apply("one_hot", np.array([-1, 9]), size=3, bits=2, wraps=False), [[0, 0, 0], [0, 1, 0]]),
    "deal_one_hot": lambda: (apply("deal_one_hot", np.array([6]), form=SPLIT, size=2, bits=3, wraps=True), [[1, 0]]),
    "to_arith": lambda: (apply("to_arith", BIT), BIT * 1),
    "bit_to_arith": lambda: (apply("bit_to_arith", BIT), BIT * 1),
    "bit_to_arith_dabit": lambda: (apply("bit_to_arith_dabit", BIT, OTHER, OTHER * 1), BIT * 1),
    "xor": lambda: (apply("xor", BIT, OTHER), BIT ^ OTHER),
    "and": lambda: (apply("and", BIT, OTHER), BIT & OTHER),
    "or": lambda: (apply("or", BIT, OTHER), BIT | OTHER),
    "not": lambda: (apply("not", BIT), ~BIT),
    "reduce_and": lambda: (apply("reduce_and", BIT, axes=(0, 1)), BIT.all()),
    "reduce_or": lambda: (apply("reduce_or", BIT, axes=(1,)), BIT.any(1)),
    "reduce_max": lambda: (apply("reduce_max", X, axes=(0,)), X.max(0)),
    "argmax": lambda: (apply("argmax", np.array([[3, 9, 9], [-2, -2, -3]]), axis=1), np.array([1, 0])),
}  # fmt: skip
ELSEWHERE = {"const", "as_int", "truncate", "truncate_wrap", "truncate_local", "loop", "dabit", "conv", "conv_sum3"}
DRAWN = {"random_bits", "random_chances", "random_count", "random_shuffle", "random_words"}
DIGITS = {"hot_digits", "deal_hot_digits"}
ELSEWHERE |= DIGITS | {name for name, record in ops.OPS.items() if record.index_from is not None}


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_an_op_means_its_formula(name: str) -> None:
    found, expected = FORMULAS[name]()
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == (np.bool_ if np.asarray(expected).dtype == np.bool_ else np.int64)


def test_every_op_has_a_meaning_and_a_formula() -> None:
    own = {name: r for name, r in ops.OPS.items() if r.origin is None and r.family in ("", Config().protocol)}
    assert {name for name, record in own.items() if record.meaning is None} == {"loop"}
    assert ops.with_trait(DRAWS) & own.keys() == DRAWN | {"dabit"}
    assert set(FORMULAS) | ELSEWHERE | DRAWN == set(own)


@pytest.mark.parametrize("name", ["conv", "conv_sum3"])
def test_a_convolution_means_its_sum(name: str) -> None:
    image = RNG.integers(-(1 << 40), 1 << 40, (1, 2, 4, 4))
    kernel = RNG.integers(-(1 << 40), 1 << 40, (3, 2, 2, 2))
    views = np.lib.stride_tricks.sliding_window_view(image.astype(object), (2, 2), axis=(2, 3))
    expected = np.einsum("ncijhw,ochw->noij", views, kernel.astype(object))
    np.testing.assert_array_equal(apply(name, image, kernel, **conv_attrs()), wrap(expected))


@pytest.mark.parametrize("name", ["truncate", "truncate_wrap", "truncate_local"])
@quick
@given(st.lists(st.integers(-(2**61), 2**61), min_size=4, max_size=4), st.integers(1, F))
def test_a_truncation_is_the_nearest_integer(name: str, values: list[int], bits: int) -> None:
    found = apply(name, np.array(values), form=ARITH if name == "truncate" else SPLIT, bits=bits)
    for x, y in zip(values, found.tolist(), strict=True):
        assert y == floor(Fraction(x, 2**bits) + Fraction(1, 2))
        assert y - (x >> bits) in (0, 1)


def test_a_truncation_at_the_edge_of_the_ring_does_not_wrap() -> None:
    edge = np.array([2**63 - 1, -(2**63)])
    np.testing.assert_array_equal(apply("truncate", edge, bits=1), [2**62, -(2**62)])


@quick
@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=8, max_size=8))
def test_the_small_ring_wraps_at_32_bits(values: list[int]) -> None:
    x, y = np.array(values[:4]), np.array(values[4:])
    for name, join in (("add", np.add), ("sub", np.subtract), ("mul", np.multiply)):
        np.testing.assert_array_equal(apply(name, x, y, k=32), wrap(join(x.astype(object), y.astype(object)), 32))


def test_a_dabit_is_one_bit_in_two_forms() -> None:
    bits, numbers = apply("dabit", shape=(3,))
    assert (bits.dtype, numbers.dtype, bits.shape) == (np.bool_, np.int64, (3,))
    np.testing.assert_array_equal(bits, numbers)


@pytest.mark.parametrize("name", sorted(DIGITS))
def test_the_digits_of_an_index_are_one_hot(name: str) -> None:
    low, high, *carry = apply(name, np.array([-1, 13]), form=SPLIT if "deal" in name else ARITH, low=1, bits=3)
    np.testing.assert_array_equal(low, [[0, 1], [0, 1]])
    np.testing.assert_array_equal(high, [[0, 0, 0, 1], [0, 0, 1, 0]])
    assert not np.any(carry)


def test_a_constant_has_its_value_in_ring_units() -> None:
    for exact, expected in ((False, 3 << F), (True, 3.0)):
        np.testing.assert_array_equal(
            apply("const", exact=exact, shape=(2,), kind=FIXED, scale=F, value=3 << F), np.full(2, expected)
        )


def test_as_int_keeps_the_number() -> None:
    x = Value(secret_fixed((3,), F, 99 << F, "declared"))
    maker = Maker(Config(), (x,))
    result = maker.emit("as_int", maker.emit("truncate", x, bits=F))
    p = Program("p", Config(), (Input("x", "jmpc.SECRET"),), (Output("", "carol", "int32"),), maker.block(result))
    np.testing.assert_array_equal(evaluate(p, [np.array([-2, 0, 5]) << F])[0], [-2, 0, 5])
    assert result.type.kind == INT


# --- indices


def indexed(name: str, arrays: list[np.ndarray], index: list[np.ndarray], exact: bool = False, **attrs: Any) -> Any:
    public = [Value(Type(np.shape(x), INT, 0, 9, "declared", "public", "", "plain")) for x in index]
    params = tuple([Value(type_of(x, ARITH, Config())) for x in arrays] + public)
    maker = Maker(Config(), params)
    result = maker.emit(name, *params, **attrs)
    inputs = tuple(Input("x", "jmpc.SECRET") for _ in arrays) + tuple(Input("i", "") for _ in index)
    p = Program("p", Config(), inputs, (Output("", "carol", "float32"),), maker.block(result))
    verify(p, "value")
    return evaluate(p, arrays + index, exact=exact)[0]


def test_a_dynamic_slice_starts_at_its_indices_and_stays_inside() -> None:
    for start, rows in ((0, X[:2]), (1, X[1:]), (9, X[1:])):
        found = indexed("dynamic_slice", [X], [np.int64(start), np.int64(0)], sizes=(2, 4))
        np.testing.assert_array_equal(found, rows)


def test_a_dynamic_update_replaces_a_part() -> None:
    expected = BIT.copy()
    expected[2:] = OTHER[:1]
    np.testing.assert_array_equal(indexed("dynamic_update", [BIT, OTHER[:1]], [np.int64(2), np.int64(0)]), expected)


@pytest.mark.parametrize("mode", ["fill", "clip", "promise_in_bounds"])
@pytest.mark.parametrize("table", [X, BIT])
@pytest.mark.parametrize("exact", [False, True])
def test_a_gather_takes_rows(mode: str, table: np.ndarray, exact: bool) -> None:
    rows = np.array([[2], [0], [2], [9]]) if mode != "promise_in_bounds" else np.array([[2], [0], [1], [1]])
    found = indexed("gather", [table], [rows], exact, dims=((1,), (0,), (0,), (), ()), sizes=(1, 4), mode=mode)
    expected = table[np.minimum(rows[:, 0], 2)]
    expected[rows[:, 0] > 2] *= mode != "fill"
    np.testing.assert_array_equal(found, expected / 2.0**F if exact and table is X else expected)


# --- loops


@pytest.mark.parametrize("trip", [0, 1, 3])
def test_a_loop_carries_and_stacks(trip: int) -> None:
    """carry <- relu(carry - const), rows -> row * const."""
    t = Type((2,), INT, 0, ops.contract(0, Config(), INT), ASSUMED)
    const, carry, rows = Value(t), Value(t), Value(t.with_(shape=(trip, 2)))
    body = Maker(Config(), tuple(Value(t) for _ in range(3)))
    after = body.emit("relu", body.emit("sub", body.params[1], body.params[0]))
    block = body.block(after, body.emit("mul", body.params[2], body.params[0]))
    maker = Maker(Config(), (const, carry, rows))
    results = maker.emit_many("loop", const, carry, rows, body=block, consts=1, carry=1, trip=trip)
    inputs = tuple(Input(name, "jmpc.SECRET") for name in ("c", "x", "rows"))
    p = Program("p", Config(), inputs, (Output("", "a", "int32"),) * 2, maker.block(*results))
    verify(p, "value")
    stack = np.arange(2 * trip).reshape(trip, 2)
    last, out = evaluate(p, [np.array([3, 5]), np.array([7, 4]), stack])
    expected = np.array([7, 4])
    for _ in range(trip):
        expected = np.maximum(expected - [3, 5], 0)
    np.testing.assert_array_equal(last, expected)
    np.testing.assert_array_equal(out, stack * [3, 5])
    assert (out.shape, out.dtype) == ((trip, 2), np.int64)


# --- whole programs


@quick
@given(programs(), st.integers(0, 2**32 - 1))
def test_every_value_keeps_its_type_and_its_bound(program: Program, seed: int) -> None:
    """The bounds that ops.infer proves hold; those that rest on an assumption are the contract's business."""

    def watch(op: Op, results: list[np.ndarray]) -> None:
        for x, value in zip(results, op.outputs, strict=True):
            t = value.type
            assert x.shape in (t.shape, t.shape[1:])
            assert x.dtype == (np.bool_ if t.kind == BOOL else np.int64)
            if t.kind != BOOL and t.origin != ASSUMED and x.size:
                assert max(int(x.max()), -int(x.min())) <= t.limit, (op.name, t)

    evaluate(program, input_arrays(program, seed), watch=watch)


@quick
@given(share_programs(), st.integers(0, 2**32 - 1))
def test_the_share_level_means_what_its_formulas_say(program: Program, seed: int) -> None:
    x, y = (np.sign(a) * (abs(a) % 2 ** ((program.config.k - 3) // 2)) for a in input_arrays(program, seed))
    names = [op.name for op in program.body.ops]
    f = program.config.f
    z = x * y + ((x << f) if "to_sum3" in names else 0)
    half = (z >> f) + ((z >> (f - 1)) & 1)
    bit = np.zeros_like(z, bool) if "and" in names else z >= 0 if "not" in names else z < 0
    numbers, bits, zeros = evaluate(program, [x, y])
    chosen = np.where(bit, half, 0) + (bit * (1 << f) if "inject_dabit" in names else 0)
    np.testing.assert_array_equal(numbers, chosen)
    np.testing.assert_array_equal(bits, bit ^ (z == 0))
    np.testing.assert_array_equal(zeros, (z == 0) * 1)


def network() -> Program:
    """relu(x w) v, with two truncations, the largest row's index, and a sign."""
    limit = 8 << F
    x, w, v = (Value(secret_fixed(shape, F, limit, "declared")) for shape in ((5, 3), (3, 4), (4, 2)))
    maker = Maker(Config(), (x, w, v))
    dims = (((1,), (0,)), ((), ()))
    hidden = maker.emit("relu", maker.emit("truncate", maker.emit("dot", x, w, dims=dims), bits=F))
    out = maker.emit("truncate", maker.emit("dot", hidden, v, dims=dims), bits=F)
    results = [out, maker.emit("argmax", out, axis=1), maker.emit("is_negative", out), maker.emit("floor", out)]
    inputs = tuple(Input(name, "jmpc.SECRET") for name in ("x", "w", "v"))
    outputs = tuple(Output(f"[{n}]", "carol", "float32") for n in range(4))
    return Program("network", Config(), inputs, outputs, maker.block(*results))


def test_the_exact_arithmetic_is_real_arithmetic() -> None:
    x, w, v = (RNG.uniform(-4, 4, shape) for shape in ((5, 3), (3, 4), (4, 2)))
    arrays = [np.rint(a * 2**F).astype(np.int64) for a in (x, w, v)]
    x, w, v = (a / 2**F for a in arrays)
    expected = np.maximum(x @ w, 0) @ v
    p = network()
    out, best, sign, whole = evaluate(p, arrays, exact=True)
    np.testing.assert_allclose(out, expected, rtol=1e-13)
    np.testing.assert_array_equal(best, expected.argmax(1))
    np.testing.assert_array_equal(sign, expected < 0)
    np.testing.assert_array_equal(whole, np.floor(expected))
    rounded = evaluate(p, arrays)[0] / 2**F
    assert 0 < np.abs(rounded - expected).max() < 40 * 2.0**-F
    assert out.dtype == np.float64


def test_the_wrong_inputs_are_refused() -> None:
    p = network()
    good = [np.zeros(value.shape, np.int64) for value in p.body.params]
    assert len(evaluate(p, good)) == 4
    for bad in (good[:2], [*good, good[0]], [good[0].T, *good[1:]]):
        with pytest.raises(ProgramError, match="shapes"):
            evaluate(p, bad)


def test_the_users_precision_setting_stays() -> None:
    before = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    evaluate(network(), [np.zeros(value.shape, np.int64) for value in network().body.params])
    assert jax.config.jax_enable_x64 == before  # pyright: ignore[reportAttributeAccessIssue]
