"""A convolution as one batched matrix product.

In: the operands and parameters of `lax.conv_general_dilated`. Out: matrices (G, M, K) and (G, K, N), with G groups,
M = batch * output positions, K = window * input features and N output features of a group, and the way back. It only
moves elements, so it serves every dtype and form; the patches are as large as the image times the window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jax import lax

from jmpc._types import Array


@dataclass(frozen=True)
class Convolution:
    """The parameters of `lax.conv_general_dilated`, as its jaxpr has them."""

    window_strides: Sequence[int]
    padding: Sequence[tuple[int, int]]
    lhs_dilation: Sequence[int]
    rhs_dilation: Sequence[int]
    dimension_numbers: lax.ConvDimensionNumbers
    feature_group_count: int
    batch_group_count: int

    @property
    def groups(self) -> int:
        return self.feature_group_count * self.batch_group_count

    def inner(self, y: Array) -> int:
        """Products in one output element."""
        return math.prod(self.window(y)) * y.shape[self.dimension_numbers.rhs_spec[1]]

    def left(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        """x with its batch and spatial dimensions padded, groups first: (G, n, spatial..., features)."""
        batch, feature, *spatial = self.dimension_numbers.lhs_spec
        x = lax.transpose(x, (batch, *spatial, feature))
        edges = [(low, high, d - 1) for (low, high), d in zip(self.padding, self.lhs_dilation, strict=True)]
        x = lax.pad(x, x.dtype.type(0), [(0, 0, 0), *edges, (0, 0, 0)])
        n, *sizes, c = x.shape
        by_batch, by_feature = self.batch_group_count, self.feature_group_count
        x = lax.reshape(x, (by_batch, n // by_batch, *sizes, by_feature, c // by_feature))
        last = x.ndim - 1
        x = lax.transpose(x, (0, last - 1, *range(1, last - 1), last))
        return lax.reshape(x, (self.groups, *x.shape[2:])), tuple(sizes)

    def right(self, y: Array) -> Array:
        """y as (G, window * features, outputs of a group)."""
        out, feature, *spatial = self.dimension_numbers.rhs_spec
        y = lax.transpose(y, (*spatial, feature, out))
        y = lax.reshape(y, (math.prod(y.shape[:-1]), self.groups, y.shape[-1] // self.groups))
        return lax.transpose(y, (1, 0, 2))

    def window(self, y: Array) -> tuple[int, ...]:
        return tuple(y.shape[d] for d in self.dimension_numbers.rhs_spec[2:])

    def positions(self, sizes: Sequence[int], window: Sequence[int]) -> tuple[int, ...]:
        """Output positions along each spatial dimension."""
        found: list[int] = []
        for size, taps, stride, dilation in zip(sizes, window, self.window_strides, self.rhs_dilation, strict=True):
            reach = (taps - 1) * dilation + 1 if taps else 0
            found.append((size - reach) // stride + 1 if size >= reach else 0)
        return tuple(found)

    def matrices(self, x: Array, y: Array) -> tuple[Array, Array, tuple[int, ...]]:
        """(G, M, K), (G, K, N), and (n, positions...), which `image` needs."""
        x, sizes = self.left(x)
        window = self.window(y)
        places = self.positions(sizes, window)
        groups, n = x.shape[:2]
        inner = self.inner(y)
        if 0 in (n, inner, *places):
            x = lax.full((groups, n * math.prod(places), inner), 0, x.dtype)
        else:
            x = self._gather(x, window, places)
            x = lax.reshape(x, (groups, n * math.prod(places), inner))
        return x, self.right(y), (n, *places)

    def _gather(self, x: Array, window: Sequence[int], places: Sequence[int]) -> Array:
        """Each position's window in the last dimension, one spatial dimension after the other, the last one first:
        the sum of the window's sides in slices, where all at once would take their product."""
        for axis in reversed(range(len(window))):
            stride, dilation = self.window_strides[axis], self.rhs_dilation[axis]
            span = (places[axis] - 1) * stride + 1
            taps = [
                lax.slice_in_dim(x, tap * dilation, tap * dilation + span, stride, axis + 2)
                for tap in range(window[axis])
            ]
            x = lax.concatenate(taps, x.ndim - 1)
        return x

    def image(self, product: Array, places: tuple[int, ...]) -> Array:
        """(G, M, N) back to the layout of the result."""
        groups, _, outputs = product.shape
        result = lax.reshape(product, (groups, *places, outputs))
        last = len(places)
        result = lax.transpose(result, (*range(1, last + 1), 0, last + 1))
        result = lax.reshape(result, (*places, groups * outputs))
        batch, feature, *spatial = self.dimension_numbers.out_spec
        source = {batch: 0, feature: last, **{d: i + 1 for i, d in enumerate(spatial)}}
        return lax.transpose(result, tuple(source[d] for d in range(last + 1)))
