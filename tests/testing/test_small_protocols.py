"""Small protocols, private and not: what the structural and the statistical level say of each.

In each, party 1 sends party 0 a few arrays, made of its shares x_1 and x_2 and of masks of the key of parties 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmpc.config import Config
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.program import Program
from jmpc.testing.build import one_op
from jmpc.testing.privacy.everywhere import compared
from jmpc.testing.privacy.report import PrivacyError
from jmpc.testing.privacy.structural import check_private_structural
from tests.testing.privacy_cases import num

Array = Any
Sent = Callable[[Any, Array, Array, Callable[..., Array]], Array | list[Array]]


def table(sent: Sent) -> dict[str, Any]:
    """`split`, with what party 1 sends."""

    def run(me: Any, held: Sequence[Any], types: Any, attrs: Any) -> Any:
        (x, y), shape = held[0], types[0].shape
        drawn: list[tuple[int, ...]] = []

        def mask(times: int = 1) -> Array:
            drawn.append((times * x.size,) if times > 1 else shape)
            return me.mask("nxt", drawn[-1])

        made = sent(me, x, y, mask)  # traced by all, so that all know how many arrays there are, and of what shape
        made = [me.ring.reduce(a) for a in (made if isinstance(made, list) else [made])]
        for array in made:
            spec = (tuple(array.shape), array.dtype)
            if me.index == 1:
                me.exchange(to_prv=me.staged(array))
            else:
                me.exchange(**({"from_nxt": spec} if me.index == 0 else {}))
        return real(me, held, types, attrs)

    real = PROTOCOLS["split"].run
    return {**PROTOCOLS, "split": replace(PROTOCOLS["split"], run=OneKey(run))}


class OneKey:
    """Runs a protocol for parties whose masks are all of the key of parties 1 and 2; party 0 gets zeros for them."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run

    def __call__(self, me: Any, *rest: Any) -> Any:
        return self.run(Keyed(me), *rest)


class Keyed:
    def __init__(self, me: Any) -> None:
        self.me = me

    def __getattr__(self, name: str) -> Any:
        return getattr(self.me, name)

    def mask(self, side: str, shape: tuple[int, ...]) -> Array:
        if self.me.index == 0:
            return lax.full(shape, self.me.ring.dtype.type(0), self.me.ring.dtype)
        return self.me.mask("nxt" if self.me.index == 1 else "prv", shape)


def const(me: Any, like: Array, value: int) -> Array:
    return me.ring.full(like, value)


def flat(x: Array) -> Array:
    return lax.reshape(x, (x.size,))


def part(x: Array, start: int, stop: int, shape: tuple[int, ...]) -> Array:
    return lax.reshape(lax.slice(x, (start,), (stop,)), shape)


def of_one_mask(me: Any, x: Array, y: Array, mask: Any) -> list[Array]:
    m = mask(2)
    return [y + part(m, 0, y.size, y.shape), x + part(m, y.size, 2 * y.size, y.shape)]


def of_overlapping_parts(me: Any, x: Array, y: Array, mask: Any) -> list[Array]:
    m, n = mask(2), y.size
    return [y + part(m, 0, n, y.shape), x + part(m, n - 1, 2 * n - 1, y.shape)]


def twice(me: Any, x: Array, y: Array, mask: Any) -> list[Array]:
    m = mask()
    return [y + m, m + mask()]


def told(me: Any, x: Array, y: Array, mask: Any) -> list[Array]:
    m, n = mask(), mask()
    return [y + m + n, m + n]


def in_a_circle(me: Any, x: Array, y: Array, mask: Any) -> list[Array]:
    m, n, q = mask(), mask(), mask()
    return [y + m + n, n + q, q - m]


def half_of_a_mask(me: Any, x: Array, y: Array, mask: Any) -> list[Array]:
    m = mask()
    return [y + m, x + (m >> const(me, m, 1))]


def chosen(me: Any, x: Array, y: Array, mask: Any) -> Array:
    m = mask()
    return lax.select(lax.eq(y, const(me, y, 0)), x + m, y + m)


def largest(me: Any, x: Array, y: Array, mask: Any) -> Array:
    return lax.max(y + mask(), y)


