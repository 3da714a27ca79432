"""The ring Z_2^k: its dtype, reduction, and the signed view.

What goes in and out: unsigned arrays, NumPy or JAX, of the narrowest dtype that holds k bits. For k = 8, 16, 32 and
64 the dtype wraps by itself; other widths (tests enumerate rings of a few bits) leave bits above k in an array
until `reduce` clears them, which every step that looks at high bits, and every message, must do first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jax import lax

from jmpc._types import Array


@dataclass(frozen=True)
class Ring:
    """Z_2^k."""

    k: int

    @cached_property
    def storage_bits(self) -> int:
        return next(bits for bits in (8, 16, 32, 64) if bits >= self.k)

    @cached_property
    def dtype(self) -> np.dtype:
        return np.dtype(f"uint{self.storage_bits}")

    @cached_property
    def signed_dtype(self) -> np.dtype:
        return np.dtype(f"int{self.storage_bits}")

    @property
    def element_bytes(self) -> int:
        return self.storage_bits // 8

    def const(self, value: int) -> np.number:
        """The element `value` mod 2^k, as a scalar of the ring's dtype."""
        return self.dtype.type(value % (1 << self.k))

    def reduce(self, x: Array) -> Array:
        """Clear the bits above k."""
        return x if self.k == self.storage_bits else lax.bitwise_and(x, self.full(x, (1 << self.k) - 1))

    def full(self, like: Array, value: int) -> Array:
        """A constant of the shape of `like`."""
        return lax.full(like.shape, self.dtype.type(value % (1 << self.storage_bits)), self.dtype)

    def scale(self, x: Array, factor: int) -> Array:
        """x times a public integer."""
        return lax.mul(x, self.full(x, factor))

    def shift_right(self, x: Array, bits: int) -> Array:
        """Logical shift of a reduced element."""
        return lax.shift_right_logical(x, self.full(x, bits)) if bits else x

    def shift_left(self, x: Array, bits: int) -> Array:
        return lax.shift_left(x, self.full(x, bits)) if bits else x

    def bit(self, x: Array, position: int) -> Array:
        """Bit `position` of each element, as an element 0 or 1."""
        return lax.bitwise_and(self.shift_right(x, position), self.full(x, 1))

    def from_int(self, values: np.ndarray) -> np.ndarray:
        """Signed integers to ring elements, on the host."""
        with np.errstate(over="ignore"):
            wrapped = np.asarray(values).astype(np.int64, copy=False).astype(self.dtype)
        return wrapped if self.k == self.storage_bits else wrapped & self.dtype.type((1 << self.k) - 1)

    def to_int(self, elements: np.ndarray) -> np.ndarray:
        """Ring elements to signed integers in [-2^(k-1), 2^(k-1)), on the host."""
        spare = self.storage_bits - self.k
        shifted = np.left_shift(np.asarray(elements, self.dtype), self.dtype.type(spare))
        return np.right_shift(shifted.view(self.signed_dtype), self.signed_dtype.type(spare)).astype(np.int64)

    def reduce_host(self, elements: np.ndarray) -> np.ndarray:
        """`reduce` in NumPy."""
        return elements if self.k == self.storage_bits else elements & self.dtype.type((1 << self.k) - 1)
