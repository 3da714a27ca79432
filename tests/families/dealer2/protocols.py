"""The protocols: products from dealt triples, truncation from a dealt mask, and what leaves for a receiver.

Party 2 knows the keys that it has with parties 0 and 1, so what they draw from these is dealt without a message; what
must fit is sent to party 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jax import lax

from jmpc.config import Config
from jmpc.families.family import Party
from jmpc.families.protocol import Held, Table
from jmpc.ir.ops.attributes import CUT, DOT
from jmpc.ir.ops.operands import ARITH_NUMBER
from jmpc.ir.ops.products import contract_axes, dot_type, mul_type, multiply
from jmpc.ir.ops.record import BOUNDED
from jmpc.ir.ops.scaling import cut, truncated
from jmpc.ir.types import Type
from jmpc.ring import product

Array = Any
Times = Callable[[Array, Array], Array]
DEALER = 2
PROTOCOLS = Table("dealer2")
protocol = PROTOCOLS.protocol
BEAVER = "Beaver, CRYPTO 1991; triples by a dealer as in Riazi et al. 2018 (Chameleon), section 3.2"


def dealt(me: Party, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """A uniform value that party 2 alone knows: a summand at each of parties 0 and 1, both at party 2. No message."""
    peers = (0, 1) if me.index == DEALER else (DEALER,)
    return tuple(me.mask(peer, shape) for peer in peers)


def given(me: Party, value: Array | None, shape: tuple[int, ...]) -> Array | None:
    """Party 2 shares a value that it knows: party 0 draws its summand, party 1 is sent the other, which is uniform to
    it. `1 round; one element from party 2`."""
    spec = (shape, me.ring.dtype)
    if me.index == DEALER:
        me.exchange({1: me.ring.reduce(lax.sub(value, me.mask(0, shape)))}, {})
        return None
    got = me.exchange({}, {DEALER: spec} if me.index == 1 else {})
    return got[DEALER] if me.index == 1 else me.mask(DEALER, shape)


def swapped(me: Party, summand: Array | None, shape: tuple[int, ...]) -> Array | None:
    """What parties 0 and 1 have of a value, opened to both. `1 round; one element from each`."""
    if me.index == DEALER:
        me.exchange({}, {})
        return None
    other, mine = 1 - me.index, me.ring.reduce(summand)
    got = me.exchange({other: mine}, {other: (shape, me.ring.dtype)})
    return me.ring.reduce(lax.add(mine, got[other]))


def _beaver(me: Party, held: Sequence[Held], types: Sequence[Type], times: Times, shape: tuple[int, ...]) -> Held:
    """z = c + d b + e a + d e, for a dealt a, b and c = a b, opened d = x - a and e = y - b.

    Security: d and e are uniform to parties 0 and 1, who know one summand of a and of b; c comes as in `given`. Party 2
    receives nothing.  Error: none.  Cost: 1 round; two elements of each operand, one of the result from party 2."""
    a, b = (dealt(me, t.shape) for t in types)
    if me.index == DEALER:
        given(me, times(lax.add(*a), lax.add(*b)), shape)
        for t in types:
            swapped(me, None, t.shape)
        return ()
    c = given(me, None, shape)
    d, e = (swapped(me, lax.sub(x, mask), t.shape) for x, mask, t in zip(held, (a[0], b[0]), types, strict=True))
    z = lax.add(c, lax.add(times(d, b[0]), times(a[0], e)))
    return lax.add(z, times(d, e)) if me.index == 0 else z


@protocol("beaver_mul", takes=(ARITH_NUMBER, ARITH_NUMBER), gives=mul_type, means=multiply, source=BEAVER)
def beaver_mul(me: Party, held: Sequence[Held], types: Sequence[Type], attrs: Any) -> Held:
    return _beaver(me, held, types, lax.mul, types[0].shape)


@protocol(
    "beaver_dot",
    takes=(ARITH_NUMBER, ARITH_NUMBER),
    attrs=DOT,
    gives=dot_type,
    means=contract_axes,
    source=BEAVER,
)
def beaver_dot(me: Party, held: Sequence[Held], types: Sequence[Type], attrs: Mapping[str, Any]) -> Held:
    def times(x: Array, y: Array) -> Array:
        return product.dot_general(x, y, attrs["dims"], k=me.ring.k, form=me.product_form)

    return _beaver(me, held, types, times, dot_type(types, attrs, Config())[0].shape)


@protocol(
    "truncate_dealt",
    takes=(ARITH_NUMBER,),
    attrs={"bits": CUT},
    gives=truncated,
    means=cut,
    traits=(BOUNDED,),
    source="Escudero, Ghosh, Keller, Rachuri, Scholl, CRYPTO 2020, section 5; mask and its parts by a dealer",
)
def truncate_dealt(me: Party, held: Sequence[Held], types: Sequence[Type], attrs: Mapping[str, Any]) -> Held:
    """Idea: open z + r for a dealt r, z made positive; shift it and r apart, and add 2^(k-m) where z + r wrapped, which
    is where r has its top bit and the sum has not.
    Security: z + r is uniform to parties 0 and 1, who know one summand of r; what is dealt comes as in `given`.
    Needs: |x| < 2^(k-2).  Error: floor plus e, e in {0, 1}.  Cost: 1 round; one element from each, two from party 2."""
    ring, bits, shape = me.ring, attrs["bits"], types[0].shape
    r = dealt(me, shape)
    if me.index == DEALER:
        whole = ring.reduce(lax.add(*r))
        given(me, ring.shift_right(whole, bits), shape)
        given(me, ring.bit(whole, ring.k - 1), shape)
        swapped(me, None, shape)
        return ()
    high, top = given(me, None, shape), given(me, None, shape)
    z = lax.add(held[0], ring.full(held[0], 1 << (ring.k - 2))) if me.index == 0 else held[0]
    c = swapped(me, lax.add(z, r[0]), shape)
    assert c is not None
    wrapped = lax.mul(lax.sub(ring.full(c, 1), ring.bit(c, ring.k - 1)), top)
    mine = lax.sub(ring.shift_left(wrapped, ring.k - bits), high)
    if me.index == 0:
        known = lax.sub(ring.shift_right(c, bits), ring.full(c, 1 << (ring.k - 2 - bits)))
        mine = lax.add(mine, known)
    return ring.reduce(mine)


def reveal(me: Party, held: Held, t: Type) -> list[Array]:
    """Each of the two sends its summand under a word that the other has too, with the other sign."""
    if me.index == DEALER:
        return []
    word = me.mask(1 - me.index, t.shape)
    return [lax.add(held, word) if me.index == 0 else lax.sub(held, word)]
