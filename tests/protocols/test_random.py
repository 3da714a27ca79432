"""Random numbers of the protocols have the distributions that jmpc.random states. Seeds are fixed: nothing here is
flaky; the critical values are those of a family-wise error of 10^-6."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from jmpc.config import Config
from jmpc.families.replicated3.protocols.counts import adders
from jmpc.ir.types import INT, Type
from jmpc.numerics.language.draws import CHANCE_BITS, EXPONENTIAL_TOP, exponential_digits
from jmpc.random import GAUSSIAN_BITS, NORMAL_BITS, thresholds
from jmpc.testing.build import config_of, one_op
from jmpc.testing.simulator.lockstep import run

SIZE = 20_000
WORST = 6.0  # standard deviations: one in 10^9 for each of the numbers below


def counts(table: tuple[int, ...], trials: int, bits: int, size: int = SIZE, seed: int = 3) -> np.ndarray:
    program = one_op("random_count", [], Config(), shape=(size,), number=1, thresholds=table, trials=trials, bits=bits)
    (planes,), _ = run(program, [], seed)
    return (planes.astype(np.int64) << np.arange(len(planes))[:, None]).sum(0)


def assert_fits(found: np.ndarray, expected: np.ndarray) -> None:
    """Chi-square of counts against probabilities, rare values together."""
    order = np.argsort(expected)
    rare = order[np.cumsum(expected[order]) * SIZE < 20]
    seen, wanted = np.bincount(found, minlength=len(expected))[: len(expected)], expected * SIZE
    seen = np.append(np.delete(seen, rare), seen[rare].sum())
    wanted = np.append(np.delete(wanted, rare), wanted[rare].sum())
    keep = wanted > 0
    assert seen[~keep].sum() == 0
    free = keep.sum() - 1
    statistic = ((seen[keep] - wanted[keep]) ** 2 / wanted[keep]).sum()
    assert (statistic - free) / math.sqrt(2 * free) < WORST


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_discrete_gaussian(scale: float) -> None:
    table = thresholds(scale)
    x = np.arange(-len(table) // 2, len(table) // 2 + 1)
    weights = np.exp(-(x**2) / (2 * scale**2))
    assert_fits(counts(tuple(table), 1, GAUSSIAN_BITS), weights / weights.sum())


@pytest.mark.parametrize("scale", [0.01, 0.5, 3.0, 32.0])
def test_the_table_of_a_discrete_gaussian_is_as_close_as_stated(scale: float) -> None:
    """Total variation distance to the whole distribution, tails included."""
    table = thresholds(scale)
    m = len(table) // 2
    mass = np.diff([0, *table, 1 << GAUSSIAN_BITS]) / 2**GAUSSIAN_BITS
    x = np.arange(-8 * m, 8 * m + 1)
    weights = np.exp(-(x.astype(float) ** 2) / (2 * scale**2))
    exact = weights / weights.sum()
    ours = np.zeros(len(x))
    ours[7 * m : 9 * m + 1] = mass
    assert np.abs(ours - exact).sum() / 2 < 2.0**-36


@pytest.mark.parametrize(("n", "p"), [(1, 0.25), (20, 0.25), (37, 0.9)])
def test_binomial(n: int, p: float) -> None:
    found = counts((round((1 - p) * 2**32),), n, 32)
    assert_fits(found, np.array([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]))


def test_normal() -> None:
    total = counts((1,), NORMAL_BITS, 1)
    found = np.sort((total + np.random.default_rng(0).random(SIZE) - NORMAL_BITS / 2 - 0.5) / math.sqrt(64 + 1 / 12))
    assert abs(found.mean()) * math.sqrt(SIZE) < WORST
    assert abs(found.var() - 1) * math.sqrt(SIZE / 2) < WORST
    assert abs((found**4).mean() - (3 - 2 / 256)) * math.sqrt(SIZE / 96) < WORST
    cdf = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in found])
    distance = np.abs(cdf - np.arange(1, SIZE + 1) / SIZE).max()
    assert (distance - 5e-4) * math.sqrt(SIZE) < 2.75  # Kolmogorov: one in 10^6


def test_the_distribution_function_of_the_normal_is_as_close_as_stated() -> None:
    """Exactly, from the binomial one: a dither makes it linear between the steps."""
    n, step = NORMAL_BITS, 1 / math.sqrt(NORMAL_BITS / 4 + 1 / 12)
    mass = np.array([math.comb(n, k) / 2**n for k in range(n + 1)])
    x = np.linspace(-8, 8, 4001)
    inside = np.clip(x[:, None] / step - (np.arange(n + 1) - n / 2) + 0.5, 0, 1)
    normal = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
    assert np.abs(inside @ mass - normal).max() < 5e-4


@pytest.mark.parametrize("seed", [1, 2])
def test_words_and_bits_are_uniform(seed: int) -> None:
    for name in ("random_words", "random_bits"):
        (found,), _ = run(one_op(name, [], Config(), shape=(SIZE,), number=1), [], seed)
        lanes = np.ascontiguousarray(found).view(np.uint8) if name == "random_words" else found.astype(np.uint8)
        values = 256 if name == "random_words" else 2
        seen = np.bincount(lanes.reshape(-1), minlength=values)
        mean = seen.sum() / values
        assert (((seen - mean) ** 2 / mean).sum() - (values - 1)) / math.sqrt(2 * (values - 1)) < WORST


def test_thresholds_at_the_ends() -> None:
    """Never and always; each number is compared as a whole number is."""
    assert set(counts((0, 8), 3, 3, size=200).tolist()) == {3}
    found = counts(tuple(range(9)), 1, 3, size=4000)
    assert set(found.tolist()) == set(range(1, 9))  # u + 1 of the thresholds 0 .. 8 are at most u


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 100, 4096])
def test_adders_leave_one_bit_of_each_weight(count: int) -> None:
    columns = [count]
    for made in adders(count):
        taken = [n * (3 if c > 2 else 2) for n, c in zip(made, columns, strict=True)]
        columns = [c - t + n for c, t, n in zip(columns, taken, made, strict=True)] + [0]
        columns = [c + n for c, n in zip(columns, [0, *made], strict=True)]
        columns = columns if columns[-1] else columns[:-1]
    assert columns == [1] * count.bit_length() or max(columns) == 1


def test_narrow_rings_draw_within_themselves() -> None:
    (found,), _ = run(one_op("random_words", [], config_of(5), shape=(400,), number=1), [])
    assert set(found.tolist()) == set(range(-16, 16))


def digits_of(bits: int, size: int = SIZE, seed: int = 5) -> np.ndarray:
    """Exponential numbers in units of 2^-bits."""
    attrs = {"shape": (size,), "number": 1, "thresholds": tuple(exponential_digits(bits)), "bits": CHANCE_BITS}
    (planes,), _ = run(one_op("random_chances", [], Config(), **attrs), [], seed)
    return (planes.astype(np.int64) << np.arange(len(planes))[:, None]).sum(0)


@pytest.mark.parametrize("bits", [2, 6, 18])
def test_the_digits_of_an_exponential_number(bits: int) -> None:
    """Against the distribution of the number, rounded down to sixteenths."""
    found = digits_of(bits) >> max(bits - 4, 0)
    unit = 2.0 ** -min(bits, 4)
    probability = np.exp(-unit * np.arange(int(20 / unit))) * -np.expm1(-unit)
    assert_fits(found, probability / probability.sum())


@pytest.mark.parametrize("bits", [8, 18, 32])
def test_digits_are_as_close_to_an_exponential_number_as_stated(bits: int) -> None:
    """Independent digits: the distances add up, with that of what lies beyond."""
    said = np.array(exponential_digits(bits)) / 2.0**CHANCE_BITS
    weights = 2.0 ** np.arange(-bits, EXPONENTIAL_TOP)
    exact = 1 / (1 + np.exp(weights))
    assert np.abs(said - exact).sum() + math.exp(-(2.0**EXPONENTIAL_TOP)) < 2.0**-28
    numbers = np.array([sum(w for j, w in enumerate(weights[-8:]) if n >> j & 1) for n in range(256)])
    product = np.array([np.prod([p if n >> j & 1 else 1 - p for j, p in enumerate(exact[-8:])]) for n in range(256)])
    wanted = np.exp(-numbers)
    np.testing.assert_allclose(product, wanted / wanted.sum(), rtol=1e-9)


def test_chances_are_independent_of_each_other() -> None:
    attrs = {"shape": (SIZE,), "number": 1, "thresholds": (1 << 31, 1 << 31, 1 << 30), "bits": 32}
    (rows,), _ = run(one_op("random_chances", [], Config(), **attrs), [], 7)
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(rows[one], rows[two])[0, 1]) * math.sqrt(SIZE) < WORST
    np.testing.assert_allclose(rows.mean(1), [0.5, 0.5, 0.25], atol=WORST / math.sqrt(SIZE))


def test_every_order_of_a_shuffle_is_as_likely() -> None:
    types = [Type((SIZE, 4), INT, 0, 4)]
    program = one_op("random_shuffle", types, Config(), number=1)
    (found,), _ = run(program, [np.broadcast_to(np.arange(4), (SIZE, 4))], 3)
    number = (found * 4 ** np.arange(4)).sum(1)
    orders = [sum(n * 4**j for j, n in enumerate(order)) for order in itertools.permutations(range(4))]
    assert_fits(np.searchsorted(np.sort(orders), number), np.full(24, 1 / 24))
