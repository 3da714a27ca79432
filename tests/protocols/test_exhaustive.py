"""In the ring of 8 bits, protocols are run on every input and every two-party view of it: error exactly as stated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jmpc.ir.ops.bits import FIRST, MINUS_ONE, index_digits, negative_index
from jmpc.ir.types import ARITH, INT, SPLIT, Type, secret_bits
from jmpc.ring.bits import pack_host
from jmpc.ring.element import Ring
from jmpc.testing.build import config_of, number, one_op
from jmpc.testing.simulator.lockstep import results_of, run_held
from tests.protocols.formulas import COSTS

K = 8
RING, CONFIG = Ring(K), config_of(K)
ALL = np.arange(1 << K, dtype=np.uint8)
C, R = (np.ascontiguousarray(a.ravel()) for a in np.meshgrid(ALL, ALL))
Z = RING.to_int(C + R)
RNG = np.random.default_rng(8)
PAIRS = number(C.shape, 63, SPLIT)
VIEW = [[C], [C], [R]]


def run_view(name: str, t: Type = PAIRS, held: Any = VIEW, **attrs: Any) -> np.ndarray:
    """One op on a two-party view; its cost is checked on the way."""
    program = one_op(name, [t], CONFIG, **attrs)
    flat, report = run_held(program, [held], RNG)
    assert report.cost == COSTS[name]([t], attrs, CONFIG)
    return results_of(program, flat)[0]


@pytest.mark.parametrize("width", range(1, K + 1))
def test_msb_is_the_top_bit_of_the_sum_for_every_view(width: int) -> None:
    top = (Z >> (width - 1)) & 1 == 1
    for block in range(1, 6):
        np.testing.assert_array_equal(run_view("msb", width=width, drop=0, block=block), top)


@pytest.mark.parametrize("drop", range(1, K))
def test_msb_after_a_drop_is_the_sign_of_what_truncations_give_for_every_view(drop: int) -> None:
    for width in range(1, K - drop + 1):
        found = run_view("msb", width=width, drop=drop, block=1 + (width + drop) % 5)
        signed = ((C + (1 << drop) - 1 & 255) >> drop) + (R >> drop)
        np.testing.assert_array_equal(found, (signed >> (width - 1)) & 1 == 1)
    for name in ("truncate_wrap", "truncate_local") if drop < K - 1 else ():
        cut = run_view(name, number(Z.shape, 63, SPLIT, scale=6), bits=drop)
        np.testing.assert_array_equal(found, (cut >> (K - drop - 1)) & 1 == 1)  # of the widest, whose z is any
        np.testing.assert_array_equal(cut[Z == 0] % (1 << (K - drop)), 0)


@pytest.mark.parametrize("drop", range(1, K))
def test_a_coarse_msb_errs_by_one_unit_at_most(drop: int) -> None:
    for width in range(1, K - drop + 1):
        found = run_view("msb", width=width, drop=drop, block=1 + (width + drop) % 5, coarse=True)
        fits = np.abs(Z >> drop) < 1 << (width - 1)  # and so does one less
        unit = 1 << drop
        sure = fits & ((Z < 0) | (unit <= Z))
        np.testing.assert_array_equal(found[sure], Z[sure] < 0)
        np.testing.assert_array_equal(found, (((C >> drop) + (R >> drop)) >> (width - 1)) & 1 == 1)


@pytest.mark.parametrize("width", range(1, K + 1))
def test_the_zero_test_is_exact_for_every_view(width: int) -> None:
    for block in range(1, 6):
        found = run_view("zero_test", width=width, block=block)
        np.testing.assert_array_equal(found, Z % (1 << width) == 0)


@pytest.mark.parametrize("block", range(1, 6))
def test_the_bits_of_the_sum_for_every_view(block: int) -> None:
    for start in range(K):
        for width in range(1, K + 1 - start):
            found = run_view("bits_of", start=start, width=width, block=block)
            np.testing.assert_array_equal(found, (Z >> np.arange(start, start + width)[:, None]) & 1 == 1)


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_top_bit_of_the_sum_for_every_view(symmetric: bool) -> None:
    digits = index_digits(K - 1, symmetric)
    size = np.where((Z < 0) & symmetric, -Z - 0.5, Z)
    place = np.where(Z == 0, 0, FIRST + np.floor(np.log2(np.where(size > 0, size, 1))))
    expected = np.where(Z < 0, np.where(symmetric, np.where(Z == -1, MINUS_ONE, place), negative_index(digits)), place)
    for block in range(1, 6):
        attrs = {"width": K - 1, "digits": digits, "symmetric": symmetric, "block": block}
        flat, report = run_held(program := one_op("top_bit", [PAIRS], CONFIG, **attrs), [VIEW], RNG)
        assert report.cost == COSTS["top_bit"]([PAIRS], attrs, CONFIG)
        found = sum(b.astype(int) << n for n, b in enumerate(results_of(program, flat)))
        np.testing.assert_array_equal(found, expected + ((Z < 0) * symmetric << digits))


@pytest.mark.parametrize("count", [1, 2])
def test_a_table_is_read_in_every_sharing_of_its_bits(count: int) -> None:
    sharings = np.arange(8**count)
    bits = [[sharings >> (3 * n + part) & 1 for part in range(3)] for n in range(count)]
    table = np.array([5, -7, 60, 0])[: 1 << count]
    attrs = {"tables": (tuple(table.tolist()),), "scales": (0,)}
    program = one_op("lookup", [secret_bits(sharings.shape)] * count, CONFIG, **attrs)
    at = sum((b[0] ^ b[1] ^ b[2]) << n for n, b in enumerate(bits))
    for _ in range(20):
        flat, _ = run_held(program, [hold_bits(b) for b in bits], RNG)
        np.testing.assert_array_equal(results_of(program, flat)[0], table[at])


# --- low bits


@pytest.mark.parametrize("bits", range(1, K))
def test_the_low_bits_are_exact_for_every_view(bits: int) -> None:
    t = Type(C.shape, INT, 0, 1 << (K - 1), form=SPLIT)
    for block in range(1, 6):
        attrs = {"bits": bits, "block": block}
        program = one_op("low_bits", [t], CONFIG, **attrs)
        flat, report = run_held(program, [VIEW], RNG)
        assert report.cost == COSTS["low_bits"]([t], attrs, CONFIG)
        low, carry = results_of(program, flat)
        np.testing.assert_array_equal(low % 256 - (carry.astype(int) << bits), Z % (1 << bits))
        np.testing.assert_array_equal(run_view("bit_test", t, **attrs), (Z >> (bits - 1)) & 1 == 1)
        np.testing.assert_array_equal(run_view("low_zero", t, **attrs), Z % (1 << bits) == 0)


# --- truncation


def within(most: int) -> tuple[np.ndarray, list[list[np.ndarray]], Type]:
    """All views of every z with |z| <= most: rows of 256."""
    z = np.arange(-most, most + 1)
    c = np.broadcast_to(ALL, (len(z), 256)).copy()
    r = RING.from_int(z)[:, None] - c
    return z, [[c], [c], [r]], number(c.shape, most, SPLIT, scale=6)


@pytest.mark.parametrize("bits", range(1, K - 1))
def test_truncation_with_the_wrap_is_floor_or_one_more_and_unbiased(bits: int) -> None:
    z, views, t = within((1 << (K - 2)) - 1)
    found = run_view("truncate_wrap", t, views, bits=bits)
    ulp = found - (z >> bits)[:, None]
    assert set(np.unique(ulp)) <= {0, 1}
    np.testing.assert_array_equal(ulp.sum(1) << bits, (z % (1 << bits)) << K)


@pytest.mark.parametrize("bits", range(1, K - 1))
def test_local_truncation_fails_as_often_as_stated_and_is_unbiased(bits: int) -> None:
    """Of the 2^k views of z, |z| are off by 2^(k-m); but for that, every view is floor or one more, without bias."""
    z, views, _ = within((1 << (K - 1)) - 1)
    found = run_view("truncate_local", number(views[0][0].shape, 63, SPLIT, scale=6), views, bits=bits)
    ulp, large = found - (z >> bits)[:, None], 1 << (K - bits)
    small = (ulp + large // 2) % large - large // 2
    np.testing.assert_array_equal((ulp != small).sum(1), np.abs(z))
    assert set(np.unique(ulp - small)) <= {-large, 0, large}
    assert set(np.unique(small)) <= {0, 1}
    np.testing.assert_array_equal(small.sum(1) << bits, (z % (1 << bits)) << K)


# --- bits and numbers


def hold_bits(summands: list[np.ndarray]) -> list[list[np.ndarray]]:
    packed = [pack_host(s.astype(bool)) for s in summands]
    return [[packed[p], packed[(p + 1) % 3]] for p in range(3)]


def hold_numbers(summands: list[np.ndarray]) -> list[list[np.ndarray]]:
    return [[summands[p], summands[(p + 1) % 3]] for p in range(3)]


def every_bit_and_number() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Summands of all bit sharings beside all views of all numbers, the third summand random."""
    kinds = [np.repeat((n >> np.arange(8)) & 1, 1 << (2 * K)) for n in (0xAA, 0xCC, 0xF0)]
    x0 = RNG.integers(0, 256, 8 << (2 * K), np.uint8)
    x1, rest = np.tile(C, 8), np.tile(R, 8)
    return kinds, [x0, x1, rest - x0]


