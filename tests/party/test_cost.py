"""What one protocol costs, counted in its traces: by sender and receiver, with masks by pair, and counted once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.families.protocol import Cost
from jmpc.families.replicated3.protocols.logic import and_planes
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.types import SUM3, Type, secret_bits, secret_fixed
from jmpc.party import cost
from jmpc.party.cost import Counted, cost_of
from jmpc.testing import run_protocol

CONFIG = Config()
BITS = secret_bits((65,))  # two words


def test_messages_are_counted_by_sender_and_receiver() -> None:
    """Each sends to the party before it, under a zero share."""
    found = cost_of("and", [BITS, BITS], {}, CONFIG)
    assert found == Counted(1, ((0, 0, 16), (16, 0, 0), (0, 16, 0)), (2, 2, 2))
    assert found.cost == Cost(1, (16, 16, 16))


def test_what_is_sent_in_one_round_is_one_round() -> None:
    x = secret_fixed((5,), 18, 1 << 20).with_(form="split")
    wrapped = cost_of("truncate_wrap", [x], {"bits": 18}, CONFIG)
    assert wrapped == Counted(2, ((0, 15, 0), (15, 0, 0), (0, 55, 0)), (0, 5, 15))


def test_masks_are_counted_where_nothing_is_sent() -> None:
    found = cost_of("random_words", [], {"shape": (3,), "number": 1}, Config(k=32, f=8))
    assert found == Counted(0, ((0, 0, 0),) * 3, (2, 2, 2))


def test_a_linear_op_costs_nothing() -> None:
    x = secret_fixed((3,), 0, 9)
    assert cost_of("add", [x, x], {}, CONFIG) == Counted(0, ((0, 0, 0),) * 3, (0, 0, 0))


def test_operands_that_a_protocol_cannot_take_are_refused() -> None:
    with pytest.raises(ProgramError):
        cost_of("and", [BITS, secret_bits((3,))], {}, CONFIG)


def test_a_protocol_is_counted_once_and_a_new_one_of_the_same_op_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    t = Type((4,), "int", form=SUM3)
    first = cost_of("reshare", [t], {}, CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr(cost, "trace_party", None)  # would be called to count again
        assert cost_of("reshare", [t], {}, CONFIG) is first
    again = replace(PROTOCOLS["and"], run=lambda me, held, types, attrs: and_planes(me, and_planes(me, *held), held[0]))
    monkeypatch.setitem(PROTOCOLS, "and", again)
    assert cost_of("and", [BITS, BITS], {}, CONFIG) == Counted(2, ((0, 0, 32), (32, 0, 0), (0, 32, 0)), (4, 4, 4))


def test_a_run_sends_and_draws_what_was_counted() -> None:
    x = np.arange(65) % 3 == 0
    ran = run_protocol("and", [BITS, BITS], [x, ~x])
    found = cost_of("and", [BITS, BITS], {}, CONFIG)
    assert (ran.cost, ran.mask_words) == (ran.compiled_cost, ran.scheduled_words) == (found.cost, found.mask_words)
