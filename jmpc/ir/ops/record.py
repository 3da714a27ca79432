"""What is known of an op, in one record: its operands, its attributes, the type of its results, what it means.

What goes in: an inference rule, decorated with all the rest. What comes out: `OPS`, the table that the verifier, the
interpreter, the passes and the generators of random programs read. An op at both levels is `COMMON`; `VALUE` says what
is computed, `SHARE` by which protocol. A family of protocols adds its share-level ops with the same decorator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from jmpc._types import AnyArray, Array
from jmpc.config import Config
from jmpc.ir.program import Op
from jmpc.ir.types import ARITH, BOOL, SPLIT, SUM3, Type
from jmpc.ring.element import Ring

Attrs = Mapping[str, Any]
Infer = Callable[[Sequence[Type], Attrs, Config], tuple[Type, ...]]
# (attributes, *arrays) -> array. Those of few arrays stand by themselves, so that the arguments of a lambda have types.
Apply = Callable[[Attrs, AnyArray], Array] | Callable[[Attrs, AnyArray, AnyArray], Array] | Callable[..., Array]

VALUE, SHARE = "value", "share"
COMMON = (VALUE, SHARE)

# Traits.
LINEAR = "linear"  # commutes with adding shares: a party applies it to each summand, and nothing is sent
PRODUCT = "product"  # of two operands, bilinear: of two secrets it needs a protocol
SELECTION = "selection"  # of those: each element of the result is one of an operand's
SUMMING = "summing"  # of those: each element of the result is a sum of elements of one operand
LOCAL = "local"  # may be applied to one owner's values before they are shared
DRAWS = "draws"  # its result is random: two of them are not equal, and no party need agree with the interpreter
OPENS = "opens"  # its protocol shows all parties something that is uniform, and that no mask hides
EFFECT = "effect"  # matters though nobody reads its result: it is never dropped, and never merged with another
SOME_BITS = "some bits"  # is asked for some bits of its operand, whatever the others are
UNSIGNED = "unsigned"  # looks at one bit less than a signed operand has
BOUNDED = "bounded"  # right only while its operands are within their bounds
SAME_SHAPES = "same shapes"  # of all operands
DABIT = "dabit"  # takes a bit, and the two halves of the dabit that masks it


@dataclass(frozen=True)
class Operand:
    """Kinds and forms that an operand may have."""

    kinds: tuple[str, ...]
    forms: tuple[str, ...]

    def stands_for(self, form: str) -> bool:
        """Whether an operand of `form` at the value level, which knows no form between two protocols, comes to one that
        this takes."""
        return form == ARITH and not {SUM3, SPLIT}.isdisjoint(self.forms)


@dataclass(frozen=True)
class Attribute:
    """wanted: the attribute in words.  holds: whether (value, types of the operands, configuration) is as wanted."""

    wanted: str
    holds: Callable[[Any, Sequence[Type], Config], bool]


@dataclass(frozen=True)
class Frame:
    """The arithmetic in which an op is evaluated: of the ring, signed integers that wrap mod 2^k; or exact, real
    numbers in float64."""

    ring: Ring
    exact: bool

    def settle(self, x: Any, t: Type) -> np.ndarray:
        """An array of the dtype that values of type `t` have here, wrapped into the ring."""
        if t.kind == BOOL:
            return np.asarray(x, np.bool_)
        if self.exact:
            return np.asarray(x, np.float64)
        return np.asarray(self.ring.to_int(self.ring.from_int(np.asarray(x))))

    def enter(self, x: np.ndarray, t: Type) -> np.ndarray:
        """An integer in ring units, as the arithmetic holds it."""
        return np.ldexp(np.asarray(x, np.float64), -t.scale) if self.exact and t.kind != BOOL else self.settle(x, t)

    def integers(self, op: Op, x: np.ndarray) -> np.ndarray:
        """The integers that stand for the numbers of the first operand."""
        return np.rint(np.ldexp(x, op.inputs[0].type.scale)).astype(np.int64) if self.exact else x


# (frame, op, *arrays) -> an array, or a list of them where there are several results.
Meant = AnyArray | np.generic | list[np.ndarray]
_OfOne = Callable[[Frame, Op, np.ndarray], Meant]
_OfTwo = Callable[[Frame, Op, np.ndarray, np.ndarray], Meant]
Meaning = _OfOne | _OfTwo | Callable[..., Meant]


@dataclass(frozen=True)
class Origin:
    """Where an op that is not the package's own is declared. digest: of the code that declares it, in hex."""

    module: str
    digest: str


@dataclass(frozen=True)
class Record:
    """more: how operands beyond the listed ones look; None allows no more.  An attribute whose name ends in `?` may be
    left out.  index_from: operands from this one on are public indices, never shared, never scaled.
    apply: of a linear op, what it does to plain arrays and to each summand.  family: of protocols, whose op it is.
    origin: of an op from outside the package."""

    name: str
    levels: tuple[str, ...]
    operands: tuple[Operand, ...]
    attrs: Mapping[str, Attribute]
    infer: Infer
    meaning: Meaning | None = None
    more: Operand | None = None
    traits: frozenset[str] = frozenset()
    apply: Apply | None = None
    index_from: int | None = None
    family: str = ""
    origin: Origin | None = None

    def operand(self, position: int) -> Operand | None:
        return self.operands[position] if position < len(self.operands) else self.more

    def data(self, operands: Sequence[Any]) -> Sequence[Any]:
        """The operands without indices."""
        return operands[: self.index_from]


OPS: dict[str, Record] = {}


def op(
    name: str,
    levels: str | tuple[str, ...],
    operands: tuple[Operand, ...],
    attrs: Mapping[str, Attribute] = MappingProxyType({}),
    *,
    means: Meaning | None = None,
    more: Operand | None = None,
    traits: Sequence[str] = (),
    apply: Apply | None = None,
    index_from: int | None = None,
    family: str = "",
    origin: Origin | None = None,
) -> Callable[[Infer], Infer]:
    """Enter an op by its inference rule: (types of the operands, attributes, configuration) -> types of the results."""

    def enter(infer: Infer) -> Infer:
        if name in OPS:
            raise ValueError(f"op {name} is registered twice")
        where = (levels,) if isinstance(levels, str) else levels
        OPS[name] = Record(
            name, where, operands, dict(attrs), infer, means, more, frozenset(traits), apply, index_from, family, origin
        )
        return infer

    return enter


def has(name: str, trait: str) -> bool:
    """Whether the op of this name has the trait."""
    return trait in OPS[name].traits


def with_trait(trait: str) -> frozenset[str]:
    """The names of all ops that have it."""
    return frozenset(name for name, record in OPS.items() if trait in record.traits)
