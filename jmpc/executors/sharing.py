"""The ends of a program: an owner shares its input, a receiver adds up what the parties send.

What goes in: encoded arrays, on the host, and where randomness comes from. What comes out: what each party holds. Users
get a fresh AES-128 stream for every array, keyed by the operating system (`fresh`); the privacy checks hand in words of
their own, so that what they look at is this very sharing, for thousands of runs at once or for every word there is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from jmpc.config import Config
from jmpc.executors.masks import Stream, aligned
from jmpc.ir.types import Type
from jmpc.ring import bits
from jmpc.ring.element import Ring

Array = np.ndarray
Pieces = list[list[Array]]
Draw = Callable[[tuple[int, ...], np.dtype], Array]  # uniform words; leading axes, if more, are runs


def ring_of(config: Config) -> Ring:
    return Ring(config.k)


def fresh(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Words of a stream that nobody else has, and that is used for nothing else."""
    count = int(np.prod(shape, dtype=np.int64))
    words = -(-count * dtype.itemsize // 8)
    return Stream(os.urandom(16), words).words(0, words).view(dtype)[:count].reshape(shape)


def share(elements: Array, ring: Ring, draw: Draw = fresh) -> Pieces:
    """Ring elements to what each party holds: (x_p, x_{p+1}). Any one party's pair is uniform."""
    first, second = (ring.reduce_host(draw(elements.shape, ring.dtype)) for _ in range(2))
    third = _aligned(first.shape, ring.dtype)
    np.subtract(elements, first, out=third)
    np.subtract(third, second, out=third)
    return _dealt(first, second, ring.reduce_host(third))


def share_bits(values: Array, draw: Draw = fresh) -> Pieces:
    """Bools to packed bits, shared by exclusive or. Beyond the last bit the words hold shares of zero."""
    packed = bits.pack_host(np.asarray(values, bool))
    first, second = (draw(packed.shape, bits.WORD) for _ in range(2))
    return _dealt(first, second, packed ^ first ^ second)


def _dealt(*summands: Array) -> Pieces:
    return [[summands[p], summands[(p + 1) % 3]] for p in range(3)]


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Uninitialised, and where XLA:CPU reads it without a copy."""
    count = int(np.prod(shape, dtype=np.int64))
    return aligned(-(-count * dtype.itemsize // 8)).view(dtype)[:count].reshape(shape)


def open_summands(summands: Sequence[Array], t: Type, ring: Ring) -> Array:
    """The value from one summand a party: ring elements, or bools."""
    first, second, third = summands
    if t.packed:
        return bits.unpack_host(first ^ second ^ third, t.shape)
    return ring.reduce_host(first + second + third)
