"""An owner's sharing tells no party anything, and three parties all: every secret, and every word that may be drawn."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.executors import sharing as randomness
from jmpc.executors.masks import Stream
from jmpc.executors.sharing import fresh
from jmpc.families import sharing
from jmpc.families.family import Form
from jmpc.families.replicated3 import PAIR
from jmpc.families.sharing import Draw, Pieces, summands_of
from jmpc.families.sharing import opened as open_summands
from jmpc.ir.types import FIXED, INT, Type, secret_bits
from jmpc.ring.aligned import ALIGN_BYTES
from jmpc.ring.bits import WORD, pack_host, words
from jmpc.ring.element import Ring

Array = np.ndarray
SHAPES = ((), (1,), (7,), (3, 5), (0,), (65,))


def share(x: Array, ring: Ring, draw: Draw = fresh) -> Pieces:
    """As the three parties of the replicated family hold it."""
    return sharing.share_numbers(x, PAIR, ring, draw)


def share_bits(x: Array, draw: Draw = fresh) -> Pieces:
    return sharing.share_bits(x, PAIR, draw)


class Given:
    """Hands out these arrays, by run, in order, and notes what was asked for."""

    def __init__(self, *arrays: Array) -> None:
        self.arrays, self.asked = list(arrays), list[tuple[tuple[int, ...], np.dtype]]()

    def __call__(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        self.asked.append((tuple(shape), np.dtype(dtype)))
        array = self.arrays.pop(0)
        return array.astype(dtype).reshape(array.shape[0], *shape)


def views(pieces: Pieces) -> list[list[tuple[int, ...]]]:
    """By party, what it holds in each run."""
    return [list(zip(*(a.reshape(-1).tolist() for a in mine), strict=True)) for mine in pieces]


def every(bits: int) -> tuple[Array, Array]:
    """All pairs of words."""
    both = np.array(list(itertools.product(range(1 << bits), repeat=2)))
    return both[:, 0], both[:, 1]


@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_a_partys_view_of_a_number_is_uniform_whatever_it_is(k: int) -> None:
    """All 4^k words give each party each pair once, for every secret; the third summand is the one that it lacks."""
    ring = Ring(k)
    some = range(1 << k) if k < 8 else (0, 1, 127, 128, 255)
    for secret in some:
        first, second = every(k)
        high = np.uint8(0xFF << k & 0xFF)  # what is drawn above the ring does not matter
        draw = Given(first | high, second | high)
        pieces = share(np.array([secret], ring.dtype), ring, draw)
        for seen in views(pieces):
            assert Counter(seen) == Counter(itertools.product(range(1 << k), repeat=2))
        for p in range(3):
            np.testing.assert_array_equal(pieces[p][1], pieces[(p + 1) % 3][0])
        total = sum(pieces[p][0].astype(int) for p in range(3))
        np.testing.assert_array_equal(total % (1 << k), secret)


@pytest.mark.parametrize("secret", list(itertools.product([False, True], repeat=2)))
def test_a_partys_view_of_bits_is_uniform_whatever_they_are(secret: tuple[bool, bool]) -> None:
    first, second = every(2)
    pieces = share_bits(np.array(secret), Given(first, second))
    for seen in views(pieces):
        assert Counter(seen) == Counter(itertools.product(range(4), repeat=2))
    for p in range(3):
        np.testing.assert_array_equal(pieces[p][1], pieces[(p + 1) % 3][0])
    whole = pieces[0][0] ^ pieces[1][0] ^ pieces[2][0]
    np.testing.assert_array_equal(whole.reshape(-1), np.full(16, int(pack_host(np.array(secret))[0])))


@given(shape=st.sampled_from(SHAPES), k=st.sampled_from([3, 13, 32, 64]), seed=st.integers(0, 99))
def test_an_array_is_shared_with_words_of_its_own_and_opened_again(shape: tuple[int, ...], k: int, seed: int) -> None:
    ring, rng = Ring(k), np.random.default_rng(seed)
    x = ring.reduce_host(rng.integers(0, 1 << ring.storage_bits, shape, ring.dtype))
    x = np.asarray(x, ring.dtype)
    draw = Given(*(rng.integers(0, 1 << ring.storage_bits, (1, *shape), ring.dtype) for _ in range(2)))
    with np.errstate(over="ignore"):
        pieces = share(x, ring, draw)
        assert draw.asked == [(shape, ring.dtype)] * 2
        found = open_summands([mine[0] for mine in pieces], Type(shape, INT), ring)
    np.testing.assert_array_equal(np.asarray(found).reshape(shape), x)
    assert all(a.dtype == ring.dtype and (a <= (1 << k) - 1).all() for mine in pieces for a in mine)


@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 99))
def test_bits_are_shared_with_words_of_their_own_and_opened_again(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, shape) == 1
    draw = Given(*(rng.integers(0, 1 << 64, (1, words(x.size)), np.uint64) for _ in range(2)))
    pieces = share_bits(x, draw)
    assert draw.asked == [((words(x.size),), WORD)] * 2
    found = open_summands([mine[0][0] for mine in pieces], secret_bits(shape), Ring(64))
    np.testing.assert_array_equal(found, x)


# --- what users get


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every key that is taken from the operating system."""
    taken: list[bytes] = []
    real = os.urandom

    def noted(count: int) -> bytes:
        taken.append(real(count))
        return taken[-1]

    monkeypatch.setattr(randomness.os, "urandom", noted)
    return taken


