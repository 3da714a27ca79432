"""Fourier sums and powers of two, which a party that knows part of the argument can deal.

Attributes are integers: coefficients in units of 2^-COEFFICIENT, rates in units of 2^-RATE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.ops.attributes import PERIODIC, POWER2
from jmpc.ir.ops.operands import ARITH_FIXED
from jmpc.ir.ops.record import VALUE, Attrs, Frame, op
from jmpc.ir.program import Op
from jmpc.ir.types import ARITH, INFERRED, Type
from jmpc.ring import circle

COEFFICIENT = 28
RATE = 48


def turn(rate: int, scale: int, k: int) -> int:
    """The integer A for which 2^k is the period of A x, where x has `scale` fraction bits and makes `rate` 2^-RATE
    turns a unit."""
    return _shifted(rate, k - scale - RATE)


def exponent(attrs: Attrs, scale: int, k: int) -> tuple[int, int]:
    """(A, F): A x is `rate` x with F fraction bits, as many as leave room for the window's bits, 24 more than x's."""
    spare = min(24, k - attrs["high"] - attrs["low"] - scale)
    return _shifted(attrs["rate"], spare - RATE), scale + spare


def _shifted(x: int, bits: int) -> int:
    """x 2^bits to the nearest integer."""
    return x << bits if bits >= 0 else (x + (1 << (-bits - 1))) >> -bits


def periodic_limit(attrs: Attrs) -> int:
    """The magnitudes of the coefficients added up, and as much again of 2^-10 for rounding."""
    most = sum(map(abs, (*attrs["sin"], *attrs["cos"])))
    return (most << attrs["scale"] >> COEFFICIENT) + (1 << max(attrs["scale"] - 10, 0))


def fourier(frame: Frame, op: Op, x: np.ndarray) -> Any:
    """In float64, which is more exact than the result's fraction bits."""
    a, t, k = op.attrs, op.inputs[0].type, frame.ring.k
    if frame.exact:
        turns = x * np.ldexp(float(a["rate"]), -RATE)
    else:
        factor = np.uint64(turn(a["rate"], t.scale, k) % (1 << 64))
        turns = np.ldexp(
            frame.ring.reduce_host(frame.ring.from_int(x) * frame.ring.dtype.type(factor)).astype(float), -k
        )
    pairs = enumerate(zip(a["sin"], a["cos"], strict=True))
    waves = (s * np.sin(w) + c * np.cos(w) for n, (s, c) in pairs for w in [2 * np.pi * (2 * n + 1) * turns])
    return _in_result_units(frame, op, np.ldexp(sum(waves), -COEFFICIENT))


def power(frame: Frame, op: Op, x: np.ndarray) -> Any:
    """Outside the window, where any number is allowed, the one at its end."""
    a, t = op.attrs, op.inputs[0].type
    y = np.ldexp(np.asarray(x, float), 0 if frame.exact else -t.scale) * np.ldexp(float(a["rate"]), -RATE)
    least = a["top"] - (1 << (a["high"] + a["low"])) + (1 << a["low"])
    return _in_result_units(frame, op, np.exp2(np.clip(y, least, a["top"] - 2.0**-20)))


def _in_result_units(frame: Frame, op: Op, value: np.ndarray) -> np.ndarray:
    return value if frame.exact else np.rint(np.ldexp(value, op.attrs["scale"])).astype(np.int64)


@op("periodic", VALUE, (ARITH_FIXED,), PERIODIC, means=fourier)
def periodic_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """sum_n sin_n sin(2 pi n x / T) + cos_n cos(2 pi n x / T) over odd n, T = 2^RATE / rate, with `scale` fraction
    bits. known: the part of them that the known factor takes."""
    if len(attrs["sin"]) != len(attrs["cos"]):
        raise ProgramError("periodic: a sine and a cosine for each harmonic")
    if not attrs["known"] <= min(attrs["scale"], circle.FRACTION):
        raise ProgramError(f"periodic: {attrs['known']} of {attrs['scale']} fraction bits for the known factor")
    (x,) = types
    return (x.with_(scale=attrs["scale"], limit=periodic_limit(attrs), origin=INFERRED, form=ARITH),)


@op("power2", VALUE, (ARITH_FIXED,), POWER2, means=power)
def power2_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """2^y with `scale` fraction bits for y = rate 2^-RATE x from top - 2^(high + low) + 2^low up to `top`, not
    included; of any other y, anything. known: the part of the fraction bits that the known factor takes."""
    (x,) = types
    if exponent(attrs, x.scale, config.k)[0] < 1:
        raise ProgramError("power2: no fraction bits are left for the exponent")
    limit = 1 << (attrs["scale"] + attrs["top"])
    return (x.with_(scale=attrs["scale"], limit=limit - 1, origin=INFERRED, form=ARITH),)
