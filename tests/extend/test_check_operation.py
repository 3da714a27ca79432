"""One call checks an op from outside: what is right passes, and each fault that is planted is found where it should."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from jax import lax

from jmpc.extend import Cost, Operation, bit, integer, protocol
from jmpc.families.replicated3.lowering.predict import even, plane_bytes
from jmpc.families.replicated3.protocols.logic import and_planes
from jmpc.families.replicated3.protocols.share import numbers, reshare
from jmpc.testing import PrivacyError, check_operation

FEW: dict[str, int] = {"examples": 12, "most_runs": 1 << 18}


def test_an_op_that_is_right_is_checked_at_all_levels(outside: ModuleType) -> None:
    found = check_operation(outside.small_is_zero, **FEW)
    assert found.cost
    assert found.secured == 3
    assert {e.k for e in found.exact} == {4, 6, 7}
    assert len(found.structural) > 50
    assert len(found.statistical) == 4
    assert found.unreached == ()
    assert "tests.extend.outside, code " + outside.small_is_zero.origin.digest[:16] in str(found)
    assert "| `small_is_zero` | 12 uses, at the cost stated; 3 as secure functions | 3 messages, 3 masks;" in str(found)


@pytest.mark.parametrize("name", ["twice_the_sum", "either_pair", "random_like"])
def test_other_kinds_of_ops_are_checked(outside: ModuleType, name: str) -> None:
    found = check_operation(getattr(outside, name), examples=12, most_runs=1 << 21)
    assert found.exact
    assert found.statistical


def test_an_op_that_shows_what_it_takes_is_refused(outside: ModuleType) -> None:
    with pytest.raises(PrivacyError) as found:
        check_operation(outside.shown, **FEW)
    assert any("shown, declared at" in note and "outside.py" in note for note in found.value.__notes__)


# --- planted faults


def declared(run: Any, **said: Any) -> Operation:
    whole: dict[str, Any] = {
        "takes": [bit(), bit()],
        "gives": [bit()],
        "plain": lambda x, y: x & y,
        "reference": lambda ring, x, y: x & y,
        "source": "a planted fault",
        "name": "planted",
    }
    return protocol(**{**whole, **said})(run)


def a_product(me: Any, held: Any, types: Any, attrs: Any) -> Any:
    return and_planes(me, held[0], held[1])


def test_what_they_are_planted_in_is_right(outside: ModuleType) -> None:
    check_operation(declared(a_product, cost=lambda t, a, c: even(1, plane_bytes(t[0].size))), **FEW)


def test_a_wrong_result_at_two_words(outside: ModuleType) -> None:
    def wrong(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        x, y = and_planes(me, held[0], held[1])
        return (x, y) if types[0].size <= 64 else (lax.bitwise_or(x, x), lax.bitwise_and(y, lax.full_like(y, 1)))

    with pytest.raises(AssertionError, match="planted") as found:
        check_operation(declared(wrong), examples=60)
    assert "import tests.extend.test_check_operation" in str(found.value)


def test_a_wrong_result_of_one_number(outside: ModuleType) -> None:
    """At the end of the range alone."""

    def reference(ring: Any, x: Any) -> Any:
        return np.where(x == 12, 0, 2 * x)

    def doubled(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        return tuple(lax.add(part, part) for part in held[0])

    said = {"takes": [integer(within=12)], "gives": [integer(within=24)], "plain": lambda x: 2 * x}
    with pytest.raises(AssertionError, match="result 0 is not that of the reference, but off by 24 units"):
        check_operation(declared(doubled, reference=reference, **said), examples=40)


def product(me: Any, held: Any, types: Any, attrs: Any) -> Any:
    (a, b), (c, d) = held
    return reshare(me, a * c + a * d + b * c, numbers(me.ring))


PRODUCT: dict[str, Any] = {"plain": lambda x, y: x * y, "reference": lambda ring, x, y: x * y}


def test_a_product_of_integers_is_right_to_the_ends_of_the_ring(outside: ModuleType) -> None:
    """The largest are odd, and no float64."""
    check_operation(declared(product, takes=[integer(), integer()], gives=[integer()], **PRODUCT), **FEW)


def test_a_result_larger_than_it_says(outside: ModuleType) -> None:
    said = {"takes": [integer(within=12), integer(within=12)], "gives": [integer(within=143)]}
    with pytest.raises(AssertionError, match="result 0 is as large as 144, and gives= says within=143"):
        check_operation(declared(product, **said, **PRODUCT), **FEW)


def test_what_is_wrong_at_an_end_is_shown_alone(outside: ModuleType) -> None:
    """In a script of that one use, not of all that were tried beside it."""

    def reference(ring: Any, x: Any) -> Any:
        return np.where(x == -12, 0, x)

    with pytest.raises(AssertionError, match="off by 12 units") as found:
        check_operation(
            declared(lambda me, held, types, attrs: held[0], reference=reference, takes=[integer(within=12)],
                     gives=[integer()], plain=lambda x: x),
            **FEW,
        )  # fmt: skip
    assert "types = [Type(shape=(1,)," in str(found.value)
    assert "-12" in str(found.value)


def test_a_plain_meaning_that_is_another(outside: ModuleType) -> None:
    with pytest.raises(AssertionError, match="plain= and reference= differ"):
        check_operation(declared(a_product, plain=lambda x, y: x | y), **FEW)


def test_a_wrong_cost(outside: ModuleType) -> None:
    with pytest.raises(AssertionError, match=r"counted Cost\(rounds=1"):
        check_operation(declared(a_product, cost=lambda t, a, c: Cost(1, (8, 8, 8))), **FEW)


def test_copies_that_differ(outside: ModuleType) -> None:
    def apart(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        x, y = and_planes(me, held[0], held[1])
        return (x, y) if me.index else (lax.bitwise_not(x), y)

    with pytest.raises(AssertionError, match="copies"):
        check_operation(declared(apart), **FEW)


def test_a_mask_that_is_left_out(outside: ModuleType) -> None:
    def bare(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        (xa, xb), (ya, yb) = held
        z = (xa & ya) ^ (xa & yb) ^ (xb & ya)
        return z, me.exchange(to_prv=z, from_nxt=(z.shape, z.dtype))

    with pytest.raises(PrivacyError) as found:
        check_operation(declared(bare), **FEW)
    assert found.value.level == "structural"


def test_a_leak_of_one_ring_alone(outside: ModuleType) -> None:
    def narrow(me: Any, held: Any, types: Any, attrs: Any) -> Any:
        (xa, xb), (ya, yb) = held
        z = me.ring.reduce(xa * ya + xa * yb + xb * ya)
        if me.ring.k == 13:
            return z, me.exchange(to_prv=z, from_nxt=(z.shape, z.dtype))
        return reshare(me, z, numbers(me.ring))

    said = {"takes": [integer(within=1)] * 2, "gives": [integer(within=1)], "plain": lambda x, y: x * y}
    with pytest.raises(PrivacyError) as found:
        check_operation(declared(narrow, reference=lambda ring, x, y: x * y, **said), **FEW)
    assert "a ring of 13 bits" in found.value.__notes__[0]
