"""What StableHLO says of values: dtypes, shapes, constants.

What goes in: types and attributes of MLIR. What comes out: dtypes and arrays of NumPy.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import ml_dtypes
import numpy as np
from jaxlib.mlir import ir

from jmpc.errors import UnsupportedError

FLOATS = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}
COMPLEX = {"complex<f32>": np.complex64, "complex<f64>": np.complex128}


def dtype_of(t: Any) -> np.dtype:
    """The dtype of a tensor's elements."""
    text = str(ir.RankedTensorType(t).element_type)
    if text == "i1":
        return np.dtype(bool)
    if (found := re.fullmatch(r"(u?)i(8|16|32|64)", text)) is not None:
        return np.dtype(f"{'u' if found[1] else ''}int{found[2]}")
    if text in FLOATS or text in COMPLEX:
        return np.dtype((FLOATS | COMPLEX)[text])
    raise UnsupportedError(
        f"an exported function computes on {text}",
        why="only real and complex numbers, integers and bools have a secure form",
        todo="export it without that dtype",
    )


def shape_of(t: Any) -> tuple[int, ...]:
    return tuple(ir.RankedTensorType(t).shape)


def constant(op: Any) -> np.ndarray:
    """The array of a constant; of equal elements a view of one."""
    t = op.results[0].type
    dtype, shape = dtype_of(t), shape_of(t)
    try:
        found = np.array(op.attributes["value"]).astype(dtype)
    except (TypeError, ValueError):  # a dtype for which MLIR's Python has no buffer, or no attribute
        found = _from_text(str(op), dtype)
    return np.broadcast_to(found.reshape(() if found.size == 1 else shape), shape)


def _from_text(text: str, dtype: np.dtype) -> np.ndarray:
    """`... dense<1.0> : tensor...`, `dense<[(1.0, 2.0), ...]>`, or `dense<"0x...">`: the bytes."""
    body = text[text.index("dense<") + len("dense<") : text.rindex("> : tensor")]
    if body.startswith('"0x'):
        return np.frombuffer(bytes.fromhex(body[3:-1]), dtype)
    listed = ast.literal_eval(re.sub(r"0x([0-9A-F]+)", lambda m: repr(_bits(m[1], dtype)), body).replace("nan", "None"))
    values = np.array(listed, float)
    if dtype.kind == "c" and values.shape[-1:] == (2,):
        values = values[..., 0] + 1j * values[..., 1]
    return np.asarray(values).astype(dtype)


def _bits(digits: str, dtype: np.dtype) -> float:
    """A number that is written as its bits."""
    part = np.dtype(np.float32 if dtype == np.complex64 else np.float64) if dtype.kind == "c" else dtype
    return float(np.frombuffer(bytes.fromhex(digits.zfill(2 * part.itemsize))[::-1], part)[0])


def numbers(op: Any, name: str) -> tuple[int, ...]:
    """A list of integers among the attributes of an op; empty if it is not there."""
    return tuple(int(n) for n in op.attributes[name]) if name in op.attributes else ()


def number(op: Any, name: str, default: int = 1) -> int:
    return ir.IntegerAttr(op.attributes[name]).value if name in op.attributes else default


def pairs(op: Any, name: str, count: int, default: int = 0) -> list[tuple[int, int]]:
    """A matrix with two columns."""
    if name not in op.attributes:
        return [(default, default)] * count
    return [(int(a), int(b)) for a, b in np.array(op.attributes[name]).reshape(count, 2)]


def word(op: Any, name: str) -> str:
    """A choice such as `#stablehlo<comparison_direction LT>`, or a text."""
    text = str(op.attributes[name])
    return text.rstrip(">").split(" ")[-1] if text.startswith("#") else text.strip('"@')
