"""Products: of elements, of matrices, convolutions. At the share level, with at most one secret operand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np
from jax import lax

from jmpc import _typed
from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.ops.attributes import CONV, DOT
from jmpc.ir.ops.operands import NUMBER
from jmpc.ir.ops.record import COMMON, PRODUCT, Attrs, Frame, op
from jmpc.ir.ops.visibility import held
from jmpc.ir.program import Op
from jmpc.ir.types import ARITH, FIXED, INT, Type, weakest


def _product(shape: tuple[int, ...], x: Type, y: Type, terms: int) -> Type:
    kind = FIXED if FIXED in (x.kind, y.kind) else INT
    visible = held((x, y))
    if x.secret and y.secret:
        visible["form"] = ARITH
    return Type(shape, kind, x.scale + y.scale, x.limit * y.limit * terms, weakest(x.origin, y.origin), **visible)


def multiply(frame: Frame, op: Op, x: Any, y: Any) -> Any:
    return lax.mul(x, y)


@op("mul", COMMON, (NUMBER, NUMBER), means=multiply, traits=(PRODUCT,))
def mul_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    if x.shape != y.shape:
        raise ProgramError(f"mul: shapes {x.shape} and {y.shape} differ")
    return (_product(x.shape, x, y, 1),)


def contract_axes(frame: Frame, op: Op, x: Any, y: Any) -> Any:
    return _typed.dot_general(x, y, op.attrs["dims"])


@op("dot", COMMON, (NUMBER, NUMBER), DOT, means=contract_axes, traits=(PRODUCT,))
def dot_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    shape = _dot_shape(attrs["dims"], x.shape, y.shape)
    contracted: tuple[int, ...] = attrs["dims"][0][0]
    terms = math.prod(x.shape[d] for d in contracted)
    return (_product(shape, x, y, max(terms, 1)),)


@lru_cache(maxsize=1024)
def _dot_shape(dims: Any, x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    specs = (jax.ShapeDtypeStruct(x, np.uint32), jax.ShapeDtypeStruct(y, np.uint32))
    return _typed.eval_shape(partial(_typed.dot_general, dims=dims), *specs).shape


def convolve(frame: Frame, op: Op, x: Any, y: Any) -> Any:
    return lax.conv_general_dilated(_typed.asarray(x), _typed.asarray(y), **conv_params(op.attrs))


@op("conv", COMMON, (NUMBER, NUMBER), CONV, means=convolve, traits=(PRODUCT,))
def conv_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    shape = _conv_shape(tuple(sorted(attrs.items())), x.shape, y.shape)
    kernel: tuple[int, ...] = attrs["dims"][1]
    return (_product(shape, x, y, max(math.prod(y.shape[d] for d in kernel[1:]), 1)),)


@lru_cache(maxsize=1024)
def _conv_shape(attrs: tuple[tuple[str, Any], ...], x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    specs = (jax.ShapeDtypeStruct(x, np.float32), jax.ShapeDtypeStruct(y, np.float32))
    return _typed.eval_shape(partial(lax.conv_general_dilated, **conv_params(dict(attrs))), *specs).shape


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
