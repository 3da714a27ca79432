"""`check_protocol` finds a wrong result, a wrong cost and a wrong mask, in a registered protocol and in a new one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from jax import lax

from jmpc.config import Config
from jmpc.families.protocol import Cost
from jmpc.families.replicated3.lowering.predict import even, plane_bytes
from jmpc.families.replicated3.protocols.logic import and_planes
from jmpc.families.replicated3.protocols.share import BITS, zero_share
from jmpc.ir.types import Type, secret_bits
from jmpc.party.cost import Counted, counted
from jmpc.ring.bits import words
from jmpc.testing import bit_arrays, protocol_run, run_protocol, shapes
from jmpc.testing.protocol_check import Inputs, check_protocol

ONE = (Config(),)


@st.composite
def two_bits(draw: Any, config: Config) -> Inputs:
    shape = draw(shapes(most=200))
    return Inputs([secret_bits(shape)] * 2, [draw(bit_arrays(shape)), draw(bit_arrays(shape))])


def one_plane(types: Any, attrs: Any, config: Config) -> Cost:
    return even(1, plane_bytes(types[0].size))


def one_zero_share(types: Any, attrs: Any, config: Config) -> tuple[int, int, int]:
    return (words(types[0].size),) * 3


def and_function(me: Any, held: Any, types: Any, attrs: Any) -> Any:
    return and_planes(me, held[0], held[1])


def or_function(me: Any, held: Any, types: Any, attrs: Any) -> Any:
    """a or b = not (not a and not b)."""
    x, y = (_not(me, h) for h in held)
    return _not(me, and_planes(me, x, y))


def _not(me: Any, x: Any) -> Any:
    return tuple(lax.bitwise_not(a) if (me.index, n) in ((0, 0), (2, 1)) else a for n, a in enumerate(x))


def test_a_right_protocol_passes() -> None:
    check_protocol("and", np.logical_and, two_bits, configs=ONE)
    check_protocol(and_function, np.logical_and, two_bits, cost=one_plane, mask_words=one_zero_share, configs=ONE)
    check_protocol(or_function, np.logical_or, two_bits, cost=one_plane, mask_words=one_zero_share, configs=ONE)


def test_a_wrong_result_is_found_and_shrunk() -> None:
    """Of the smallest shape on which the two differ, with one bit that shows it."""
    with pytest.raises(AssertionError) as caught:
        check_protocol("and", np.logical_or, two_bits, configs=ONE)
    text = str(caught.value)
    assert "and: " in text
    assert "result 0 is not that of the reference" in text
    assert "values = [np.array(" in text
    assert "shape=()" in text
    assert "shape=(7, 9)" not in text


def test_the_snippet_of_a_failure_runs() -> None:
    with pytest.raises(AssertionError) as caught:
        check_protocol(and_function, np.logical_or, two_bits, configs=ONE)
    text = str(caught.value)
    scope: dict[str, Any] = {}
    exec(text[text.index("import numpy") :].split("Failing test case")[0], scope)  # noqa: S102
    assert scope["ran"].cost.rounds == 1
    np.testing.assert_array_equal(scope["ran"].results[0], np.logical_and(*scope["values"]))


@pytest.mark.parametrize("stated", [even(2, 8), even(1, 8), Cost(1, (8, 8, 0))])
def test_a_wrong_cost_is_found(stated: Cost) -> None:
    """The formula forgets a round, that bits are packed, or a party."""

    def wrong(types: Any, attrs: Any, config: Config) -> Cost:
        size = types[0].size
        return dataclasses.replace(stated, bytes_sent=tuple(n * size for n in stated.bytes_sent))

    with pytest.raises(AssertionError, match=r"counted Cost\(.*, stated Cost\("):
        check_protocol("and", None, two_bits, cost=wrong, configs=ONE)


def test_a_wrong_number_of_mask_words_is_found() -> None:
    with pytest.raises(AssertionError, match=r"drew \(1, 1, 1\) words, stated \(0, 1, 1\)"):
        check_protocol("and", None, two_bits, mask_words=lambda t, a, c: (0, *one_zero_share(t, a, c)[1:]), configs=ONE)


def test_a_mask_drawn_in_vain_is_found() -> None:
    def wasteful(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        zero_share(me, (5,), BITS)
        return and_planes(me, held[0], held[1])

    with pytest.raises(AssertionError, match="words, and the compiler sets"):
        check_protocol(wasteful, np.logical_and, two_bits, configs=ONE)


def test_a_cost_that_the_compiler_counts_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(traces: Any) -> Counted:
        found = counted(traces)
        return dataclasses.replace(found, rounds=found.rounds + 1)

    monkeypatch.setattr(protocol_run, "counted", wrong)
    with pytest.raises(AssertionError, match=r"counted Cost\(.*, and the compiler has Cost\("):
        check_protocol("and", None, two_bits, configs=ONE)


def test_parties_that_do_not_meet_are_found() -> None:
    def silent(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        return held[0] if me.index == 2 else and_planes(me, held[0], held[1])

    with pytest.raises(AssertionError, match="a party ends before the others"):
        check_protocol(silent, np.logical_and, two_bits, configs=ONE)


def test_copies_of_a_share_that_differ_are_found() -> None:
    def torn(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        return (held[0][0], lax.bitwise_not(held[0][1])) if me.index == 1 else held[0]

    with pytest.raises(AssertionError, match="not equal"):
        check_protocol(torn, lambda x, y: x, two_bits, configs=ONE)


def test_a_new_protocol_may_have_several_results_of_other_types() -> None:
    def both(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        return held[0], held[1][0]

    @st.composite
    def numbers(draw: Any, config: Config) -> Inputs:
        t = Type((3,), "int", limit=9)
        return Inputs([t, t], [draw(st.just(np.arange(3))), np.arange(3) * 2])

    check_protocol(
        both,
        lambda x, y: [x, y],
        numbers,
        results=lambda types, attrs: [types[0], types[1].with_(form="sum3")],
        cost=lambda types, attrs, config: Cost(0, (0, 0, 0)),
    )


def test_a_new_protocol_needs_a_reference() -> None:
    with pytest.raises(ValueError, match="needs a reference"):
        check_protocol(and_function, None, two_bits)


def test_what_one_run_shows() -> None:
    x, y = np.array([True, True, False]), np.array([True, False, False])
    ran = run_protocol("and", [secret_bits((3,))] * 2, [x, y], seed=3)
    np.testing.assert_array_equal(ran.results[0], [True, False, False])
    assert ran.cost == even(1, 8)
    assert ran.mask_words == ran.scheduled_words == (1, 1, 1)
    assert [m.sender for m in ran.report.messages] == [1, 2, 0]
