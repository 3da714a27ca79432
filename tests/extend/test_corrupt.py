"""A party that sends something else than its program says, and seals it as it should."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

import jmpc
from jmpc.errors import CheatingDetected, ConfigError
from jmpc.testing import aborts, faulty_parties
from jmpc.testing.operation_check import check_operation

X = np.array([1.5, -2.0, 3.0], np.float32)


def test_the_op_that_compares_is_right_and_private(outside: ModuleType) -> None:
    check_operation(outside.compared)


@pytest.mark.parametrize("way", ["0-2", "1-0", "2-1"])
@pytest.mark.parametrize("bit", [0, 63, 100])
def test_it_is_found_out_by_who_checks(outside: ModuleType, way: str, bit: int) -> None:
    compared = jmpc.secure(outside.compared)
    with faulty_parties("local") as parties:
        np.testing.assert_array_equal(compared(X), X)
        with parties.inject(f"corrupt:{way}@0:{bit}") as fault, aborts(CheatingDetected, under=fault) as found:
            compared(X)
        assert found.error is not None
        assert (found.error.party, found.error.phase) == (int(way[-1]), "run")
        np.testing.assert_array_equal(compared(X), X)


def test_where_nothing_is_checked_it_is_refused(outside: ModuleType) -> None:
    double = jmpc.secure(lambda x: x * x)
    with (
        faulty_parties("local") as parties,
        parties.inject("corrupt:0-1@0", must_act=False),
        pytest.raises(ConfigError, match="nothing would notice corrupt:0-1@0"),
    ):
        double(X)


def test_between_processes_it_is_refused() -> None:
    with faulty_parties("processes") as parties, pytest.raises(ConfigError, match="between processes"):
        parties.inject("corrupt:0-1@0").__enter__()
