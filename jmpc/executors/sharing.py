"""The ends of a program: an owner shares its input, a receiver adds up what the parties send.

What goes in: encoded arrays, on the host. What comes out: what each party holds. The randomness is a fresh AES-128
stream for every array, keyed by the operating system.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from jmpc.config import Config
from jmpc.executors.masks import Stream, aligned
from jmpc.ir.types import BITS, Type
from jmpc.ring import bits
from jmpc.ring.element import Ring


def ring_of(config: Config) -> Ring:
    return Ring(config.k)


Pieces = list[list[np.ndarray]]


def share(elements: np.ndarray, ring: Ring) -> Pieces:
    """Ring elements to what each party holds: (x_p, x_{p+1}). Any one party's pair is uniform."""
    first, second = (_uniform(elements.shape, ring.dtype) for _ in range(2))
    summands = [ring.reduce_host(first), ring.reduce_host(second)]
    third = _aligned(elements.shape, ring.dtype)
    np.subtract(elements, summands[0], out=third)
    np.subtract(third, summands[1], out=third)
    summands.append(ring.reduce_host(third))
    return [[summands[p], summands[(p + 1) % 3]] for p in range(3)]


def share_bits(values: np.ndarray) -> Pieces:
    """Bools to packed bits, shared by exclusive or."""
    packed = bits.pack_host(np.asarray(values, bool))
    first, second = (_uniform(packed.shape, bits.WORD) for _ in range(2))
    summands = [first, second, packed ^ first ^ second]
    return [[summands[p], summands[(p + 1) % 3]] for p in range(3)]


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uninitialised, and where XLA:CPU reads it without a copy."""
    count = int(np.prod(shape, dtype=np.int64))
    return aligned(-(-count * dtype.itemsize // 8)).view(dtype)[:count].reshape(shape)


def _uniform(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    count = int(np.prod(shape, dtype=np.int64))
    words = -(-count * dtype.itemsize // 8)
    drawn = Stream(os.urandom(16), words).words(0, words)
    return drawn.view(dtype)[:count].reshape(shape)


def open_summands(summands: Sequence[np.ndarray], t: Type, ring: Ring) -> np.ndarray:
    """The value from one summand a party: ring elements, or bools."""
    first, second, third = summands
    if t.form == BITS:
        return bits.unpack_host(first ^ second ^ third, t.shape)
    return ring.reduce_host(first + second + third)
