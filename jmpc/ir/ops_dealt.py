"""Infer rules of what party 2 deals, Fourier sums and powers of two, and of the comparison that cuts their tails.

Attributes are integers: coefficients in units of 2^-COEFFICIENT, rates in units of 2^-RATE.
"""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.op_table import SHARE, VALUE, Attrs, rule
from jmpc.ir.types import ARITH, INFERRED, SUM3, Type, secret_bits
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


@rule(VALUE, "periodic")
def _periodic(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """sum_n sin_n sin(2 pi n x / T) + cos_n cos(2 pi n x / T) over odd n, T = 2^RATE / rate, with `scale` fraction
    bits. known: the part of them that the known factor takes."""
    if len(attrs["sin"]) != len(attrs["cos"]):
        raise ProgramError("periodic: a sine and a cosine for each harmonic")
    if not attrs["known"] <= min(attrs["scale"], circle.FRACTION):
        raise ProgramError(f"periodic: {attrs['known']} of {attrs['scale']} fraction bits for the known factor")
    (x,) = types
    return (x.with_(scale=attrs["scale"], limit=periodic_limit(attrs), origin=INFERRED, form=ARITH),)


@rule(SHARE, "periodic_sum3")
def _periodic_sum3(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (_periodic(types, attrs, config)[0].with_(form=SUM3),)


@rule(VALUE, "power2")
def _power2(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """2^y with `scale` fraction bits for y = rate 2^-RATE x from top - 2^(high + low) + 2^low up to `top`, not
    included; of any other y, anything. known: the part of the fraction bits that the known factor takes."""
    (x,) = types
    if exponent(attrs, x.scale, config.k)[0] < 1:
        raise ProgramError("power2: no fraction bits are left for the exponent")
    limit = 1 << (attrs["scale"] + attrs["top"])
    return (x.with_(scale=attrs["scale"], limit=limit - 1, origin=INFERRED, form=ARITH),)


@rule(SHARE, "power2_sum3")
def _power2_sum3(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (_power2(types, attrs, config)[0].with_(form=SUM3),)


@rule(VALUE, "is_below")
def _is_below(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """[x < threshold]; either answer for the 2^drop numbers from the threshold up."""
    return (secret_bits(types[0].shape),)
