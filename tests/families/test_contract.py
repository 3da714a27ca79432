"""What the parts of a family say of each other, for every family."""

from __future__ import annotations

import pytest

from jmpc.families import ABY3, Family
from jmpc.ir.ops.record import OPENS, OPS
from tests.families.dealer2 import DEALER2


@pytest.mark.parametrize("family", [ABY3, DEALER2], ids=lambda family: family.name)
def test_a_record_says_that_its_op_opens_something_where_the_protocol_says_what(family: Family) -> None:
    said = {op for op in family.protocols if OPENS in OPS[op].traits}
    assert said >= family.openings
    # Another family may put an op of both levels into effect without an opening.
    assert {op for op in said - family.openings if OPS[op].family == family.name} == set()
