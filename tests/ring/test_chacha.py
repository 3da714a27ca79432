"""ChaCha20 in JAX against RFC 8439 and against `cryptography`, at any place of the stream."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jmpc import _jax
from jmpc.ring import chacha

# RFC 8439, appendix A.1, vectors 1 to 4: keys, block counters and key stream; their nonce is zero.
RFC_VECTORS = [
    (
        "00" * 32,
        0,
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
    ),
    (
        "00" * 32,
        1,
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
    ),
    (
        "00" * 31 + "01",
        1,
        "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
        "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0",
    ),
    (
        "00ff" + "00" * 30,
        2,
        "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
        "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096",
    ),
]
KEY = bytes(range(32))
MOST = 40


def _stream(key: bytes, start: int, count: int) -> np.ndarray:
    """The same words by `cryptography`, one block at a time so that no counter of theirs overflows."""
    blocks = range(start // 8, (start + count + 7) // 8 + 1)
    text = b"".join(
        Cipher(algorithms.ChaCha20(key, b.to_bytes(8, "little") + bytes(8)), None).encryptor().update(bytes(64))
        for b in blocks
    )
    return np.frombuffer(text, "<u8")[start % 8 :][:count]


@pytest.mark.parametrize(("key", "counter", "expected"), RFC_VECTORS)
def test_block_function_gives_the_vectors_of_the_rfc(key: str, counter: int, expected: str) -> None:
    with _jax.x64():
        got = np.asarray(chacha.block(chacha.key_words(bytes.fromhex(key)), counter, 1))
    assert got.astype("<u4").tobytes().hex() == expected


@pytest.fixture(scope="module")
def compiled() -> object:
    """Words of two streams from places that are arguments: one compile serves every example."""
    with _jax.x64():
        return jax.jit(lambda keys, starts: chacha.ranges(list(keys), list(starts), [MOST, 3]))


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**60), st.integers(0, 2**60))
@example(KEY, 8 * 2**32 - 5, 0)  # the low word of the counter overflows within the range
@example(KEY, 7, 2**35)
def test_words_from_any_place_are_those_of_the_stream(compiled: object, key: bytes, first: int, second: int) -> None:
    other = bytes(255 - b for b in key)
    keys = np.stack([chacha.key_words(key), chacha.key_words(other)])
    with _jax.x64():
        got = [np.asarray(a) for a in compiled(keys, np.array([first, second], np.uint64))]  # type: ignore[operator]
    assert np.array_equal(got[0], _stream(key, first, MOST))
    assert np.array_equal(got[1], _stream(other, second, 3))


@pytest.mark.parametrize(("start", "count"), [(0, 1), (0, 8), (1, 8), (15, 17), (64, 100)])
def test_a_start_known_when_tracing_gives_the_same_words(start: int, count: int) -> None:
    with _jax.x64():
        got = np.asarray(chacha.words(chacha.key_words(KEY), start, count))
    assert np.array_equal(got, _stream(KEY, start, count))


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        chacha.key_words(bytes(16))
