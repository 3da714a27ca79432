"""Exact dot products and convolutions modulo 2^k.

In: unsigned arrays of the ring's dtype (`element.py`) and the parameters that the jaxpr of `lax.dot_general` or
`lax.conv_general_dilated` has. Out: the result in the same dtype; bits above k, where the dtype has them, are left for
the caller to reduce. The functions are traced: they apply lax operations only, under the caller's x64 context.

The forms, all exact and so interchangeable between parties:

    integer   vector integer code for XLA:CPU (`blocked.py`), the fastest there
    float64   limbs in float64 (`limbs.py`), for a CPU or GPU with fast float64 and slow 64-bit integers
    int8      limbs in int8 (`limbs.py`), for tensor cores and TPUs
    native    XLA's own integer dot and convolution
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jax import lax

from jmpc import _typed
from jmpc._typed import Dims
from jmpc._types import Array
from jmpc.errors import ConfigError
from jmpc.ring import blocked, limbs
from jmpc.ring.element import Ring
from jmpc.ring.patches import Convolution

Pairs = Sequence[tuple[Array, Array]]

FORMS = ("integer", "float64", "int8", "native")
DEFAULT_FORM = "integer"
SMALL_WINDOW = (
    32  # window positions * features up to which XLA:CPU unrolls its own convolution: 1.2 to 2.6 times faster
)
_LIMB_PRODUCTS: dict[str, Callable[[Array, Array, int, int, int], Array]] = {
    "float64": limbs.float_product,
    "int8": limbs.byte_product,
}


def dot_general(
    x: Array,
    y: Array,
    dimension_numbers: Dims,
    *,
    k: int,
    form: str = DEFAULT_FORM,
    x_bits: int | None = None,
    y_bits: int | None = None,
) -> Array:
    """`lax.dot_general` modulo 2^k. x_bits, y_bits: a promise that the operand, read as a signed number of k bits, fits
    in so many: fewer limbs then."""
    return _dots([(x, y)], dimension_numbers, k, form, (x_bits or k, y_bits or k))


def dot_sum(pairs: Pairs, dimension_numbers: Dims, *, k: int, form: str = DEFAULT_FORM) -> Array:
    """The sum of x . y over pairs of equal shapes, modulo 2^k."""
    return _dots(pairs, dimension_numbers, k, form, (k, k))


def conv_general_dilated(x: Array, y: Array, *, k: int, form: str = DEFAULT_FORM, **params: Any) -> Array:
    """`lax.conv_general_dilated` modulo 2^k; the parameters are those of `patches.Convolution`."""
    return conv_sum([(x, y)], k=k, form=form, **params)


def conv_sum(pairs: Pairs, *, k: int, form: str = DEFAULT_FORM, **params: Any) -> Array:
    """The sum of convolutions of pairs of equal shapes, modulo 2^k."""
    _check(pairs, k, form)
    how = Convolution(**params)
    if form == "native" or (form == "integer" and how.groups == 1 and how.inner(pairs[0][1]) <= SMALL_WINDOW):
        return _total([lax.conv_general_dilated(x, y, **params) for x, y in pairs])
    left, right, places = zip(*(how.matrices(x, y) for x, y in pairs), strict=True)
    return how.image(_matrix_sum(list(zip(left, right, strict=True)), k, form, (k, k)), places[0])


def _dots(pairs: Pairs, dims: Dims, k: int, form: str, bits: tuple[int, int]) -> Array:
    _check(pairs, k, form)
    if form == "native":
        return _total([_typed.dot_general(x, y, dims) for x, y in pairs])
    matrices = [_matrices(x, y, dims) for x, y in pairs]
    product = _matrix_sum([(x, y) for x, y, _ in matrices], k, form, bits)
    return lax.reshape(product, matrices[0][2])


def _matrices(x: Array, y: Array, dims: Dims) -> tuple[Array, Array, tuple[int, ...]]:
    """(B, M, K), (B, K, N) and the shape of the result."""
    (x_inner, y_inner), (x_batch, y_batch) = dims
    x_free = [d for d in range(x.ndim) if d not in (*x_inner, *x_batch)]
    y_free = [d for d in range(y.ndim) if d not in (*y_inner, *y_batch)]
    batch, rows, inner = ([x.shape[d] for d in group] for group in (x_batch, x_free, x_inner))
    columns = [y.shape[d] for d in y_free]
    sizes = [math.prod(group) for group in (batch, rows, inner, columns)]
    x = lax.transpose(x, (*x_batch, *x_free, *x_inner))
    y = lax.transpose(y, (*y_batch, *y_inner, *y_free))
    x = lax.reshape(x, (sizes[0], sizes[1], sizes[2]))
    return x, lax.reshape(y, (sizes[0], sizes[2], sizes[3])), (*batch, *rows, *columns)


def _matrix_sum(pairs: Pairs, k: int, form: str, bits: tuple[int, int]) -> Array:
    """The sum of x . y over (B, M, K) and (B, K, N)."""
    x, y = pairs[0]
    shape = (*x.shape[:2], y.shape[2])
    if 0 in (*shape, x.shape[2]):
        return lax.full(shape, 0, x.dtype)
    if form == "integer":
        return blocked.product_sum(pairs)
    if len(pairs) > 1:
        x = lax.concatenate([x for x, _ in pairs], 2)
        y = lax.concatenate([y for _, y in pairs], 1)
    return _LIMB_PRODUCTS[form](x, y, k, *bits)


def _total(parts: Sequence[Array]) -> Array:
    total = parts[0]
    for part in parts[1:]:
        total = lax.add(total, part)
    return total


def _check(pairs: Pairs, k: int, form: str) -> None:
    if form not in FORMS:
        raise ConfigError(f"no form of product is called {form!r}", todo=f"use one of {', '.join(FORMS)}")
    for operand in (a for pair in pairs for a in pair):
        assert operand.dtype == Ring(k).dtype, f"an operand of {operand.dtype} in a ring of {k} bits"
