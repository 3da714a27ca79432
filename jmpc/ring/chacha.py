"""ChaCha20 in JAX: words of a key stream, made where they are used, without the host.

What goes in: a key of 8 words of 32 bits, a place in its stream, a count. What comes out: words of 64 bits. The block
function is that of RFC 8439 with a nonce of zero; the block counter has 64 bits (words 12 and 13 of the state), which
is the RFC's stream for its first 2^32 blocks. Word n of the stream is its bytes 8n to 8n + 7, lowest first.
Keys are derived elsewhere (executors/masks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array

Start = Any

KEY_BYTES = 32
BLOCK_WORDS = 8
_CONSTANTS = np.frombuffer(b"expand 32-byte k", "<u4")
_HALF = np.dtype(np.uint32)
_WORD = np.dtype(np.uint64)
_DOUBLE_ROUNDS = 10
_QUARTERS = (
    *((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)),
    *((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)),
)


def key_words(key: bytes) -> np.ndarray:
    """The eight words of a 32-byte key."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a ChaCha20 key is {KEY_BYTES} bytes")
    return np.frombuffer(key, "<u4").astype(_HALF)


def words(key: Array, start: Start, count: int) -> Array:
    """`count` words of 64 bits from word `start` of the key's stream. start: a Python integer or a traced uint64."""
    return ranges([key], [start], [count])[0]


def ranges(keys: Sequence[Array], starts: Sequence[Start], counts: Sequence[int]) -> list[Array]:
    """Several ranges of several streams at once: one block function over all their blocks."""
    places = [_place(s) for s in starts]
    sizes = [-(-(c + BLOCK_WORDS - 1) // BLOCK_WORDS) for c in counts]  # enough from any word of a block
    states = [_state(k, first, n) for k, (first, _), n in zip(keys, places, sizes, strict=True)]
    state = [lax.concatenate(rows, 0) for rows in zip(*states, strict=True)]
    stream = _serialise(_blocks(state))
    found, at = list[Array](), 0
    for (_, skip), size, count in zip(places, sizes, counts, strict=True):
        found.append(lax.dynamic_slice(stream, (_word(at * BLOCK_WORDS) + skip,), (count,)))
        at += size
    return found


def block(key: Array, counter: Start, count: int) -> Array:
    """`count` blocks from block `counter`, as they stand in the RFC: (count, 16) words of 32 bits."""
    return lax.transpose(lax.concatenate([r[None] for r in _blocks(_state(key, _word(counter), count))], 0), (1, 0))


def _word(value: Start) -> Array:
    return lax.convert_element_type(value, _WORD)


def _place(start: Start) -> tuple[Array, Array]:
    """The block of a word, and the word in it."""
    at = _word(start)
    return lax.div(at, _word(BLOCK_WORDS)), lax.rem(at, _word(BLOCK_WORDS))


def _state(key: Array, first: Array, count: int) -> list[Array]:
    """The 16 words of each of `count` blocks from block `first`, an array for each word."""
    counter = lax.add(_typed.broadcast(first, (count,)), lax.iota(_WORD, count))
    low = lax.convert_element_type(lax.bitwise_and(counter, lax.full_like(counter, 0xFFFFFFFF)), _HALF)
    high = lax.convert_element_type(lax.shift_right_logical(counter, lax.full_like(counter, 32)), _HALF)
    zeros = lax.full((count,), 0, _HALF)
    constants = [lax.full((count,), c, _HALF) for c in _CONSTANTS]
    return [*constants, *(_typed.broadcast(key[n], (count,)) for n in range(8)), low, high, zeros, zeros]


def _blocks(state: list[Array]) -> list[Array]:
    """Ten double rounds as a loop, so that XLA keeps each round's results and does not compute them anew for each of
    the 16 words; then the state is added."""

    def double_round(_: Array, x: tuple[Array, ...]) -> tuple[Array, ...]:
        now = list(x)
        for a, b, c, d in _QUARTERS:
            now[a], now[b], now[c], now[d] = _quarter_round(now[a], now[b], now[c], now[d])
        return tuple(now)

    mixed = _typed.fori_loop(0, _DOUBLE_ROUNDS, double_round, tuple(state))
    return [lax.add(x, y) for x, y in zip(mixed, state, strict=True)]


def _quarter_round(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array, Array, Array]:
    a = lax.add(a, b)
    d = _rotate(lax.bitwise_xor(d, a), 16)
    c = lax.add(c, d)
    b = _rotate(lax.bitwise_xor(b, c), 12)
    a = lax.add(a, b)
    d = _rotate(lax.bitwise_xor(d, a), 8)
    c = lax.add(c, d)
    b = _rotate(lax.bitwise_xor(b, c), 7)
    return a, b, c, d


def _rotate(x: Array, by: int) -> Array:
    left = lax.shift_left(x, lax.full_like(x, by))
    return lax.bitwise_or(left, lax.shift_right_logical(x, lax.full_like(x, 32 - by)))


def _serialise(rows: list[Array]) -> Array:
    """16 arrays of 32-bit words by block -> the stream in words of 64 bits."""
    pairs = lax.concatenate([lax.reshape(r, (r.shape[0], 1)) for r in rows], 1)
    return lax.bitcast_convert_type(lax.reshape(pairs, (pairs.size // 2, 2)), _WORD)
