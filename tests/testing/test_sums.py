"""Sums of three that now and then tell something are found, and others are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jmpc.testing.privacy.report import CLIENTS
from jmpc.testing.privacy.small_sums import Sum, bits_of, chosen, one_cell, probability, values
from jmpc.testing.privacy.views import DEEP, Known
from jmpc.testing.simulator.lockstep import Message

Array = np.ndarray
RNG = np.random.default_rng(11)


def words(dtype: Any = np.uint64) -> Array:
    return RNG.integers(0, 1 << 8 * np.dtype(dtype).itemsize, (DEEP, 1), dtype)


def known(array: Array, place: Any = "a mask of its own", share: int | None = None) -> Known:
    return Known(place, array, array[:0], share)


def message(n: int) -> Message:
    return Message(1, 0, ((), (0, n)), 1, np.zeros(0))


def two_views(x: int, y: int, rate: float, dtype: Any = np.uint64) -> list[list[Known]]:
    """Shares of x, or of y, and a message that is the third share `rate` of the time."""
    found = []
    for secret in (x, y):
        a, b, mask = words(dtype), words(dtype), words(dtype)
        third = (np.array(secret % (1 << 64), np.uint64).astype(dtype) - a - b).astype(dtype)
        told = np.where(RNG.random((DEEP, 1)) < rate, third, mask)
        found.append([known(a, "share", 0), known(b, "share", 0), known(told, message(0))])
    return found


def least(views: list[list[Known]]) -> float:
    mine, theirs = views
    return min(probability(values(mine, one), values(theirs, one), bits_of(mine, one)) for one in chosen(mine, 300))


@pytest.mark.parametrize("dtype", [np.uint64, np.uint32, np.uint8])
@pytest.mark.parametrize("rate", [1.0, 1 / 16, 1 / 64])
def test_a_share_that_is_told_now_and_then_is_found(rate: float, dtype: Any) -> None:
    assert least(two_views(5, -6, rate, dtype)) < 1e-12


@pytest.mark.parametrize("dtype", [np.uint64, np.uint8])
def test_what_is_always_masked_is_not(dtype: Any) -> None:
    assert least(two_views(5, -6, 0.0, dtype)) > 1e-9


def test_the_top_bits_of_a_sum_are_looked_at() -> None:
    """A mask of 60 bits leaves the top ones to the secret."""
    found = []
    for secret in (0, 1 << 62):
        a, b, mask = words(), words(), words() >> np.uint64(4)
        found.append([known(a, "s", 0), known(b, "s", 0), known(np.uint64(secret) - a - b + mask, message(0))])
    assert least(found) < 1e-12


def test_first_come_the_shares_of_one_input() -> None:
    seen = [*two_views(1, 2, 0.0)[0], known(words()), known(words(), message(1))]
    sums = chosen(seen)
    of_shares = {one.terms for one in sums if set(one.terms) >= {0, 1}}
    assert {(2, 0, 1), (4, 0, 1)} <= of_shares
    assert {one.ways for one in sums if one.terms == (2, 0, 1)} == {
        ("+", "+"), ("+", "-"), ("-", "+"), ("-", "-"), ("^", "^"),
    }  # fmt: skip
    assert {one.terms for one in sums if len(one.terms) == 1} == {(2,), (4,)}
    assert len(set(sums)) == len(sums)
    assert all(any(seen[n].received for n in one.terms) for one in sums)


def test_of_many_sums_a_part_is_taken_the_same_each_time() -> None:
    seen = [known(words(), message(n)) for n in range(20)] + [known(words()) for _ in range(20)]
    assert len(chosen(seen, 500)) <= 500
    assert chosen(seen, 500) == chosen(seen, 500)
    assert {len(one.terms) for one in chosen(seen, 500)} == {1, 2, 3}


def test_nothing_received_is_nothing_to_look_at() -> None:
    assert chosen([known(words(), "share", 0), known(words())]) == []
    assert CLIENTS not in range(3)


def test_the_narrowest_term_says_the_bits_of_a_sum() -> None:
    byte, word = known(words(np.uint8), message(0)), known(words())
    one = Sum((0, 1), False, ("-",))
    assert bits_of([byte, word], one) == 8
    low = (byte.ends[:, 0] - word.ends[:, 0].astype(np.uint8)).astype(np.uint64)
    np.testing.assert_array_equal(values([byte, word], one), low << np.uint64(56))


def test_the_last_element_counts_as_the_first_does() -> None:
    both = np.concatenate([words(), words()], 1)
    array = known(both, message(0))
    for end in (False, True):
        np.testing.assert_array_equal(values([array], Sum((0,), end, ())), both[:, int(end)])
    assert {one.end for one in chosen([array])} == {False, True}


@pytest.mark.parametrize(
    ("a", "b", "least", "most"), [(60, 0, 1e-19, 1e-16), (40, 40, 1, 1), (0, 0, 1, 1), (30, 31, 1, 1)]
)
def test_one_uneven_cell(a: int, b: int, least: float, most: float) -> None:
    assert least <= one_cell(np.array([a, 1000]), np.array([b, 1000])) <= most


def test_the_bound_holds() -> None:
    """Of samples of one distribution, at most so many are as uneven as the bound says."""
    pairs = [np.random.default_rng(n).multinomial(500, [0.1] * 10, 2) for n in range(2000)]
    found = np.array([one_cell(a, b) for a, b in pairs])
    for p in (1e-2, 1e-1, 0.5):
        assert (found < p).mean() <= p
