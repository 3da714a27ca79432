"""Every registered protocol, on negatives, ring edges and odd shapes, in rings of 32 and 64 bits: its result, and the
rounds, bytes and mask words that the formulas by hand state, counted before the run and in it. A protocol without a
property here, or without formulas, fails the test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.interp import evaluate
from jmpc.ir.ops.bits import index_digits
from jmpc.ir.types import ARITH, INT, SPLIT, SUM3, Type, dabit_halves, secret_bits, secret_places
from jmpc.testing import Inputs as Case
from jmpc.testing.build import number, one_op
from jmpc.testing.draw.elements import bit_arrays, ring_arrays
from jmpc.testing.draw.ir_programs import conv_attrs
from jmpc.testing.draw.strategies import shapes
from jmpc.testing.protocol_check import check_protocol
from tests.protocols.formulas import COSTS, MASK_WORDS

CONFIGS = (Config(), Config(k=32, f=8))
Draw = Callable[[st.SearchStrategy[Any]], Any]


CASES: dict[str, Callable[[Draw, Config], Case]] = {}


def case(name: str) -> Callable[[Callable[[Draw, Config], Case]], Callable[[Draw, Config], Case]]:
    def register(make: Callable[[Draw, Config], Case]) -> Callable[[Draw, Config], Case]:
        assert name not in CASES
        CASES[name] = make
        return make

    return register


def a_shape(draw: Draw) -> tuple[int, ...]:
    return draw(shapes())


def a_number(draw: Draw, config: Config, shape: tuple[int, ...], form: str = ARITH) -> tuple[Type, np.ndarray]:
    """A number anywhere in the ring. The limit is what a type may say; the protocols here do not look at it."""
    return number(shape, 1 << 10, form), draw(ring_arrays(shape, config))


def a_bit(draw: Draw, shape: tuple[int, ...]) -> tuple[Type, np.ndarray]:
    return secret_bits(shape), draw(bit_arrays(shape))


def of(*operands: tuple[Type, np.ndarray], **attrs: Any) -> Case:
    return Case([t for t, _ in operands], [x for _, x in operands], attrs)


def identity(form: str) -> Callable[[Draw, Config], Case]:
    return lambda draw, config: of(a_number(draw, config, a_shape(draw), form))


for _name, _form in (("to_sum3", ARITH), ("split", ARITH), ("reshare", SUM3), ("open_split", SUM3)):
    case(_name)(identity(_form))


@case("mul_sum3")
def _mul(draw: Draw, config: Config) -> Case:
    shape = a_shape(draw)
    return of(a_number(draw, config, shape), a_number(draw, config, shape))


@case("dot_sum3")
def _dot(draw: Draw, config: Config) -> Case:
    x, y, dims = draw(
        st.sampled_from(
            [
                ((3, 7), (7, 5), (((1,), (0,)), ((), ()))),
                ((7,), (7,), (((0,), (0,)), ((), ()))),
                ((2, 3, 4), (2, 4, 1), (((2,), (1,)), ((0,), (0,)))),
                ((3, 0), (0, 2), (((1,), (0,)), ((), ()))),
                ((1, 2), (2, 64), (((1,), (0,)), ((), ()))),  # the one so small that the other's terms are not summed
            ]
        )
    )
    return of(a_number(draw, config, x), a_number(draw, config, y), dims=dims)


@case("conv_sum3")
def _conv(draw: Draw, config: Config) -> Case:
    return of(a_number(draw, config, (1, 2, 5, 4)), a_number(draw, config, (3, 2, 2, 2)), **conv_attrs())


@case("and")
def _and(draw: Draw, config: Config) -> Case:
    shape = a_shape(draw)
    return of(a_bit(draw, shape), a_bit(draw, shape))


def _truncation(most_bits: int) -> Callable[[Draw, Config], Case]:
    """A number of up to k - 1 - `most_bits` bits and a sign, cut anywhere: floor, or one more."""

    def make(draw: Draw, config: Config) -> Case:
        shape, bits = a_shape(draw), draw(st.integers(1, config.k - 2))
        x = draw(ring_arrays(shape, config, config.k - 1 if most_bits == 0 else most_bits))
        t = number(shape, (1 << (config.k - 2)) - 1, SPLIT, scale=config.k - 2)

        def check(results: list[np.ndarray]) -> None:
            ulp = results[0] - (x >> bits)
            assert ((ulp == 0) | (ulp == 1)).all()
            assert (ulp[x % (1 << bits) == 0] == 0).all(), "an exact quotient is exact"

        return Case([t], [x], {"bits": bits}, check)

    return make


case("truncate_wrap")(_truncation(0))
case("truncate_local")(_truncation(4))  # it fails once in 2^(k-4) views of a number below 16; the seeds are fixed


@case("msb")
def _msb(draw: Draw, config: Config) -> Case:
    shape, width = a_shape(draw), draw(st.integers(1, config.k))
    x = draw(ring_arrays(shape, config, width))
    block = draw(st.integers(1, 5))
    return of((number(shape, 1 << 10, SPLIT), x), width=width, drop=0, block=block)


@case("zero_test")
def _zero(draw: Draw, config: Config) -> Case:
    shape, width = a_shape(draw), draw(st.integers(1, config.k - 1))
    x = draw(ring_arrays(shape, config, width))
    return of((number(shape, 1 << 10, SPLIT), x), width=width, block=draw(st.integers(1, 5)))


@case("bits_of")
def _bits(draw: Draw, config: Config) -> Case:
    start = draw(st.integers(0, config.k - 2))
    width, block = draw(st.integers(1, config.k - 1 - start)), draw(st.integers(1, 5))
    return of(a_number(draw, config, a_shape(draw), SPLIT), start=start, width=width, block=block)


@case("top_bit")
def _top_bit(draw: Draw, config: Config) -> Case:
    width, symmetric = draw(st.integers(1, config.k - 2)), draw(st.booleans())
    attrs = {"width": width, "digits": index_digits(width, symmetric), "symmetric": symmetric}
    return of((number(shape := a_shape(draw), 1, SPLIT), draw(ring_arrays(shape, config, width + 1))), **attrs, block=3)


@case("lookup")
def _lookup(draw: Draw, config: Config) -> Case:
    shape, count = a_shape(draw), draw(st.integers(1, 4))
    tables = tuple(tuple(draw(ring_arrays((1 << count,), config, config.k - 2)).tolist()) for _ in range(2))
    return of(*(a_bit(draw, shape) for _ in range(count)), tables=tables, scales=(0, 3))


@case("from_bits")
def _from_bits(draw: Draw, config: Config) -> Case:
    return of(a_bit(draw, (draw(st.integers(1, config.k)), *a_shape(draw))), signed=draw(st.booleans()))


def _low(attrs_of: Callable[[Draw, int], dict[str, Any]]) -> Callable[[Draw, Config], Case]:
    """Integers anywhere in the ring, of which only low bits count."""

    def make(draw: Draw, config: Config) -> Case:
        shape = a_shape(draw)
        t = Type(shape, INT, 0, 1 << (config.k - 1), form=SPLIT)
        return of((t, draw(ring_arrays(shape, config))), **attrs_of(draw, config.k), block=draw(st.integers(1, 5)))

    return make


for _name in ("bit_test", "low_zero"):
    case(_name)(_low(lambda draw, k: {"bits": draw(st.integers(1, k))}))


@case("low_bits")
def _low_bits(draw: Draw, config: Config) -> Case:
    one = _low(lambda draw, k: {"bits": draw(st.integers(1, k - 2))})(draw, config)
    bits = one.attrs["bits"]

    def check(results: list[np.ndarray]) -> None:
        low, carry = results
        np.testing.assert_array_equal(low - (carry.astype(np.int64) << bits), one.values[0] & ((1 << bits) - 1))

    return dataclasses.replace(one, check=check)


@case("random_bits")
def _random_bits(draw: Draw, config: Config) -> Case:
    def check(results: list[np.ndarray]) -> None:
        if results[0].size > 100:
            assert 0 < results[0].sum() < results[0].size, "every bit is equal"

    return Case([], [], {"shape": a_shape(draw), "number": 1}, check)


@case("random_count")
def _random_count(draw: Draw, config: Config) -> Case:
    bits, trials = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    table = tuple(draw(st.lists(st.integers(0, 1 << bits), min_size=1, max_size=4)))

    def check(results: list[np.ndarray]) -> None:
        weights = 1 << np.arange(len(results[0])).reshape(-1, *[1] * (results[0].ndim - 1))
        total = (results[0].astype(np.int64) * weights).sum(0)
        sure = sum(t == 0 for t in table) * trials
        assert ((sure <= total) & (total <= trials * sum(t < 1 << bits for t in table))).all()

    attrs = {"shape": a_shape(draw), "number": 1, "thresholds": table, "trials": trials, "bits": bits}
    return Case([], [], attrs, check)


@case("random_chances")
def _random_chances(draw: Draw, config: Config) -> Case:
    bits = draw(st.integers(1, 9))
    table = tuple(draw(st.lists(st.integers(0, 1 << bits), min_size=1, max_size=4)))

    def check(results: list[np.ndarray]) -> None:
        assert len(results[0]) == len(table)
        for row, t in zip(results[0], table, strict=True):
            assert not row.any() if t == 0 else row.all() if t == 1 << bits else True

    return Case([], [], {"shape": a_shape(draw), "number": 1, "thresholds": table, "bits": bits}, check)


@case("random_words")
def _random_words(draw: Draw, config: Config) -> Case:
    def check(results: list[np.ndarray]) -> None:
        flat = results[0].reshape(-1)
        assert len(set(flat.tolist())) >= len(flat) - 1, "words repeat"
        if flat.size > 100:
            assert abs(float((flat < 0).mean()) - 0.5) < 0.3, "the top bit is not fair"

    return Case([], [], {"shape": a_shape(draw), "number": 1}, check)


@case("bit_to_arith")
def _bit_to_arith(draw: Draw, config: Config) -> Case:
    return of(a_bit(draw, a_shape(draw)))


@case("inject")
def _inject(draw: Draw, config: Config) -> Case:
    shape = a_shape(draw)
    return of(a_bit(draw, shape), a_number(draw, config, shape))


def a_dabit(draw: Draw, shape: tuple[int, ...]) -> list[tuple[Type, np.ndarray]]:
    mask, number = dabit_halves(shape)
    rho = draw(bit_arrays(shape))
    return [(mask, rho), (number, rho.astype(np.int64))]


@case("bit_to_arith_dabit")
def _bit_to_arith_dabit(draw: Draw, config: Config) -> Case:
    shape = a_shape(draw)
    return of(a_bit(draw, shape), *a_dabit(draw, shape))


@case("inject_dabit")
def _inject_dabit(draw: Draw, config: Config) -> Case:
    shape = a_shape(draw)
    return of(a_bit(draw, shape), *a_dabit(draw, shape), a_number(draw, config, shape))


@case("dabit")
def _dabit(draw: Draw, config: Config) -> Case:
    def check(results: list[np.ndarray]) -> None:
        np.testing.assert_array_equal(*results)
        if results[0].size > 100:
            assert 0 < results[0].sum() < results[0].size, "every bit is equal"

    return Case([], [], {"shape": a_shape(draw)}, check)


ROWS = ((1,), (2,), (7,), (3, 5), (2, 2, 3), (70,), (2, 65), (300,))


@case("permute")
def _permute(draw: Draw, config: Config) -> Case:
    """Numbers or bits, in rows of an order of their own."""
    shape = draw(st.sampled_from(ROWS))
    place = np.argsort(draw(ring_arrays(shape, config)), -1)
    moved = a_bit(draw, shape) if draw(st.booleans()) else a_number(draw, config, shape)
    return of((secret_places(shape), place), moved)


@case("pair_rank")
def _pair_rank(draw: Draw, config: Config) -> Case:
    """Up to three keys, numbers anywhere in the ring and bits; ties among them."""
    shape, keys, widths, blocks = draw(st.sampled_from(ROWS[:6])), [], [], []
    for numbers in draw(st.sampled_from([(True,), (False,), (True, True), (False, True), (True, False, True)])):
        keys.append(a_number(draw, config, shape, SPLIT) if numbers else a_bit(draw, shape))
        widths.append(draw(st.integers(1, config.k)) if numbers else 1)
        blocks.append(draw(st.integers(1, 5)) if numbers else 1)
    return of(*keys, widths=tuple(widths), blocks=tuple(blocks))


@case("random_shuffle")
def _random_shuffle(draw: Draw, config: Config) -> Case:
    """Numbers and bits, each row as it was but for the order, which is that of the others."""
    batch, n = draw(st.sampled_from([(1, 2), (3, 1), (2, 5), (1, 70)]))
    numbers, bits = a_number(draw, config, (batch, n, 2)), a_bit(draw, (batch, n))
    rows = np.broadcast_to(np.arange(n), (batch, n))

    def check(results: list[np.ndarray]) -> None:
        order = results[0] % n
        np.testing.assert_array_equal(np.sort(order, -1), rows)
        np.testing.assert_array_equal(results[1], np.take_along_axis(numbers[1], order[..., None], 1))
        np.testing.assert_array_equal(results[2], np.take_along_axis(bits[1], order, 1))

    one = of((Type((batch, n), INT, 0, n), rows), numbers, bits, number=1)
    return dataclasses.replace(one, check=check)


@case("radix_rank")
def _radix_rank(draw: Draw, config: Config) -> Case:
    """Keys of one bit, and of more than a word; ties among them."""
    shape, count = draw(st.sampled_from(ROWS)), draw(st.sampled_from((1, 2, 5, 64, 70)))
    bits, width = a_bit(draw, (count, *shape)), draw(st.integers(1, count))
    turned = draw(st.sampled_from([(), (width - 1,), (0,), tuple(range(width))]))
    return of(bits, digit=draw(st.integers(1, 5)), width=width, turned=turned)


@case("bit_words")
def _bit_words(draw: Draw, config: Config) -> Case:
    width, block = draw(st.integers(1, config.k)), draw(st.integers(1, 5))
    return of(a_number(draw, config, a_shape(draw), SPLIT), width=width, block=block)


@case("deal_one_hot")
def _deal_one_hot(draw: Draw, config: Config) -> Case:
    shape, size = a_shape(draw), draw(st.integers(1, 9))
    bits, wraps = (2 * size - 1).bit_length() + draw(st.integers(0, 1)), draw(st.booleans())
    return of((Type(shape, INT, 0, 9, form=SPLIT), draw(ring_arrays(shape, config))), size=size, bits=bits, wraps=wraps)


@case("deal_hot_digits")
def _deal_hot_digits(draw: Draw, config: Config) -> Case:
    """The digits of the index, once the carry has moved the high one on."""
    shape, low, high = a_shape(draw), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    x = draw(ring_arrays(shape, config))

    def check(results: list[np.ndarray]) -> None:
        first, second, carry = results
        second = np.where(carry[..., None] == 1, np.roll(second, 1, -1), second)
        np.testing.assert_array_equal(first, (x[..., None] & ((1 << low) - 1)) == np.arange(1 << low))
        np.testing.assert_array_equal(second, (x[..., None] >> low & ((1 << high) - 1)) == np.arange(1 << high))

    return Case([Type(shape, INT, 0, 9, form=SPLIT)], [x], {"low": low, "bits": low + high}, check)


@case("periodic_sum3")
def _periodic(draw: Draw, config: Config) -> Case:
    """A sine and two cosines; the test of this protocol's own goes to the ends of its error."""
    shape, wide = a_shape(draw), config.k == 64
    attrs = {
        "rate": 1 << 45,
        "sin": (1 << 28, 0),
        "cos": (1 << 27, -(1 << 26)),
        "scale": 40 if wide else 26,
        "known": 13,
    }
    x = draw(ring_arrays(shape, config)) >> 2
    return _near(Case([number(shape, 1 << 10, SPLIT, scale=8)], [x], attrs), "periodic_sum3", config, 2.0**-9)


