"""Rules for complex operands: each equation becomes one on pairs of real arrays, in plain JAX, which is walked inline.

What goes in: an equation with a complex operand or result. What comes out: its results, complex ones as `Pair`s.
Where a part is zero by what the compiler knows, nothing is computed for it. Loops and branches do not carry complex
values: their bodies would have to be rewritten whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jmpc import _jax
from jmpc._types import AnyArray, Array
from jmpc.frontend.expand import expand
from jmpc.frontend.known import Known
from jmpc.frontend.pairs import Pair, as_pair, is_complex, part_dtype
from jmpc.frontend.walk import RULES, Walker, rule
from jmpc.ir.program import Value
from jmpc.numerics.arrays import discrete_fourier
from jmpc.numerics.arrays.discrete_fourier import is_zero

Parts = Any  # (real, imaginary), or one array where the dtype is real
Meaning = Callable[..., Any]

EACH_PART = {
    *(
        "add",
        "sub",
        "neg",
        "add_any",
        "reduce_sum",
        "cumsum",
        "copy",
        "copy_p",
        "optimization_barrier",
        "stop_gradient",
    ),
    *("reshape", "transpose", "broadcast_in_dim", "slice", "squeeze", "expand_dims", "rev", "concatenate", "pad"),
    *("split", "stack", "unstack", "tile", "select_n", "gather", "dynamic_slice", "dynamic_update_slice", "device_put"),
}
BILINEAR = {"mul", "dot_general", "conv_general_dilated"}


@rule("(complex)", "complex", "conj", "fft", "imag", "real")
def _complex(w: Walker, eqn: Any, args: list[Any]) -> list[Any]:
    name = eqn.primitive.name
    meaning = MEANINGS.get(name)
    if meaning is None and name not in RULES:
        return w.by_rule("(decomposed)", eqn, args)
    if meaning is None:
        return w.refuse(eqn, args, f"{name} of complex numbers has no secure form: take real and imaginary parts first")
    given, flat, avals = [], [], []
    for x, v in zip(args, eqn.invars, strict=True):
        dtype = v.aval.dtype
        parts = [as_pair(w.root, x).re, as_pair(w.root, x).im] if is_complex(dtype) else [x]
        given.append([_held(p, len(flat), flat, avals, dtype) for p in parts])

    def on_parts(*arrays: Array) -> list[Array]:
        parts = [[arrays[p] if isinstance(p, int) else p for p in group] for group in given]
        return _flat(meaning(eqn, *(tuple(group) if len(group) == 2 else group[0] for group in parts)))

    outs = expand(w, on_parts, *flat, avals=avals)
    return _paired(eqn, [w.in_format(v) if isinstance(v, Value) else v for v in outs])


def _held(part: Any, place: int, flat: list[Any], avals: list[Any], dtype: Any) -> int | np.ndarray:
    """The place of a part among the operands, or its zeros."""
    dtype = part_dtype(dtype) if is_complex(dtype) else dtype
    if isinstance(part, Known) and np.issubdtype(dtype, np.floating) and part.uniform() == 0:
        return np.zeros(part.shape, dtype)
    flat.append(part)
    avals.append(_jax.aval(part.shape, dtype))
    return len(flat) - 1


def _flat(result: Any) -> list[Array]:
    """The arrays of a result: an array, a pair (a tuple), or a list of these."""
    if isinstance(result, list):
        return [array for one in result for array in _flat(one)]
    return [jnp.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]


def _paired(eqn: Any, outs: Sequence[Any]) -> list[Any]:
    queue = iter(outs)
    return [Pair(next(queue), next(queue)) if is_complex(v.aval.dtype) else next(queue) for v in eqn.outvars]


# --- what primitives mean on parts: functions of an equation and its operands


def _each_part(eqn: Any, *xs: Parts) -> list[Parts]:
    re, im = ([x[n] if isinstance(x, tuple) else x for x in xs] for n in (0, 1))
    return list(zip(_zeros_kept(eqn, re), _zeros_kept(eqn, im), strict=True))


def _zeros_kept(eqn: Any, parts: Sequence[AnyArray]) -> Sequence[AnyArray]:
    """The primitive on parts; of zeros alone, zeros."""
    if all(is_zero(p) for p in parts):
        return [np.zeros(v.aval.shape, part_dtype(v.aval.dtype)) for v in eqn.outvars]
    return _jax.bind(eqn, *(jnp.asarray(p) for p in parts))


def _bilinear(eqn: Any, x: Parts, y: Parts) -> Parts:
    out = eqn.outvars[0].aval

    def product(a: AnyArray, b: AnyArray) -> AnyArray:
        zero = is_zero(a) or is_zero(b)
        return np.zeros(out.shape, part_dtype(out.dtype)) if zero else _jax.bind_as(eqn, a.dtype, a, b)[0]

    return _minus(product(x[0], y[0]), product(x[1], y[1])), _plus(product(x[0], y[1]), product(x[1], y[0]))


def _plus(a: AnyArray, b: AnyArray) -> AnyArray:
    return b if is_zero(a) else a if is_zero(b) else a + b


def _minus(a: AnyArray, b: AnyArray) -> AnyArray:
    return a if is_zero(b) else -b if is_zero(a) else a - b


def _times(x: Parts, y: Parts) -> Parts:
    return _minus(_by(x[0], y[0]), _by(x[1], y[1])), _plus(_by(x[0], y[1]), _by(x[1], y[0]))


def _by(a: AnyArray, b: AnyArray) -> AnyArray:
    return a if is_zero(a) else b if is_zero(b) else a * b


def _divide(eqn: Any, x: Parts, y: Parts) -> Parts:
    if is_zero(y[1]):
        return tuple(p if is_zero(p) else p / y[0] for p in x)
    inverse = 1 / (_by(y[0], y[0]) + _by(y[1], y[1]))
    return _times(x, (_by(y[0], inverse), -y[1] * inverse))


def _integer_pow(eqn: Any, x: Parts) -> Parts:
    power, result = eqn.params["y"], (np.float32(1), np.zeros((), np.float32))
    for _ in range(abs(power)):
        result = _times(result, x)
    return result if power >= 0 else _divide(eqn, (np.float32(1), np.zeros((), np.float32)), result)


def _exp(eqn: Any, x: Parts) -> Parts:
    size = jnp.exp(x[0])
    return (size, x[1]) if is_zero(x[1]) else (size * jnp.cos(x[1]), size * jnp.sin(x[1]))


def _log(x: Parts) -> Parts:
    return 0.5 * jnp.log(_by(x[0], x[0]) + _by(x[1], x[1])), jnp.arctan2(x[1], x[0])


def _convert(eqn: Any, x: Parts) -> Parts:
    to = eqn.params["new_dtype"]
    if not is_complex(to):
        return x[0].astype(to)
    if isinstance(x, tuple):
        return x
    return x.astype(part_dtype(to)), np.zeros(x.shape, part_dtype(to))


def _fft(eqn: Any, x: Parts) -> Parts:
    """Over the last axes; a real transform takes the last of them alone."""
    kind, lengths = lax.FftType(eqn.params["fft_type"]), eqn.params["fft_lengths"]
    others = range(-len(lengths), 0 if kind in (lax.FftType.FFT, lax.FftType.IFFT) else -1)
    if kind == lax.FftType.RFFT:
        x = discrete_fourier.transform_real(x, n=lengths[-1])
    for axis in others:
        moved = (jnp.swapaxes(p, axis, -1) if not is_zero(p) else np.swapaxes(p, axis, -1) for p in x)
        x = discrete_fourier.transform(*moved, inverse=kind in (lax.FftType.IFFT, lax.FftType.IRFFT))
        x = tuple(jnp.swapaxes(p, axis, -1) for p in x)
    return discrete_fourier.inverse_real(*x, n=lengths[-1]) if kind == lax.FftType.IRFFT else x


MEANINGS: dict[str, Meaning] = {
    **dict.fromkeys(EACH_PART, _each_part),
    **dict.fromkeys(BILINEAR, _bilinear),
    "complex": lambda eqn, re, im: (re, im),
    "real": lambda eqn, x: x[0],
    "imag": lambda eqn, x: x[1],
    "conj": lambda eqn, x: (x[0], -x[1]) if isinstance(x, tuple) else (x, np.zeros(x.shape, x.dtype)),
    "abs": lambda eqn, x: jnp.sqrt(_plus(_by(x[0], x[0]), _by(x[1], x[1]))),
    "square": lambda eqn, x: _times(x, x),
    "integer_pow": _integer_pow,
    "div": _divide,
    "exp": _exp,
    "log": lambda eqn, x: _log(x),
    "log2": lambda eqn, x: tuple(part / math.log(2) for part in _log(x)),
    "eq": lambda eqn, x, y: (x[0] == y[0]) & (x[1] == y[1]),
    "ne": lambda eqn, x, y: (x[0] != y[0]) | (x[1] != y[1]),
    "is_finite": lambda eqn, x: jnp.isfinite(x[0]),
    "convert_element_type": _convert,
    "fft": _fft,
}