def sum_of_masks(me: Any, x: Array, y: Array, mask: Any) -> Array:
    total = lax.reduce(mask(), me.ring.dtype.type(0), lax.add, tuple(range(y.ndim)))
    return y + lax.broadcast_in_dim(total, y.shape, ())


def backwards(me: Any, x: Array, y: Array, mask: Any) -> list[Array]:
    m = mask()
    return [y + m, y + lax.rev(m, tuple(range(m.ndim)))]


PRIVATE: dict[str, Sent] = {
    "masked": lambda me, x, y, mask: y + mask(),
    "masked, and taken away": lambda me, x, y, mask: mask() - y,
    "masked by three times a mask": lambda me, x, y, mask: y + mask() * const(me, y, 3),
    "masked, times five": lambda me, x, y, mask: (y + mask()) * const(me, y, 5),
    "masked by exclusive or": lambda me, x, y, mask: y ^ mask(),
    "the low bit of what is masked": lambda me, x, y, mask: (y + mask()) & const(me, y, 1),
    "masked by running sums": lambda me, x, y, mask: lax.reshape(flat(y) + lax.cumsum(flat(mask())), y.shape),
    "a choice of two under one mask": chosen,
    "two messages under two masks": twice,
    "two messages under parts of one mask": of_one_mask,
    "what the receiver has": lambda me, x, y, mask: x,
    "a number": lambda me, x, y, mask: const(me, x, 7),
}
LEAKING: dict[str, Sent] = {
    "bare": lambda me, x, y, mask: y,
    "masked by twice a mask": lambda me, x, y, mask: y + mask() * const(me, y, 2),
    "masked by a mask times a share": lambda me, x, y, mask: y + mask() * y,
    "a mask that cancels": lambda me, x, y, mask: (lambda m: y + m - m)(mask()),
    "a mask twice": lambda me, x, y, mask: (lambda m: y + m + m)(mask()),
    "a sum less an exclusive or": lambda me, x, y, mask: (lambda m: (y + m) - (y ^ m))(mask()),
    "only bits of a mask": lambda me, x, y, mask: y & mask(),
    "the larger of two": largest,
    "a mask and its sum with another, told": told,
    "masks that cancel in a circle": in_a_circle,
    "a mask and half of it": half_of_a_mask,
    "parts of one mask that overlap": of_overlapping_parts,
    "one mask for all elements": sum_of_masks,
    "one mask, forwards and backwards": backwards,
    "two shares under masks that sum to an even number": lambda me, x, y, mask: (lambda m, n: [y + m + n, x + m - n])(
        mask(), mask()
    ),
}
# A product with an odd number that is no constant is a bijection, which the rules of pads do not see.
NOT_PROVED: dict[str, Sent] = {
    "a mask times an odd number": lambda me, x, y, mask: mask() * (y * const(me, y, 2) + const(me, y, 1)),
}


def program(shape: tuple[int, ...], config: Config) -> Program:
    return one_op("split", [num(shape)], config)


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_protocol_is_proved_and_nothing_is_found(name: str) -> None:
    check_private_structural(program((4,), Config()), protocols=table(PRIVATE[name]))
    compared(program, table(PRIVATE[name]))


@pytest.mark.parametrize("name", LEAKING)
def test_a_leak_is_refused_and_found(name: str) -> None:
    with pytest.raises(PrivacyError) as refused:
        check_private_structural(program((4,), Config()), protocols=table(LEAKING[name]))
    with pytest.raises(PrivacyError) as found:
        compared(program, table(LEAKING[name]))
    assert refused.value.observer == found.value.observer == 0


@pytest.mark.parametrize("name", NOT_PROVED)
def test_what_is_private_and_not_proved(name: str) -> None:
    compared(program, table(NOT_PROVED[name]))
    with pytest.raises(PrivacyError):
        check_private_structural(program((4,), Config()), protocols=table(NOT_PROVED[name]))


def test_jnp_may_be_used() -> None:
    """Numbers join arrays in its jaxprs; the machines of all levels compute them."""
    sent = table(lambda me, x, y, mask: jnp.where(y == y, (y + mask()) * np.asarray(3, me.ring.dtype), 5))
    compared(program, sent)
