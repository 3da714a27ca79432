"""All linear relations are found, whatever their factors, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.testing.privacy import linear_relations
from jmpc.testing.privacy.linear_relations import (
    WORD,
    bit_columns,
    bit_relations,
    bit_sum,
    packed,
    shifted,
    word_columns,
    word_relations,
    word_sum,
)

Array = np.ndarray
RUNS = 100
FACTORS = st.integers(0, (1 << 64) - 1)


def numbers(seed: int, count: int, runs: int = RUNS) -> Array:
    return np.random.default_rng(seed).integers(0, 1 << 64, (runs, count), np.uint64)


@given(seed=st.integers(0, 99), factors=st.lists(FACTORS, min_size=1, max_size=6), twice=st.integers(0, 63))
def test_a_sum_of_multiples_is_found(seed: int, factors: list[int], twice: int) -> None:
    """x = 2^-twice (sum of the factors' products): the relation holds in the low bits alone."""
    table = numbers(seed, len(factors) + 1)
    with np.errstate(over="ignore"):
        known = (table[:, :-1] * np.array(factors, WORD)).sum(1, dtype=WORD)
        table[:, -1] = known + (table[:, -1] << WORD.type(64 - twice) if twice else WORD.type(0))
    found = word_relations(table)
    assert len(found)
    for relation in found:
        assert not word_sum(table, relation).any()
    last = [int(relation[-1]) for relation in found if relation[-1]]
    assert min((x & -x).bit_length() - 1 for x in last) == twice


@pytest.mark.parametrize("count", [1, 2, 30, 90])
def test_random_numbers_have_no_relation(count: int) -> None:
    assert not len(word_relations(numbers(count, count, count + 40)))
    columns = [packed(c) for c in numbers(count, count, count + 60).T]
    assert bit_relations(columns) == []


@given(seed=st.integers(0, 99), chosen=st.sets(st.integers(0, 9), min_size=1))
def test_an_exclusive_or_of_bits_is_found(seed: int, chosen: set[int]) -> None:
    bits = numbers(seed, 11) & WORD.type(1)
    bits[:, 10] = np.bitwise_xor.reduce(bits[:, sorted(chosen)], 1)
    columns = [packed(c) for c in bits.T]
    (found,) = bit_relations(columns)
    assert found == sum(1 << n for n in (*chosen, 10))
    assert bit_sum(columns, found) == 0


def test_a_column_of_zeros_is_a_relation_of_its_own() -> None:
    table = np.concatenate([numbers(1, 2), np.zeros((RUNS, 1), WORD)], 1)
    np.testing.assert_array_equal(word_relations(table), [[0, 0, 1]])


def test_numbers_of_few_bits_wrap_where_they_do() -> None:
    """A byte that is the low byte of a sum of words is one in Z_2^64, times 2^56."""
    table = numbers(3, 2)
    low = table.sum(1, dtype=WORD).astype(np.uint8)
    columns, places = word_columns([table, low[:, None]])
    assert [n for (n,) in places] == [0, 1, 0]
    (found,) = word_relations(columns)
    assert [int(f) % (1 << 56) for f in found[[0, 2]]] == [0, 0]
    assert int(found[1]) % 2 == 1
    np.testing.assert_array_equal(shifted(low), low.astype(WORD) << WORD.type(56))


def test_products_of_two_lowest_bits_are_columns_too() -> None:
    x, y = numbers(4, 1, 200), numbers(5, 1, 200)
    columns, places = bit_columns([x, y, x & y])
    assert places[:4] == [(0,), (1,), (2,), (0, 1)]
    assert any(relation == (1 << 2 | 1 << 3) for relation in bit_relations(columns))


def test_lanes_of_words_are_columns() -> None:
    """A word of packed bits may repeat another in some lane alone."""
    x, y = numbers(6, 1, 300), numbers(7, 1, 300)
    for lane in linear_relations.LANES:
        bit = WORD.type(1) << WORD.type(lane)
        columns, _ = bit_columns([x, (y & ~bit) | (x & bit)])
        assert len(bit_relations(columns)) >= 1
    assert bit_relations(bit_columns([x, y])[0]) == []


def test_no_more_columns_are_made_than_asked() -> None:
    arrays = [numbers(8, 50), numbers(9, 50)]
    assert len(bit_columns(arrays, 60)[0]) == len(bit_columns(arrays, 60)[1]) == 60
    assert word_columns(arrays, 30)[0].shape == (RUNS, 30)
