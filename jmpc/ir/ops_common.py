"""Infer rules of ops common to both levels that are neither linear nor products: scales, bounds, logic, loops."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.op_table import COMMON, Attrs, held, rule
from jmpc.ir.program import Block
from jmpc.ir.types import (
    ARITH,
    BITS,
    BOOL,
    DECLARED,
    FIXED,
    INFERRED,
    INT,
    PLAIN,
    PUBLIC,
    SECRET,
    Type,
)


@rule(COMMON, "scale_up")
def _scale_up(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    (x,) = types
    bits = attrs["bits"]
    return (x.with_(kind=FIXED, scale=x.scale + bits, limit=x.limit << bits),)


@rule(COMMON, "as_int")
def _as_int(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """A number without fraction bits, as an integer."""
    (x,) = types
    if x.scale:
        raise ProgramError(f"as_int of a value with {x.scale} fraction bits")
    return (x.with_(kind=INT),)


@rule(COMMON, "bound")
def _bound(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """A bound from outside: declared by the user, or, with `origin`, set by the compiler. The identity on the value."""
    (x,) = types
    if "origin" in attrs:
        return (x.bounded(attrs["limit"], attrs["origin"]),)
    return (x.bounded(min(attrs["limit"], x.limit), DECLARED),)


@rule(COMMON, "const")
def _const(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    limit = max(abs(attrs["value"]), 1)
    return (Type(attrs["shape"], attrs["kind"], attrs["scale"], limit, INFERRED, PUBLIC, "", PLAIN),)


@rule(COMMON, "share")
def _share(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """An owner's input, or a public value, becomes secret."""
    (x,) = types
    return (x.with_(visibility=SECRET, owner="", form=BITS if x.kind == BOOL else ARITH),)


@rule(COMMON, "xor", "and", "or")
def _logic(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    x, y = types
    if x.kind != BOOL or y.kind != BOOL or x.shape != y.shape:
        raise ProgramError(f"logic on {x.kind}{x.shape} and {y.kind}{y.shape}")
    return (Type(x.shape, BOOL, **held((x, y))),)


@rule(COMMON, "not")
def _not(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (types[0],)


@rule(COMMON, "loop")
def _loop(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """Runs `body` `trip` times: params are consts, carry, slices of the stacked inputs; results are carry, outputs.
    With `reverse`, from the last slice to the first."""
    body: Block = attrs["body"]
    consts, carry, trip = attrs["consts"], attrs["carry"], attrs["trip"]
    expected = list(types[: consts + carry]) + [t.with_(shape=t.shape[1:]) for t in types[consts + carry :]]
    if [p.type.shape for p in body.params] != [t.shape for t in expected]:
        raise ProgramError("loop: the shapes of the operands are not those of the body's parameters")
    if [v.type for v in body.results[:carry]] != [p.type for p in body.params[consts : consts + carry]]:
        raise ProgramError("loop: the carry changes its type")
    stacked = [v.type.with_(shape=(trip, *v.type.shape)) for v in body.results[carry:]]
    return tuple([v.type for v in body.results[:carry]] + stacked)


@rule(COMMON, "move_point")
def _move_point(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The same integer with `bits` more fraction bits: the value times 2^-bits. Free."""
    (x,) = types
    return (x.with_(kind=FIXED, scale=x.scale + attrs["bits"]),)
