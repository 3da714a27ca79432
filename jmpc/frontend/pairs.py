"""A secret complex number is a pair of real ones: its parts.

What goes in: operands of a complex dtype. What comes out: `Pair`s of operands of the real dtype of the same width. What
primitives do to them is in `rules/complex.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmpc.frontend.kinds import constant
from jmpc.frontend.known import Known
from jmpc.ir.program import Value


@dataclass(frozen=True, eq=False)
class Pair:
    """re, im: the parts, each a known value or a secret."""

    re: Known | Value
    im: Known | Value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.re.shape


def is_complex(dtype: Any) -> bool:
    return jax.dtypes.issubdtype(dtype, np.complexfloating)


def holds_complex(eqn: Any) -> bool:
    """Whether an operand or a result of an equation is complex."""
    return any(is_complex(v.aval.dtype) for v in (*eqn.invars, *eqn.outvars))


def part_dtype(dtype: Any) -> np.dtype:
    return np.dtype(np.float64 if np.dtype(dtype).itemsize == 16 else np.float32)


def as_pair(root: Any, x: Any) -> Pair:
    """The parts of an operand; of a known one they are taken in the clear. root: the prelude of the function."""
    if isinstance(x, Pair):
        return x
    if not isinstance(x, Known):
        return Pair(x, x)  # what stands for the result of an operation that was refused
    if x.concrete is not None:
        whole: Any = np.asarray(x.concrete)
        dtype = part_dtype(x.dtype)
        re, im = (constant(np.asarray(part, dtype)) for part in (whole.real, whole.imag))
        return Pair(re, im)
    spec = jax.ShapeDtypeStruct(x.shape, part_dtype(x.dtype))
    re, im = (x.scope or root).add(lambda v: [jnp.real(v), jnp.imag(v)], [x], [spec, spec])
    re.path, im.path = (f"{x.path} ({part})" if x.path else "" for part in ("real part", "imaginary part"))
    return Pair(re, im)
