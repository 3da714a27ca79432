"""The parts of protocols that are too large to enumerate whole: what they open, exactly private by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from jmpc.families.replicated3.protocols.share import Group
from jmpc.families.replicated3.protocols.shuffle import TOWARD_0, Roles, open_halves, shuffle
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.types import Type
from jmpc.testing.build import config_of
from jmpc.testing.privacy.exact import Exact, check_private_exact
from jmpc.testing.privacy.report import PrivacyError
from tests.testing.privacy_cases import CASES, OPENED_ORDER, num

Array = Any


def known_to(me: Any, roles: Roles, x: tuple[Array, Array], group: Group) -> list[Array] | None:
    """The halves that `first` and `second` hold of a replicated sharing."""
    if me.index == roles.first:
        return [group.reduce(group.add(*x))]
    lacks_second = roles.first == roles.second + 1
    return [group.reduce(x[0] if lacks_second else x[1])] if me.index == roles.second else None


def opened_order(roles: Roles, opens: Callable[..., Array] = open_halves) -> Exact:
    """Two places in either order, shared; shuffled and opened as `permute` and `radix_rank` do it."""

    def run(me: Any, held: list[Any], types: Sequence[Type], attrs: Any) -> Array:
        shape, group = types[0].shape, Group(me.ring.dtype, 1)
        halves = shuffle(me, roles, known_to(me, roles, held[0], group), shape, [group])
        opens(me, roles, None if halves is None else halves[0], shape, group)
        return me.ring.full(held[0][0], 0)

    table = {**PROTOCOLS, "to_sum3": replace(PROTOCOLS["to_sum3"], run=run)}
    return check_private_exact(
        "to_sum3", lambda shape: [num((*shape, 2))], config=config_of(2, 0), protocols=table, orders=(0,)
    )


PARTS: dict[str, Callable[[], list[Exact]]] = {
    OPENED_ORDER: lambda: [opened_order(TOWARD_0), opened_order(Roles(0, 1, 2))],
}


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_part_is_exactly_private(name: str) -> None:
    assert all(made.runs == 1 << 18 for made in PARTS[name]())


def test_parts_are_known() -> None:
    named = {part for cases in CASES.values() for case in cases for part in case.parts}
    assert named <= {*PROTOCOLS, *PARTS}


def uncovered(me: Any, roles: Roles, half: Array | None, shape: tuple[int, ...], group: Group) -> Array:
    """`open_halves` that sends the first party the halves as they are."""
    covers = Bare(me)
    return open_halves(covers, roles, half, shape, group)


class Bare:
    """A party whose masks are zero."""

    def __init__(self, me: Any) -> None:
        self.me = me

    def __getattr__(self, name: str) -> Any:
        return getattr(self.me, name)

    def mask(self, neighbour: str, shape: tuple[int, ...], dtype: Any = None) -> Array:
        words = self.me.mask(neighbour, shape, dtype)
        return words ^ words


def test_halves_without_a_cover_tell_the_first_party_more_than_their_sum() -> None:
    with pytest.raises(PrivacyError) as found:
        opened_order(TOWARD_0, uncovered)
    assert found.value.observer == TOWARD_0.first