def test_inject_is_the_product_for_every_bit_and_every_view() -> None:
    bits, numbers = every_bit_and_number()
    size = bits[0].size
    types = [secret_bits((size,)), number((size,), 63)]
    program = one_op("inject", types, CONFIG)
    flat, report = run_held(program, [hold_bits(bits), hold_numbers(numbers)], RNG)
    assert report.cost == COSTS["inject"](types, {}, CONFIG)
    expected = (bits[0] ^ bits[1] ^ bits[2]) * np.tile(Z, 8)
    np.testing.assert_array_equal(results_of(program, flat)[0], expected)


def test_inject_with_a_dabit_is_the_product_for_every_bit_mask_and_view() -> None:
    bits, numbers = every_bit_and_number()
    size = bits[0].size
    for rho in (0, 1):
        mask = [RNG.integers(0, 2, size) for _ in range(2)]
        arith = [RNG.integers(0, 256, size, np.uint8) for _ in range(2)]
        mask.append(mask[0] ^ mask[1] ^ rho)
        arith.append((rho - arith[0] - arith[1]).astype(np.uint8))
        types = [secret_bits((size,))] * 2 + [Type((size,), INT, form=ARITH), number((size,), 63)]
        program = one_op("inject_dabit", types, CONFIG)
        held = [hold_bits(bits), hold_bits(mask), hold_numbers(arith), hold_numbers(numbers)]
        flat, _ = run_held(program, held, RNG)
        np.testing.assert_array_equal(results_of(program, flat)[0], (bits[0] ^ bits[1] ^ bits[2]) * np.tile(Z, 8))


@pytest.mark.parametrize("k", range(4, 12))
def test_a_bit_becomes_a_number_in_every_sharing(k: int) -> None:
    """Narrow rings included, where a word has bits above k."""
    bits = [((n >> np.arange(8)) & 1) for n in (0xAA, 0xCC, 0xF0)]
    config = config_of(k, 1)
    program = one_op("bit_to_arith", [secret_bits((8,))], config)
    for _ in range(20):
        flat, _ = run_held(program, [hold_bits(bits)], RNG)
        expected = Ring(k).to_int(Ring(k).from_int(bits[0] ^ bits[1] ^ bits[2]))
        np.testing.assert_array_equal(results_of(program, flat)[0], expected)
