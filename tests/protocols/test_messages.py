"""What a party receives says nothing: every message is uniform, whatever the secret, and fits its ring.

Uniform bytes are necessary, not sufficient: the argument for each protocol is in its docstring.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jmpc.config import Config
from jmpc.ir.types import ARITH, BITS, INT, SPLIT, SUM3, Type, secret_bits
from jmpc.protocols.registry import PROTOCOLS
from jmpc.ring.element import Ring
from jmpc.testing.build import config_of, number, one_op
from jmpc.testing.ir_programs import conv_attrs
from jmpc.testing.simulate import run

SIZE = 1 << 12
WAVE = {"rate": 1 << 46, "sin": (1 << 27,), "cos": (1 << 26,), "scale": 9, "known": 5}
POWER = {"rate": 1 << 48, "top": 1, "high": 2, "low": 2, "scale": 9, "known": 5}
MATRIX = (((1,), (0,)), ((), ()))


def operands(name: str, cut: int = 8) -> tuple[list[Type], dict[str, Any]]:
    """Types and attributes of one large use of each protocol that sends."""
    one, short = number((SIZE,), 1), number((SIZE,), 1, SPLIT, scale=cut)
    many = (64 * SIZE,)
    bit, mask, arith = secret_bits(many), secret_bits(many), Type(many, INT, form=ARITH)
    whole = Type(many, INT, form=SPLIT)
    table: dict[str, tuple[list[Type], dict[str, Any]]] = {
        "reshare": ([number((SIZE,), 1, SUM3)], {}),
        "open_split": ([number((SIZE,), 1, SUM3)], {}),
        "and": ([bit, mask], {}),
        "truncate_wrap": ([short], {"bits": cut}),
        "truncate_local": ([short], {"bits": cut}),
        "msb": ([number(many, 1, SPLIT)], {"width": 4, "drop": 0, "block": 2}),
        **{name: ([whole], {"bits": 4, "block": 2}) for name in ("low_bits", "bit_test", "low_zero")},
        "zero_test": ([number(many, 1, SPLIT)], {"width": 4, "block": 2}),
        "bit_to_arith": ([secret_bits((SIZE,))], {}),
        "inject": ([secret_bits((SIZE,)), one], {}),
        "bit_to_arith_dabit": ([bit, mask, arith], {}),
        "inject_dabit": ([bit, mask, arith, number(many, 1)], {}),
        "dabit": ([], {"shape": (SIZE,)}),
        "periodic_sum3": ([number((SIZE,), 1, SPLIT)], WAVE),
        "power2_sum3": ([number((SIZE,), 1, SPLIT)], POWER),
        "to_sum3": ([one], {}),
        "split": ([one], {}),
        "mul_sum3": ([one, one], {}),
        "dot_sum3": ([number((2, 3), 1), number((3, 2), 1)], {"dims": MATRIX}),
        "conv_sum3": ([number((1, 2, 3, 3), 1), number((1, 2, 2, 2), 1)], conv_attrs()),
    }
    return table[name]


def constant(t: Type, value: int) -> np.ndarray:
    return np.full(t.shape, bool(value)) if t.form == BITS else np.full(t.shape, value, np.int64)


def chi_square(message: np.ndarray) -> float:
    """Of the bytes, in standard deviations from what uniform bytes give."""
    counts = np.bincount(np.ascontiguousarray(message).reshape(-1).view(np.uint8), minlength=256)
    mean = counts.sum() / 256
    return (((counts - mean) ** 2 / mean).sum() - 255) / np.sqrt(2 * 255)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
@pytest.mark.parametrize("secret", [0, -1])
def test_every_message_is_uniform_whatever_the_secret(name: str, secret: int) -> None:
    types, attrs = operands(name)
    rng = np.random.default_rng(5)
    values = [constant(t, secret) for t in types]
    if name.endswith("_dabit"):  # the mask is a random bit that nobody knows
        rho = rng.integers(0, 2, types[1].shape)
        values[1:3] = [rho.astype(bool), rho]
    _, report = run(one_op(name, types, Config(), **attrs), values, 11)
    assert bool(report.rounds) == any(len(s) for s in report.seen)
    for received in report.seen:
        for message in received:
            assert abs(chi_square(message)) < 5
            assert np.unique(message).size > 1


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
@pytest.mark.parametrize("k", [13, 20, 27])
def test_no_message_has_bits_above_the_ring(name: str, k: int) -> None:
    """They would be sums of what the ring hides. Packed bits travel as 64-bit words, elements of these rings do not."""
    types, attrs = operands(name, cut=3)
    ring = Ring(k)
    values = [constant(t, -1) for t in types]
    _, report = run(one_op(name, types, config_of(k, 1), **attrs), values, 12)
    elements = [m for received in report.seen for m in received if m.dtype == ring.dtype]
    for message in elements:
        assert not (message >> ring.dtype.type(k)).any()
