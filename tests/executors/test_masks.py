"""Mask streams: the words of a key, at any offset, are the cipher's; no two streams of a run are of one key."""

from __future__ import annotations

import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from jmpc.executors.local import fresh_keys
from jmpc.executors.masks import Stream, aligned, chacha_key, streams
from jmpc.ir.plan import WHOLE_WORDS, Plan
from jmpc.ring.aligned import ALIGN_BYTES
from jmpc.ring.keys import MaskKeys

KEY = bytes(range(16))
SMALL, LARGE = 1000, WHOLE_WORDS + 1000


def reference(key: bytes, words: int, prf: str) -> np.ndarray:
    """The first words of a key's stream, in one piece."""
    if prf == "aes":
        cipher = Cipher(algorithms.AES128(key), modes.CTR(bytes(16)))
    else:
        cipher = Cipher(algorithms.ChaCha20(chacha_key(key), bytes(16)), None)
    return np.frombuffer(cipher.encryptor().update(bytes(8 * words)), np.uint64)


def test_the_first_block_is_that_of_fips_197() -> None:
    """AES-128 of the zero counter under the key 00 01 .. 0f (checked with OpenSSL's command line)."""
    assert Stream(KEY, 4).words(0, 2).tobytes().hex() == "c6a13b37878f5b826f4f8162a1c8d879"


@pytest.mark.parametrize("prf", ["aes", "chacha20"])
@pytest.mark.parametrize("total", [SMALL, LARGE])
@given(start=st.integers(0, 900), count=st.integers(0, 99), far=st.booleans())
def test_a_range_is_that_range_of_the_stream(prf: str, total: int, start: int, count: int, far: bool) -> None:
    start += total - 1000 if far else 0
    found = STREAMS[prf, total].words(start, count)
    assert (found.shape, found.dtype) == ((count,), np.uint64)
    np.testing.assert_array_equal(found, WHOLE[prf][start : start + count])


WHOLE = {prf: reference(KEY, LARGE, prf) for prf in ("aes", "chacha20")}
STREAMS = {(prf, total): Stream(KEY, total, prf) for prf in WHOLE for total in (SMALL, LARGE)}


def test_a_stream_is_drawn_at_once_or_as_it_goes_with_the_same_words() -> None:
    """More than one buffer of zeros, from an odd word on."""
    count = (1 << 14) + 5
    np.testing.assert_array_equal(STREAMS["aes", LARGE].words(7, count), WHOLE["aes"][7 : 7 + count])
    np.testing.assert_array_equal(STREAMS["aes", LARGE].words(8, count), WHOLE["aes"][8 : 8 + count])


@pytest.mark.parametrize("words", [1, 7, 8, 1000])
def test_buffers_start_on_a_cache_line(words: int) -> None:
    buffer = aligned(words)
    assert (buffer.shape, buffer.dtype) == ((words,), np.uint64)
    assert buffer.ctypes.data % ALIGN_BYTES == 0


@pytest.mark.parametrize("start", range(0, 64, 8))
def test_a_segments_masks_start_on_a_cache_line(start: int) -> None:
    """Plans place them at multiples of eight words, so XLA reads them without a copy."""
    for total in (SMALL, LARGE):
        assert STREAMS["aes", total].words(start, 16).ctypes.data % ALIGN_BYTES == 0


def empty_plan(party: int, words: int) -> Plan:
    return Plan(party, (), (), (), (), (), {peer: words for peer in range(3) if peer != party})


@pytest.mark.parametrize("prf", ["aes", "chacha20"])
def test_peers_draw_the_same_words_and_others_do_not(prf: str) -> None:
    drawn = [streams(empty_plan(p, 64), keys, prf) for p, keys in enumerate(fresh_keys(3))]
    words = [{peer: s.arguments(0, 64)[0] for peer, s in party.items()} for party in drawn]
    for p in range(3):
        nxt, prv = (p + 1) % 3, (p - 1) % 3
        np.testing.assert_array_equal(words[p][nxt], words[nxt][p])
        assert not np.intersect1d(words[p][nxt], words[p][prv]).size


def test_keys_are_fresh_for_each_run() -> None:
    seen = {keys[peer] for _ in range(4) for keys in fresh_keys(3) for peer in keys.peers}
    assert len(seen) == 12


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
def test_each_pair_of_parties_has_one_key_of_its_own(parties: int) -> None:
    held = fresh_keys(parties)
    assert len({keys[peer] for keys in held for peer in keys.peers}) == parties * (parties - 1) // 2
    for party, keys in enumerate(held):
        assert sorted(keys.peers) == [p for p in range(parties) if p != party]
        assert all(keys[peer] == held[peer][party] for peer in keys.peers)


def test_two_ciphers_give_two_streams_and_the_key_shows_nowhere() -> None:
    key = os.urandom(16)
    aes, chacha = Stream(key, 8), Stream(key, 8, "chacha20")
    assert not np.intersect1d(aes.words(0, 8), chacha.words(0, 8)).size
    for shown in (repr(aes), repr(chacha), repr(streams(empty_plan(0, 8), MaskKeys({1: key, 2: key})))):
        assert key.hex() not in shown
        assert repr(key) not in shown
        assert str(int(aes.words(0, 1)[0])) not in shown
