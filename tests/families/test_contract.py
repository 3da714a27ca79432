"""What the parts of a family say of each other, for every family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jmpc.config import Config
from jmpc.errors import ConfigError
from jmpc.families import ABY3, FAMILIES, Family, register
from jmpc.families.family import Form
from jmpc.ir.ops.record import OPENS, OPS
from tests.families.dealer2 import DEALER2


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": ""}, "no name"),
        ({"parties": 2}, "`sent` is of 3 parties, and it has 2"),
        ({"sent": (1, 1)}, "`sent` is of 2 parties, and it has 3"),
        ({"forms": {"arith": Form(((0,), (1,)))}}, "the form arith is of 2 parties"),
        ({"forms": {"arith": Form(((0,), (2,), ()))}}, r"are \[0, 2\]"),
        ({"forms": {"arith": Form(((0,), (1,), ()), public=2)}}, "2 is a public value"),
        ({"forms": {"arith": Form(((), (), ()))}}, r"are \[\]"),
    ],
)
def test_a_family_that_does_not_fit_together_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        register(replace(DEALER2, **{"name": "unfit", **wrong}))
    assert "unfit" not in FAMILIES
    with pytest.raises(ConfigError, match="no such protocol family"):
        Config(protocol="unfit")


@pytest.mark.parametrize("family", [ABY3, DEALER2], ids=lambda family: family.name)
def test_a_record_says_that_its_op_opens_something_where_the_protocol_says_what(family: Family) -> None:
    said = {op for op in family.protocols if OPENS in OPS[op].traits}
    assert said >= family.openings
    # Another family may put an op of both levels into effect without an opening.
    assert {op for op in said - family.openings if OPS[op].family == family.name} == set()