@pytest.mark.parametrize("function", [lambda: share(np.arange(9, dtype=np.uint64), Ring(64)),
                                      lambda: share_bits(np.arange(200) % 3 == 0)])  # fmt: skip
def test_each_summand_has_a_key_of_its_own(function: Any, keys: list[bytes]) -> None:
    pieces = [function(), function()]
    assert len(keys) == len(set(keys)) == 4
    assert all(len(key) == 16 for key in keys)
    for n, made in enumerate(pieces):
        for m, summand in enumerate((made[0][0], made[0][1])):
            words_ = Stream(keys[2 * n + m], summand.size).words(0, summand.size)
            np.testing.assert_array_equal(summand, words_)


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "uint64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_fresh_words_fill_any_shape(shape: tuple[int, ...], dtype: str) -> None:
    found = fresh(shape, np.dtype(dtype))
    assert (found.shape, found.dtype) == (shape, np.dtype(dtype))


def test_fresh_words_are_used_whole() -> None:
    """No word is there twice, and every bit of every byte varies."""
    found = fresh((4096,), np.dtype(np.uint64))
    assert len(set(found.tolist())) == 4096
    ones = np.unpackbits(found.view(np.uint8).reshape(-1, 8), axis=1).mean(0)
    assert (abs(ones - 0.5) < 0.06).all()
    assert not np.array_equal(found, fresh((4096,), np.dtype(np.uint64)))


def test_users_shares_are_those_of_the_words_that_they_draw() -> None:
    """Without a hand on the words: any two parties' shares repeat nothing, and three add up."""
    x = np.arange(1000, dtype=np.uint64)
    pieces = share(x, Ring(64))
    summands = [mine[0] for mine in pieces]
    for a, b in itertools.combinations([*summands, x], 2):
        assert not (a == b).any()
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(summands[0] + summands[1] + summands[2], x)


def test_what_is_sent_lies_where_xla_reads_it() -> None:
    for mine in share(np.arange(33, dtype=np.uint64), Ring(64)):
        assert all(a.ctypes.data % ALIGN_BYTES == 0 for a in mine)


def opened(summands: Sequence[Array], t: Type, ring: Ring) -> list[int]:
    return open_summands(summands, t, ring).tolist()


def test_the_sum_of_the_summands_is_reduced() -> None:
    five = [np.array([5], np.uint8)] * 3
    assert opened(five, Type((1,), FIXED), Ring(3)) == [7]
    assert opened(five, Type((1,), FIXED), Ring(8)) == [15]


# --- any form, on the host and traced

FORMS = [PAIR, Form(((0,), (1,), ())), Form(((0,), (0,), (1,))), Form(((0, 1), (1, 2), (2, 3), (3, 0)), public=3)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_sharing_and_opening_are_one_definition_on_the_host_and_traced(form: Form, packed: bool) -> None:
    ring, rng = Ring(64), np.random.default_rng(5)
    shape = (words(9),) if packed else (9,)
    drawn = [rng.integers(0, 1 << 64, shape, np.uint64) for _ in range(form.summands - 1)]
    t = secret_bits((9,)) if packed else Type((9,), INT)
    x = np.arange(9) % 2 == 1 if packed else np.arange(9, dtype=np.uint64)

    def ends(x: Any, *drawn: Any) -> Any:
        given = iter(drawn)
        pieces = sharing.share(x, t, form, ring, lambda shape, dtype: next(given))
        every = {
            n: a for mine, numbers in zip(pieces, form.holds, strict=True) for a, n in zip(mine, numbers, strict=True)
        }
        return pieces, open_summands([every[n] for n in range(form.summands)], t, ring)

    with jax.enable_x64(True), np.errstate(over="ignore"):
        traced, here = jax.jit(ends)(x, *drawn), ends(x, *drawn)
        summands_of(here[0], form)
    np.testing.assert_array_equal(here[1], x)
    jax.tree.map(np.testing.assert_array_equal, traced, here)


def test_copies_that_differ_are_refused() -> None:
    pieces = share(np.arange(3, dtype=np.uint64), Ring(64))
    pieces[1][0] = pieces[1][0] + 1
    with pytest.raises(ValueError, match="different copies"):
        summands_of(pieces, PAIR)
