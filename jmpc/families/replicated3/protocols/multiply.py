"""Products of two secrets, up to the round: one unmasked summand at each party. No message.

Idea: of the nine products x_i y_j, party 2 takes the four over {x_2, x_0} as one product of sums, party 0 the three
that then lack over {x_0, x_1}, party 1 the two that remain: five local products in all where the symmetric split of
Araki et al. needs six. `reshare` or `open_split` masks and sends the summands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import lax

from jmpc._types import Array, Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.share import unmasked
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops import conv_params
from jmpc.ir.ops.attributes import CONV, DOT
from jmpc.ir.ops.operands import ARITH_NUMBER
from jmpc.ir.ops.products import contract_axes, conv_type, convolve, dot_type, mul_type, multiply
from jmpc.ring import product

THIN = 64
SOURCE = "Araki, Furukawa, Lindell, Nof, Ohara, CCS 2016, section 3.1; terms regrouped"


def terms(me: Me, x: Pair, y: Pair) -> list[tuple[Array, Array]]:
    """The pairs whose products sum to this party's summand. Sums are taken of the smaller operand where one side is
    enough."""
    (xa, xb), (ya, yb) = x, y
    if me.index == 1:
        return [(xa, yb), (xb, ya)]
    if me.index == 0:
        if xa.size <= ya.size:
            return [(xb, ya), (lax.add(xa, xb), yb)]
        return [(xb, lax.add(ya, yb)), (xa, yb)]
    if THIN * xa.size <= ya.size:  # two passes over y cost less than a sum of all of it
        both = lax.add(xa, xb)
        return [(both, ya), (both, yb)]
    return [(lax.add(xa, xb), lax.add(ya, yb))]


def summed(pairs: list[tuple[Array, Array]], times: Callable[[Array, Array], Array]) -> Array:
    """The sum of the products of pairs."""
    total = times(*pairs[0])
    for x, y in pairs[1:]:
        total = lax.add(total, times(x, y))
    return total


@protocol("mul_sum3", takes=(ARITH_NUMBER, ARITH_NUMBER), gives=unmasked(mul_type), means=multiply, source=SOURCE)
def mul(me: Me, held: list[Pair], types: Any, attrs: Any) -> Array:
    return summed(terms(me, *held), lax.mul)


@protocol(
    "dot_sum3",
    takes=(ARITH_NUMBER, ARITH_NUMBER),
    attrs=DOT,
    gives=unmasked(dot_type),
    means=contract_axes,
    source=SOURCE,
)
def dot(me: Me, held: list[Pair], types: Any, attrs: Any) -> Array:
    return product.dot_sum(terms(me, *held), attrs["dims"], k=me.ring.k, form=product_form(me))


@protocol(
    "conv_sum3",
    takes=(ARITH_NUMBER, ARITH_NUMBER),
    attrs=CONV,
    gives=unmasked(conv_type),
    means=convolve,
    source=SOURCE,
)
def conv(me: Me, held: list[Pair], types: Any, attrs: Any) -> Array:
    return product.conv_sum(terms(me, *held), k=me.ring.k, form=product_form(me), **conv_params(attrs))


def product_form(me: Me) -> str:
    """How ring products are computed on this party's platform."""
    return getattr(me, "product_form", product.DEFAULT_FORM)
