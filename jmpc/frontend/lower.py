"""A jaxpr and its owners -> a value-level program, what feeds its inputs, and what is known in the clear.

What goes in: `Arguments`, flat. What comes out: a `Frontier`, which says for every flat output whether the secure
program, or plain work before it, gives it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jmpc import _jax
from jmpc.config import Config
from jmpc.errors import BoundError, JMPCError, RangeWarning, UnsupportedError
from jmpc.frontend import kept, pairs, precision, unsupported
from jmpc.frontend.known import Known, Prelude
from jmpc.frontend.public import is_public
from jmpc.frontend.walk import CALLER, STORED, Note, Operand, Shared, Source, Walker, saturation
from jmpc.ir.program import Input, Output, Program, Value
from jmpc.ir.types import Type

SECRET = STORED


@dataclass(frozen=True)
class Argument:
    """One array argument. owner: empty if public.  stored: the type of a value that is already shared."""

    path: str
    owner: str
    shape: tuple[int, ...]
    dtype: Any
    stored: Type | None = None


@dataclass(frozen=True)
class Frontier:
    """program; arguments as known values; sources: what feeds each input of the program; outputs: for each flat
    result, its number among the program's outputs, or the known value that it is; notes, decisions: for check mode;
    warnings: by the user's line."""

    program: Program
    arguments: list[Known]
    prelude: Prelude
    sources: list[Source]
    outputs: list[int | Known]
    notes: list[Note]
    decisions: list[tuple[int, ...] | None]
    warnings: Mapping[str, str]


def lower(
    name: str, jaxpr: Any, arguments: Sequence[Argument], receivers: Sequence[str], dtypes: Sequence[Any],
    paths: Sequence[str], config: Config,
) -> Frontier:  # fmt: skip
    """dtypes, paths, receivers: of the flat results.

    Raises UnsupportedError (all operations at once), BoundError, ArgumentError."""
    wanted = list(zip(receivers, dtypes, paths, strict=True))
    found = _lowered(name, jaxpr, arguments, wanted, config)
    wide = [replace(a, stored=a.stored and kept.widest(a.stored, a.dtype, config)) for a in arguments]

    def apart() -> Program | None:
        try:
            return found.program if wide == list(arguments) else _lowered(name, jaxpr, wide, wanted, config).program
        except BoundError:
            return None

    _warn(found.warnings)
    return replace(found, program=kept.with_handles(found.program, apart))


def _lowered(
    name: str, jaxpr: Any, arguments: Sequence[Argument], wanted: Sequence[tuple[str, Any, str]], config: Config
) -> Frontier:
    walker = Walker(Shared(config, {}))
    known = [Known(a.shape, a.dtype, a.owner, path=a.path) for a in arguments]
    args: list[Operand] = [_stored(walker, k, a) if a.stored else k for k, a in zip(known, arguments, strict=True)]
    opened, consts = _jax.closed(jaxpr)
    wants = precision.analyse(opened, [is_public(a) for a in args], config)
    for argument, var in zip(known, opened.invars, strict=True):
        bits = wants.of(var)
        argument.bits = bits.by_constant if bits and bits.narrow else None
    try:
        results = walker.run(opened, consts, args, wants)
        outputs, values, declared = _outputs(walker, results, wanted)
    except JMPCError:
        unsupported.raise_if_any(walker.shared.missing, name)  # a fault after one of these may come from it
        raise
    unsupported.raise_if_any(walker.shared.missing, name)
    if config.check:
        values += [n.value for n in walker.notes]
        declared += [Output(f"check {n}", CALLER, "float64") for n in range(len(walker.notes))]
    body = walker.build.block(tuple(walker.params), tuple(values))
    program = Program(name, config, tuple(walker.inputs), tuple(declared), body)
    return Frontier(
        program, known, walker.prelude, walker.sources, outputs, walker.notes, walker.decisions, walker.shared.warnings
    )


def _warn(found: Mapping[str, str]) -> None:
    """found: by line of the user's."""
    for loc, text in found.items():
        file, line = re.match(r"(.*?):(\d+)", loc + ":0").groups()  # pyright: ignore[reportOptionalMemberAccess]
        warnings.warn_explicit(f"{text}\n  --> {loc}", RangeWarning, file, int(line))


def _stored(walker: Walker, known: Known, argument: Argument) -> Value:
    """An argument that earlier calls left shared."""
    assert argument.stored is not None
    t = argument.stored.with_(visibility="local", owner=STORED, form="plain")
    value = Value(t)
    walker.params.append(value)
    walker.sources.append(Source(known, t, argument.path))
    walker.inputs.append(Input(argument.path, STORED))
    return walker.emit("share", value)


def _outputs(
    walker: Walker, results: Sequence[Operand], wanted: Sequence[tuple[str, Any, str]]
) -> tuple[list[int | Known], list[Value], list[Output]]:
    """outputs: the first number where a result is complex: its real part, before the imaginary one."""
    outputs: list[int | Known] = []
    values: list[Value] = []
    declared: list[Output] = []
    for result, (receiver, dtype, path) in zip(results, wanted, strict=True):
        in_clear = isinstance(result, Known) and (not result.owner or result.owner == receiver)
        if in_clear and receiver != SECRET:
            outputs.append(result)  # pyright: ignore[reportArgumentType]
            continue
        outputs.append(len(values))
        parts, name = [result], str(dtype)
        if pairs.is_complex(dtype):
            if receiver == SECRET:
                raise UnsupportedError(
                    "a complex result cannot stay shared", where=path, todo="keep its real and imaginary parts"
                )
            whole, name = pairs.as_pair(walker.root, result), str(pairs.part_dtype(dtype))
            parts = [whole.re, whole.im]
        parts = [kept.settled(walker, result, dtype)] if receiver == SECRET else parts
        values += [walker.secret(part) for part in parts]
        if values[-1] in walker.shared.saturated:
            source = walker.shared.saturated[values[-1]]
            walker.shared.warn(source, f"in {path}, {saturation(source, walker.config)}")
        declared += [Output(path, receiver, name) for _ in parts]
    return outputs, values, declared
