"""The type of a value: shape, number format, static bound, and who may know it.

A secret x of ring Z_2^k is shared as x = x0 + x1 + x2 mod 2^k, and party i holds (x_i, x_{i+1}). A secret bit is
shared the same way with exclusive or, 64 elements packed in a word. Two more forms live only at the share level:
`sum3`, one summand a party and not yet masked, and `split`, x = C + R with C known to parties 0 and 1, R to party 2.

Two forms say what an opening may rest on. A value of form `places` is a permutation in every row, whatever any secret
is; one of form `mask` is half of a dabit, a random bit that no party knows. The ops that open a value to the parties
take these alone, each is made by a few ops that guarantee it, and no other op takes or makes one (the rules "form",
"type" and "opening" of `rules.py`). So a party need not trust who wrote a program.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

FIXED, INT, BOOL = "fixed", "int", "bool"
KINDS = (FIXED, INT, BOOL)

PUBLIC, LOCAL, SECRET = "public", "local", "secret"
VISIBILITIES = (PUBLIC, LOCAL, SECRET)

PLAIN, ARITH, BITS, SUM3, SPLIT = "plain", "arith", "bits", "sum3", "split"
PLACES, MASK = "places", "mask"
OPENED_BY = (PLACES, MASK)  # what openings rest on
FORMS = (PLAIN, ARITH, BITS, SUM3, SPLIT, *OPENED_BY)


INFERRED, DECLARED, ASSUMED = "inferred", "declared", "assumed"
ORIGINS = (INFERRED, DECLARED, ASSUMED)


@dataclass(frozen=True)
class Type:
    """kind: fixed, int or bool.  scale: fraction bits (0 unless fixed).  limit: |x| <= limit in units of 2^-scale.
    origin: where the limit comes from.  visibility and owner: who may know it.  form: how it is held."""

    shape: tuple[int, ...]
    kind: str
    scale: int = 0
    limit: int = 1
    origin: str = INFERRED
    visibility: str = SECRET
    owner: str = ""
    form: str = ARITH

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def secret(self) -> bool:
        return self.visibility == SECRET

    @property
    def packed(self) -> bool:
        """Whether parties hold it 64 elements to a word, shared by exclusive or."""
        return self.secret and self.kind == BOOL

    @property
    def pairs(self) -> bool:
        """Whether party i holds (x_i, x_{i+1}) of it."""
        return self.secret and self.form not in (SUM3, SPLIT)

    @property
    def width(self) -> int:
        """Bits of the signed representation: -limit .. limit fit in two's complement of this width."""
        return self.limit.bit_length() + 1

    def with_(self, **changes: object) -> Type:
        return dataclasses.replace(self, **changes)  # pyright: ignore[reportArgumentType]

    def bounded(self, limit: int, origin: str) -> Type:
        return dataclasses.replace(self, limit=limit, origin=origin)

    def contains(self, other: Type) -> bool:
        """Whether a value of the other type is one of this: the same but for a bound that this one contains."""
        same = self.bounded(0, INFERRED) == other.bounded(0, INFERRED)
        return same and other.limit <= self.limit and weakest(other.origin, self.origin) == self.origin


def secret_fixed(shape: tuple[int, ...], scale: int, limit: int, origin: str = ASSUMED) -> Type:
    return Type(shape, FIXED, scale, limit, origin)


def secret_bits(shape: tuple[int, ...]) -> Type:
    return Type(shape, BOOL, form=BITS)


def secret_places(shape: tuple[int, ...]) -> Type:
    """A permutation of 0 .. n - 1 in each row of n, the last axis."""
    return Type(shape, INT, 0, max(shape[-1] - 1, 1), form=PLACES)


def dabit_halves(shape: tuple[int, ...]) -> tuple[Type, Type]:
    """One random bit as a bit and as a number."""
    return Type(shape, BOOL, form=MASK), Type(shape, INT, form=MASK)


def weakest(*origins: str) -> str:
    """The origin of a bound that rests on several: assumed if any is, else declared if any is."""
    return max(origins, key=ORIGINS.index, default=INFERRED)
