"""A jaxpr and its owners -> a value-level program, what feeds its inputs, and what is known in the clear.

What goes in: a `Traced` function. What comes out: a `Frontier`, which says for every flat output whether the secure
program, or plain work before it, gives it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jmpc import _jax
from jmpc.config import Config
from jmpc.errors import BoundError, JMPCError, RangeWarning, UnsupportedError
from jmpc.frontend import kept, pairs, unsupported
from jmpc.frontend.fixed_point import precision, saturation
from jmpc.frontend.fixed_point.unfit import refuse_needed
from jmpc.frontend.known import Known, Prelude
from jmpc.frontend.notes import Record
from jmpc.frontend.place import Place
from jmpc.frontend.public import is_public
from jmpc.frontend.walk import Operand, Shared, Source, Walker
from jmpc.ir.program import Input, Output, Program, Value
from jmpc.ir.type_rules import DTYPES
from jmpc.ir.types import Type
from jmpc.roles import Role


@dataclass(frozen=True)
class Argument:
    """One array argument. owner: a name, or a role.  stored: the type of a value that is already shared."""

    path: str
    owner: str
    shape: tuple[int, ...]
    dtype: Any
    stored: Type | None = None


@dataclass(frozen=True)
class Wanted:
    """One array of the result. receivers: who learns it; it is decoded to `dtype`."""

    path: str
    receivers: Sequence[str]
    dtype: Any


@dataclass(frozen=True)
class Traced:
    """A function as JAX traced it, and whose its flat arguments and results are. line: of the call that had it
    traced."""

    name: str
    jaxpr: Any = field(repr=False)
    arguments: Sequence[Argument]
    results: Sequence[Wanted]
    line: str = ""


@dataclass(frozen=True)
class Frontier:
    """program; arguments as known values; sources: what feeds each input of the program; outputs: for each flat
    result, its number among the program's outputs, or the known value that it is; record: for check mode;
    warnings: by the innermost line, and warned: where that stands; draws: how many numbers that no party knows are
    drawn."""

    program: Program
    arguments: list[Known]
    prelude: Prelude
    sources: list[Source]
    outputs: list[int | Known]
    record: Record
    warnings: Mapping[str, str]
    warned: Mapping[str, Place]
    draws: int


def lower(function: Traced, config: Config) -> Frontier:
    """Raises UnsupportedError (all operations at once), BoundError, ArgumentError."""

    def lowered(function: Traced) -> Frontier:
        walker = Walker(Shared(config, {}, place=Place(call=function.line)))
        with np.errstate(all="ignore"):  # folding constants meets what the user's own run would warn of, or never does
            return _lowered(walker, function)

    found = lowered(function)
    stored = [a.stored and kept.widest(a.stored, a.dtype, config) for a in function.arguments]

    def apart() -> Program | None:
        if stored == [a.stored for a in function.arguments]:
            return found.program
        wide = [replace(a, stored=t) for a, t in zip(function.arguments, stored, strict=True)]
        try:
            return lowered(replace(function, arguments=wide)).program
        except BoundError:
            return None

    _warn(found)
    return replace(found, program=kept.with_handles(found.program, apart))


def _lowered(walker: Walker, function: Traced) -> Frontier:
    config, arguments = walker.config, function.arguments
    known = [Known(a.shape, a.dtype, a.owner, path=a.path) for a in arguments]
    args: list[Operand] = [_stored(walker, k, a) if a.stored else k for k, a in zip(known, arguments, strict=True)]
    opened, consts = _jax.closed(function.jaxpr)
    wants = precision.analyse(opened, [is_public(a) for a in args], config)
    for argument, var in zip(known, opened.invars, strict=True):
        bits = wants.of(var)
        argument.bits = bits.by_constant if bits and bits.narrow else None
    try:
        outputs, values, declared = _outputs(walker, walker.run(opened, consts, args, wants), function.results)
        refuse_needed(walker, values)
    except JMPCError:
        unsupported.raise_if_any(walker.shared.missing, function.name)  # a fault after one of these may come from it
        raise
    unsupported.raise_if_any(walker.shared.missing, function.name)
    body = walker.build.block(tuple(walker.params), tuple(values))
    program = Program(function.name, config, tuple(walker.inputs), tuple(declared), body)
    return Frontier(
        program, known, walker.prelude, walker.sources, outputs, walker.record, walker.shared.warnings,
        walker.shared.warned, walker.shared.draws,
    )  # fmt: skip


def _warn(found: Frontier) -> None:
    """At the user's own line, which may have asked a library for what the warning is about."""
    for loc, text in found.warnings.items():
        place = found.warned.get(loc)
        at = (place.user if place else "") or loc
        file, line = re.match(r"(.*?):(\d+)", at + ":0").groups()  # pyright: ignore[reportOptionalMemberAccess]
        warnings.warn_explicit(f"{text}\n  --> {place or loc}", RangeWarning, file, int(line))


def _stored(walker: Walker, known: Known, argument: Argument) -> Value:
    """An argument that earlier calls left shared."""
    assert argument.stored is not None
    value = Value(argument.stored)
    walker.params.append(value)
    walker.sources.append(Source(known, argument.stored, argument.path))
    walker.inputs.append(Input(argument.path, Role.SECRET))
    return value


def _outputs(
    walker: Walker, results: Sequence[Operand], wanted: Sequence[Wanted]
) -> tuple[list[int | Known], list[Value], list[Output]]:
    """outputs: for each result the number of its first value: the real part before the imaginary one, and then the same
    for each further receiver."""
    outputs: list[int | Known] = []
    values: list[Value] = []
    declared: list[Output] = []
    for result, want in zip(results, wanted, strict=True):
        dtype, path = want.dtype, want.path
        told = [r for r in want.receivers if not _knows(r, result)]
        if not told:
            outputs.append(result)  # pyright: ignore[reportArgumentType]
            continue
        outputs.append(len(values))
        parts, name = [result], str(dtype)
        if pairs.is_complex(dtype):
            if Role.SECRET in told:
                raise UnsupportedError(
                    "a complex array cannot stay shared", where=path, todo="keep its real and imaginary parts apart"
                )
            whole, name = pairs.as_pair(walker.root, result), str(pairs.part_dtype(dtype))
            parts = [whole.re, whole.im]
        if name not in DTYPES:
            raise UnsupportedError(
                f"a result of dtype {name} has no secure form",
                where=path,
                why="a ring holds fixed-point numbers, integers and bools",
                todo="return it as float32, and cast it afterwards",
            )
        held = [kept.settled(walker, result, dtype)] if Role.SECRET in told else [walker.secret(part) for part in parts]
        values += held * len(told)
        if (line := saturation.source(walker, values[-1])) is not None:
            walker.shared.warn(line, f"in {path}, {saturation.message(line, walker.config)}")
        declared += [Output(path, receiver, name) for receiver in told for _ in held]
    return outputs, values, declared


def _knows(receiver: str, result: Operand) -> bool:
    """Whether the receiver has the result in the clear already."""
    return receiver != Role.SECRET and isinstance(result, Known) and result.owner in ("", receiver)
