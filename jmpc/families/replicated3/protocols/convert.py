"""From bits to numbers: random bits in both forms, bit to number, bit times number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jax import lax

from jmpc._types import Array, Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.logic import xor_planes
from jmpc.families.replicated3.protocols.multiply import summed, terms
from jmpc.families.replicated3.protocols.share import (
    BITS,
    Group,
    combine,
    deal,
    dealt,
    each,
    known_part,
    numbers,
    on_second,
    open_words,
    own_half,
    reshare,
)
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import SIZES
from jmpc.ir.ops.logic import as_number, chosen, number_type
from jmpc.ir.ops.operands import ARITH_NUMBER, MASK_BIT, MASK_INT, SECRET_BIT
from jmpc.ir.ops.random import zeros
from jmpc.ir.ops.record import DABIT, DRAWS, SAME_SHAPES
from jmpc.ir.types import ARITH, Type, dabit_halves
from jmpc.ring import bits as packed
from jmpc.ring.bits import WORD, words


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _flip(c: Array, x: Array) -> Array:
    """(1 - 2c) x for a bit c."""
    both = lax.mul(c, x)
    return lax.sub(x, lax.add(both, both))


def bit_to_number(me: Me, b: Pair, shape: tuple[int, ...], group: Group) -> Pair:
    """b = c ^ u, c at parties 0 and 1, u at party 2, which deals u as a number; b = c + (1 - 2c) u.
    `2 rounds; one element from each party`."""
    known = packed.unpack(known_part(me, b, BITS), shape, group.dtype)
    half = dealt(me, deal(me, known if me.index == 2 else None, shape, group))
    if half is None:
        return combine(me, None, shape, group)
    mine = _flip(known, half)
    return combine(me, lax.add(mine, known) if me.index == 0 else mine, shape, group)


def random_bit(me: Me, shape: tuple[int, ...], group: Group) -> tuple[Pair, Pair]:
    """A random bit that no party knows, packed and as a number: the exclusive or of three pseudo-random bits, each
    unknown to one party. `2 rounds; one element from each party`."""
    width = words(_size(shape))
    b = me.mask("prv", (width,), WORD), me.mask("nxt", (width,), WORD)
    return b, bit_to_number(me, b, shape, group)


def bit_by_dabit(me: Me, b: Pair, rho_bits: Pair, rho: Pair, shape: tuple[int, ...], group: Group) -> Pair:
    """Open d = b ^ rho, uniform since rho is; b = d + (1 - 2d) rho. `1 round; a bit each`."""
    d = _open_difference(me, b, rho_bits, shape, group)
    shared = on_second(me, d, lax.full_like(d, 0))
    return lax.add(_flip(d, rho[0]), shared[0]), lax.add(_flip(d, rho[1]), shared[1])


def _halves(types: Sequence[Type], attrs: Mapping[str, Any], config: Any) -> tuple[Type, ...]:
    """A random bit that no party knows, as a bit and as a number."""
    return dabit_halves(attrs["shape"])


def _chosen_type(types: Sequence[Type], attrs: Mapping[str, Any], config: Any) -> tuple[Type, ...]:
    return (types[-1].with_(form=ARITH),)


@protocol(
    "bit_to_arith",
    takes=(SECRET_BIT,),
    gives=number_type,
    means=as_number,
    source="two-party view of a boolean sharing; as MP-SPDZ `unsplit`",
)
def bit_to_arith(me: Me, held: list[Pair], types: Sequence[Type], attrs: Any) -> Pair:
    """Security: party 1 sees u under the key of 2 and 0, parties 0 and 1 each other's masked half.
    Error: none.  Cost: 2 rounds, 3k bits."""
    return bit_to_number(me, held[0], types[0].shape, numbers(me.ring))


@protocol(
    "dabit",
    takes=(),
    attrs={"shape": SIZES},
    gives=_halves,
    means=zeros,
    traits=(DRAWS,),
    source="Rotaru, Wood 2019/207 (the notion); bit by pseudo-random sharing",
)
def dabit(me: Me, held: list[Any], types: Any, attrs: Mapping[str, Any]) -> tuple[Pair, Pair]:
    """A random bit as packed bits and as a number. It depends on no input, so its rounds run beside others.

    Security: see `random_bit`.  Cost: 2 rounds, 3k bits."""
    return random_bit(me, attrs["shape"], numbers(me.ring))


@protocol(
    "bit_to_arith_dabit",
    takes=(SECRET_BIT, MASK_BIT, MASK_INT),
    gives=number_type,
    means=as_number,
    traits=(SAME_SHAPES, DABIT),
    source="Rotaru, Wood 2019/207, section 3",
)
def bit_to_arith_dabit(me: Me, held: list[Pair], types: Sequence[Type], attrs: Any) -> Pair:
    """Security: d is uniform, since the dabit is fresh.  Error: none.  Cost: 1 round, 3 bits, and a dabit."""
    b, rho_bits, rho = held
    return bit_by_dabit(me, b, rho_bits, rho, types[0].shape, numbers(me.ring))


def _open_difference(me: Me, b: Pair, rho: Pair, shape: tuple[int, ...], group: Group) -> Array:
    return packed.unpack(open_words(me, xor_planes(b, rho)), shape, group.dtype)


@protocol(
    "inject",
    takes=(SECRET_BIT, ARITH_NUMBER),
    gives=_chosen_type,
    means=chosen,
    traits=(SAME_SHAPES,),
    source="derived from the two-party views of b and x; exhaustively tested",
)
def inject(me: Me, held: list[Pair], types: Sequence[Type], attrs: Any) -> Pair:
    """b x, with b = c ^ u and x = x_1 + y: c, x_1 at parties 0 and 1; u, y at party 2, and y = x_0 + x_2 in halves at
    parties 0 and 1. b x = c x_1 + c y + (1 - 2c)(x_1 u + u y); party 2 deals u and u y.

    Security: as `bit_to_arith`.  Error: none.  Cost: 2 rounds, 4k bits."""
    b, x = held
    shape, group = types[1].shape, numbers(me.ring)
    known = packed.unpack(known_part(me, b, BITS), shape, group.dtype)
    if me.index == 2:
        y = known_part(me, x, group)
        deal(me, known, shape, group)
        deal(me, lax.mul(known, y), shape, group)
        return combine(me, None, shape, group)
    x1, half_y = (x[1], x[0]) if me.index == 0 else x
    u = own_half(me, deal(me, None, shape, group))
    uy = own_half(me, deal(me, None, shape, group))
    flipped = _flip(known, lax.add(lax.mul(x1, u), uy))
    own = lax.add(half_y, x1) if me.index == 0 else half_y
    return combine(me, lax.add(lax.mul(known, own), flipped), shape, group)


@protocol(
    "inject_dabit",
    takes=(SECRET_BIT, MASK_BIT, MASK_INT, ARITH_NUMBER),
    gives=_chosen_type,
    means=chosen,
    traits=(SAME_SHAPES, DABIT),
    source="Rotaru, Wood 2019/207, section 3, with the product in the same round",
)
def inject_dabit(me: Me, held: list[Pair], types: Sequence[Type], attrs: Any) -> Pair:
    """b x = d x + (1 - 2d) rho x: open d = b ^ rho while rho x is multiplied.  Error: none.
    Security: d is uniform; the product is masked by a zero share.  Cost: 1 round, 3k + 3 bits, and a dabit."""
    b, rho_bits, rho, x = held
    d = _open_difference(me, b, rho_bits, types[-1].shape, numbers(me.ring))
    rho_x = reshare(me, summed(terms(me, rho, x), lax.mul), numbers(me.ring))
    return each(lambda own, product: lax.add(lax.mul(d, own), _flip(d, product)), x, rho_x)
