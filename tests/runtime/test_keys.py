"""Keys: fresh for each session, equal at both ends, bound to all that they are for, and never shown."""

from __future__ import annotations

import copy
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmpc.ring.keys import MaskKeys
from jmpc.runtime.identity import Credentials
from jmpc.runtime.keys import PairKeys, contribution, pair_keys

HASH = "ab" * 32
parties = st.permutations([0, 1, 2]).map(lambda order: order[:2])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(parties, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_both_ends_agree_and_the_three_keys_differ(pair: list[int], mine: bytes, theirs: bytes) -> None:
    if mine == theirs:
        return
    me, peer = pair
    here = pair_keys(me, peer, mine, theirs, b"s" * 32, HASH)
    there = pair_keys(peer, me, theirs, mine, b"s" * 32, HASH)
    assert (here.mask, here.send, here.receive) == (there.mask, there.receive, there.send)
    assert len({here.mask, here.send, here.receive}) == 3


def test_any_change_of_context_changes_every_key() -> None:
    a, b = b"a" * 32, b"b" * 32
    variants = [
        pair_keys(0, 1, a, b, b"s" * 32, HASH),
        pair_keys(0, 1, b, a, b"s" * 32, HASH),
        pair_keys(0, 1, a, b"c" * 32, b"s" * 32, HASH),
        pair_keys(0, 1, a, b, b"t" * 32, HASH),
        pair_keys(0, 1, a, b, b"s" * 32, "cd" * 32),
        pair_keys(0, 2, a, b, b"s" * 32, HASH),
        pair_keys(1, 2, a, b, b"s" * 32, HASH),
    ]
    keys = [key for pair in variants for key in (pair.mask, pair.send, pair.receive)]
    assert len(set(keys)) == len(keys)


def test_a_reflected_contribution_is_refused() -> None:
    with pytest.raises(ValueError, match="contribution"):
        pair_keys(0, 1, b"a" * 32, b"a" * 32, b"s" * 32, HASH)
    with pytest.raises(ValueError, match="contribution"):
        pair_keys(0, 1, b"a" * 32, b"", b"s" * 32, HASH)


def test_contributions_are_fresh() -> None:
    assert len({contribution() for _ in range(100)}) == 100


def test_keys_neither_show_nor_travel() -> None:
    key = os.urandom(16)
    for holder in (MaskKeys({1: key, 2: key}), PairKeys(key, key, key), Credentials("jmpc://party/0", key, key, key)):
        assert repr(key)[2:10] not in repr(holder)
        assert key.hex()[:8] not in f"{holder} {holder!r}"
        with pytest.raises(TypeError, match="not pickled"):
            copy.copy(holder)
        with pytest.raises(TypeError, match="not pickled"):
            holder.__reduce_ex__(4)


@pytest.mark.parametrize("bad", [b"", b"x" * 15, b"x" * 32, "x" * 16])
def test_a_mask_key_has_16_bytes(bad: bytes) -> None:
    with pytest.raises(TypeError, match="16 bytes"):
        MaskKeys({1: b"k" * 16, 2: bad})
