"""Infer rules of linear ops and products, common to both levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax import lax

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir import structural
from jmpc.ir.op_table import COMMON, Attrs, Infer, held, rule
from jmpc.ir.types import (
    ARITH,
    FIXED,
    INT,
    Type,
    weakest,
)


@lru_cache(maxsize=4096)
def _shape_of(
    name: str, attrs: tuple[tuple[str, Any], ...], shapes: tuple[tuple[int, ...], ...], index_from: int
) -> tuple[int, ...]:
    specs = [jax.ShapeDtypeStruct(s, np.int32 if n >= index_from else np.uint32) for n, s in enumerate(shapes)]
    return jax.eval_shape(lambda *xs: structural.apply(name, dict(attrs), *xs), *specs).shape


def linear_shape(name: str, types: Sequence[Type], attrs: Attrs) -> tuple[int, ...]:
    index_from = structural.INDEX_OPERANDS_FROM.get(name, len(types))
    return _shape_of(name, tuple(sorted(attrs.items())), tuple(t.shape for t in types), index_from)


def _linear(name: str) -> Infer:
    def of(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
        data = list(types[: structural.INDEX_OPERANDS_FROM.get(name, len(types))])
        scales = {t.scale for t in data}
        kinds = {t.kind for t in data}
        if len(scales) != 1 or len(kinds) != 1:
            raise ProgramError(f"{name}: operands of {sorted(kinds)} at scales {sorted(scales)}", todo="rescale first")
        shape = linear_shape(name, types, attrs)
        if name in structural.ARITHMETIC and len(data) == 2:
            limit = sum(t.limit for t in data)
        elif name in structural.SUMMING:
            limit = data[0].limit * summed(name, data[0].shape, shape, attrs)
        else:
            limit = max(t.limit for t in data)
        return (Type(shape, data[0].kind, data[0].scale, limit, weakest(*(t.origin for t in data)), **held(data)),)

    return of


def summed(name: str, before: tuple[int, ...], after: tuple[int, ...], attrs: Attrs) -> int:
    """How many terms one output of a summing op has at most."""
    if name == "window_sum":
        return math.prod(attrs["window"])
    if name == "cumsum":
        return max(before[attrs["axis"]], 1)
    return max(math.prod(before) // max(math.prod(after), 1), 1)


for _name in structural.LINEAR:
    COMMON[_name] = _linear(_name)


def _product(shape: tuple[int, ...], x: Type, y: Type, terms: int) -> Type:
    kind = FIXED if FIXED in (x.kind, y.kind) else INT
    visible = held((x, y))
    if x.secret and y.secret:
        visible["form"] = ARITH
    return Type(shape, kind, x.scale + y.scale, x.limit * y.limit * terms, weakest(x.origin, y.origin), **visible)


@rule(COMMON, "mul")
def _mul(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    if x.shape != y.shape:
        raise ProgramError(f"mul: shapes {x.shape} and {y.shape} differ")
    return (_product(x.shape, x, y, 1),)


@rule(COMMON, "dot")
def _dot(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    shape = _dot_shape(attrs["dims"], x.shape, y.shape)
    terms = math.prod(x.shape[d] for d in attrs["dims"][0][0])
    return (_product(shape, x, y, max(terms, 1)),)


@lru_cache(maxsize=1024)
def _dot_shape(dims: Any, x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    specs = (jax.ShapeDtypeStruct(x, np.uint32), jax.ShapeDtypeStruct(y, np.uint32))
    return jax.eval_shape(lambda a, b: lax.dot_general(a, b, dims), *specs).shape


@rule(COMMON, "conv")
def _conv(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    shape = _conv_shape(tuple(sorted(attrs.items())), x.shape, y.shape)
    kernel = [y.shape[d] for d in attrs["dims"][1]]
    return (_product(shape, x, y, max(math.prod(kernel[1:]), 1)),)


@lru_cache(maxsize=1024)
def _conv_shape(attrs: tuple[tuple[str, Any], ...], x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    specs = (jax.ShapeDtypeStruct(x, np.float32), jax.ShapeDtypeStruct(y, np.float32))
    return jax.eval_shape(lambda a, b: lax.conv_general_dilated(a, b, **conv_params(dict(attrs))), *specs).shape


def conv_params(attrs: Attrs) -> dict[str, Any]:
    """Keyword arguments of lax.conv_general_dilated for the attributes of a conv."""
    return {
        "window_strides": attrs["strides"],
        "padding": attrs["padding"],
        "lhs_dilation": attrs["lhs_dilation"],
        "rhs_dilation": attrs["rhs_dilation"],
        "dimension_numbers": lax.ConvDimensionNumbers(*attrs["dims"]),
        "feature_group_count": attrs["feature_groups"],
        "batch_group_count": attrs["batch_groups"],
    }
