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
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.types import Type, secret_bits
from jmpc.party.cost import Counted, counted
from jmpc.ring.bits import words
from jmpc.testing import Inputs, bit_arrays, check_protocol, run_protocol, shapes
from jmpc.testing.simulator import protocol_run

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


def shown_again(failure: str) -> str:
    """How the script of a failure fails."""
    script = failure[failure.index("import numpy") :].split("Failing test case")[0]
    with pytest.raises(AssertionError) as caught:
        exec(script, {})  # noqa: S102
    return str(caught.value).split("to see it again")[0]


def wrong_or(me: Any, held: Any, types: Any, attrs: Any) -> Any:
    return or_function(me, held, types, attrs), and_function(me, held, types, attrs)


def both_results(types: Any, attrs: Any) -> Any:
    return [types[0], types[0]]


def twice_or(x: Any, y: Any) -> Any:
    return [x | y, x | y]


def two_rounds(types: Any, attrs: Any, config: Config) -> Cost:
    return even(2, plane_bytes(types[0].size))


BROKEN = {**PROTOCOLS, "and": dataclasses.replace(PROTOCOLS["and"], run=or_function)}


@pytest.mark.parametrize(
    ("protocol", "reference", "options"),
    [
        (and_function, np.logical_or, {}),
        (wrong_or, twice_or, {"results": both_results}),
        ("and", None, {"protocols": BROKEN}),
        (and_function, np.logical_and, {"cost": two_rounds}),
        ("and", np.logical_and, {"mask_words": lambda types, attrs, config: (0, 0, 0)}),
    ],
)
def test_the_script_of_a_failure_fails_in_the_same_way(protocol: Any, reference: Any, options: dict[str, Any]) -> None:
    """With its results, protocols, cost and masks: whatever was asked."""
    with pytest.raises(AssertionError) as caught:
        check_protocol(protocol, reference, two_bits, configs=ONE, **options)
    text = str(caught.value)
    assert shown_again(text) == text.split("to see it again")[0]


def test_an_error_inside_a_protocol_names_its_line() -> None:
    """And is none of JAX's own."""

    def misshapen(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        return lax.concatenate([held[0][0], held[0][0][None]], 0)

    with pytest.raises(AssertionError, match="misshapen: the protocol raised an error while it was traced") as caught:
        check_protocol(misshapen, np.logical_and, two_bits, configs=ONE)
    assert f"--> {__file__}:" in str(caught.value)
    assert "(misshapen)" in str(caught.value)


def test_results_that_are_not_of_their_types_are_refused() -> None:
    def one_summand(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        return held[0][0]

    with pytest.raises(AssertionError, match=r"party 0 returns uint64\[1\][\s\S]*it holds uint64\[1\], uint64\[1\]"):
        check_protocol(one_summand, lambda x, y: x, two_bits, configs=ONE)


def test_values_of_one_shape_are_traced_once() -> None:
    traced: list[Any] = []

    def counted(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        traced.append((me.index, types[0].shape))
        return and_planes(me, held[0], held[1])

    check_protocol(counted, np.logical_and, lambda config: two_bits_of((3,)), configs=ONE)
    assert traced == [(party, (3,)) for party in range(3)]


@st.composite
def two_bits_of(draw: Any, shape: tuple[int, ...]) -> Inputs:
    return Inputs([secret_bits(shape)] * 2, [draw(bit_arrays(shape)), draw(bit_arrays(shape))])


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

    with pytest.raises(AssertionError, match="different copies of a summand"):
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
