"""Boolean logic on replicated packed bits: xor and not are local, and takes a round."""

from __future__ import annotations

from typing import Any

from jax import lax

from jmpc._types import Pair
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.share import BITS, reshare
from jmpc.families.replicated3.table import protocol


def and_planes(me: Me, x: Pair, y: Pair) -> Pair:
    """Bitwise and: z_i = x_i y_i ^ x_i y_{i+1} ^ x_{i+1} y_i, reshared. `1 round; one bit each`
    (Araki et al. 2016, 3.1; each message is masked by a zero share)."""
    (xa, xb), (ya, yb) = x, y
    mixed = lax.bitwise_xor(lax.bitwise_and(xa, lax.bitwise_xor(ya, yb)), lax.bitwise_and(xb, ya))
    return reshare(me, mixed, BITS)


@protocol("and", source="Araki, Furukawa, Lindell, Nof, Ohara, CCS 2016, section 3.1")
def and_secret(me: Me, held: list[Pair], types: Any, attrs: Any) -> Pair:
    return and_planes(me, held[0], held[1])


def xor_planes(x: Pair, y: Pair) -> Pair:
    """Bitwise exclusive or. No message."""
    return lax.bitwise_xor(x[0], y[0]), lax.bitwise_xor(x[1], y[1])


def not_planes(me: Me, x: Pair) -> Pair:
    """Every bit flipped: all of the one goes to x_1. No message."""
    return (x[0], lax.bitwise_not(x[1])) if me.index == 0 else (lax.bitwise_not(x[0]), x[1]) if me.index == 1 else x