@case("power2_sum3")
def _power2(draw: Draw, config: Config) -> Case:
    """2^x for x in the window [-12, 4)."""
    shape = a_shape(draw)
    attrs = {"rate": 1 << 48, "top": 4, "high": 3, "low": 2, "scale": 26, "known": 12}
    x = draw(ring_arrays(shape, config)) % (1 << 12) - (12 << 8)
    return _near(Case([number(shape, 1 << 12, SPLIT, scale=8)], [x], attrs), "power2_sum3", config, 2.0**-7)


def _near(one: Case, name: str, config: Config, allowed: float) -> Case:
    """A case whose result is the oracle's but for rounding."""
    (exact,) = evaluate(one_op(name, one.types, config, **one.attrs), one.values)

    def check(results: list[np.ndarray]) -> None:
        assert (np.abs(results[0] - exact) <= allowed * 2.0 ** one.attrs["scale"]).all()

    return Case(one.types, one.values, one.attrs, check)


@st.composite
def inputs_of(draw: Draw, name: str, config: Config) -> Case:
    return CASES[name](draw, config)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_a_protocol_gives_its_result_at_its_stated_cost(name: str) -> None:
    check_protocol(
        name, None, lambda config: inputs_of(name, config), configs=CONFIGS, examples=12,
        cost=COSTS[name], mask_words=MASK_WORDS[name],
    )  # fmt: skip


def test_every_registered_protocol_has_a_property() -> None:
    assert set(CASES) == set(PROTOCOLS)


def test_every_registered_protocol_has_formulas() -> None:
    assert set(COSTS) == set(MASK_WORDS) == set(PROTOCOLS)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_every_registered_protocol_names_its_source(name: str) -> None:
    assert len(PROTOCOLS[name].source) > 10
