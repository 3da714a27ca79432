"""The ops, and the type of each op's result: shape, scale, bound, form.

What goes in: an op's name, the types of its inputs, its attributes, the configuration. What comes out: the types of its
outputs. Bounds are propagated by the rules in the files beside this one and checked here. A bound inferred from
declared bounds that the ring cannot hold raises BoundError; a bound that rests on the number format's contract is
capped by it.

Each file has the records of one subject (`record.py`); a family of protocols has those of its share-level ops beside
its protocols.
"""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import BoundError, ProgramError
from jmpc.ir.ops import bits, comparing, effects, integer, linear, logic, loop, order, products, random, scaling, waves
from jmpc.ir.ops.linear import apply, linear_shape, summed, window_attrs
from jmpc.ir.ops.products import conv_params
from jmpc.ir.ops.record import OPS, Attrs, Record, has, with_trait
from jmpc.ir.types import ASSUMED, BITS, BOOL, FIXED, INT, Type

__all__ = [
    "OPS",
    "Record",
    "apply",
    "check_bound",
    "contract",
    "conv_params",
    "has",
    "infer",
    "linear_shape",
    "of_level",
    "summed",
    "whole",
    "window_attrs",
    "with_trait",
]
SUBJECTS = (bits, comparing, effects, integer, linear, logic, loop, order, products, random, scaling, waves)


def infer(name: str, types: Sequence[Type], attrs: Attrs, config: Config, where: str = "") -> tuple[Type, ...]:
    """The output types of op `name`. where: the user's file:line, for BoundError."""
    if name not in OPS:
        raise ProgramError(f"no op named {name!r}", where=where, todo="see jmpc/ir/ops for those that there are")
    wide = attrs.get("wide", False)
    kept = name != "bound" and all(t.limit <= contract(t.scale, config, t.kind) for t in types)
    made = OPS[name].infer(types, attrs, config)
    return tuple(check_bound(t, config, name, where, wide, kept and not wide) for t in made)


def of_level(level: str, family: str = "") -> frozenset[str]:
    """The names of the ops of a level. family: share-level ops of this one alone."""
    return frozenset(r.name for r in OPS.values() if level in r.levels and (not family or r.family in ("", family)))


def contract(scale: int, config: Config, kind: str = FIXED) -> int:
    """The number format's promise for a value with `scale` fraction bits: |x| < 2^value_bits, in its units. Integers
    have none: they may fill the ring, and wrap with it."""
    return whole(config) if kind == INT else (1 << max(min(config.value_bits + scale, config.k - 2), 0)) - 1


def whole(config: Config) -> int:
    """The limit of an integer that may be any element of the ring, read as signed."""
    return 1 << (config.k - 1)


def check_bound(
    t: Type, config: Config, name: str, where: str, wide: bool = False, kept: bool = True
) -> Type:  # fmt: skip
    """`t` with a bound that the ring holds: capped by the contract if it is assumed, refused otherwise. An integer
    wraps mod 2^k, which holds every smaller modulus, so that no sum or product of integers is too large. wide: of a sum
    on the way to something smaller (a mean, a norm), for which the contract promises nothing: refused if too large.
    kept: whether the operands keep the contract, so that the result, a value of the user's function, does."""
    if t.form in (BITS,) or t.kind == BOOL:
        return t
    if t.kind == INT:
        return t if t.limit < whole(config) else t.bounded(whole(config), t.origin)
    if t.limit < 1 << (config.k - 2):
        return t if t.origin != ASSUMED or not kept else t.with_(limit=min(t.limit, contract(t.scale, config, t.kind)))
    if t.origin == ASSUMED and not wide:
        return t.bounded(contract(t.scale, config, t.kind), ASSUMED)
    raise BoundError(
        f"{name}: the result may be as large as 2^{(t.limit >> t.scale).bit_length()}, "
        f"too large for a ring of {config.k} bits at {t.scale} fraction bits",
        where=where,
        why="its bound follows from the bounds of its operands",
        todo=[
            "scale an operand down",
            "declare a smaller bound with jmpc.bounded",
            "use fewer fraction bits: Config(f=...)",
        ],
    )
