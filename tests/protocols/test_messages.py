"""What a party sees of each protocol does not depend on its inputs, anywhere in the ring, and fits the ring.

The statistics are those of `jmpc.testing`; how each protocol is used is in tests/testing/privacy_cases.py. That it is
private for certain is for tests/testing/test_privacy_protocols.py to show, but for what a protocol opens.
"""

from __future__ import annotations

import numpy as np
import pytest

from jmpc.families.replicated3 import ABY3
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.types import Type
from jmpc.ring.element import Ring
from jmpc.testing.build import config_of
from jmpc.testing.privacy.everywhere import compared
from jmpc.testing.simulator.lockstep import run
from tests.protocols.formulas import COSTS, no_cost
from tests.testing.privacy_cases import CASES
from tests.testing.test_privacy_protocols import cases

SENDING = sorted(name for name in PROTOCOLS if COSTS[name] is not no_cost)


def constant(t: Type, value: int) -> np.ndarray:
    return np.full(t.shape, bool(value)) if t.packed else np.full(t.shape, value, np.int64)


@pytest.mark.parametrize("name", SENDING)
def test_no_view_depends_on_the_inputs(name: str) -> None:
    case = cases(name)[0]
    assert all(found.tests > 0 for found in compared(lambda shape, config: case.program(name, shape, config)))


@pytest.mark.parametrize("name", SENDING)
@pytest.mark.parametrize("k", [13, 20, 27])
def test_no_message_has_bits_above_the_ring(name: str, k: int) -> None:
    """They would be sums of what the ring hides. Packed bits travel as 64-bit words, elements of these rings do not."""
    ring = Ring(k)
    for case in cases(name):
        program = case.program(name, (70,), config_of(k, 1))
        _, report = run(program, [constant(p.type, 0) for p in program.body.params], 12)
        elements = [m.array for m in report.messages if m.array.dtype == ring.dtype]
        for message in elements:
            assert not (message >> ring.dtype.type(k)).any()


def test_openings_are_those_of_the_cases() -> None:
    assert {name for name, found in CASES.items() if any(case.opens for case in found)} == ABY3.openings
