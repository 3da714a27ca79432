"""Loops. The interpreter runs their bodies itself."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.ops.attributes import COUNT, FLAG, REGION
from jmpc.ir.ops.operands import ANY
from jmpc.ir.ops.record import COMMON, Attrs, op
from jmpc.ir.program import Block
from jmpc.ir.types import Type


@op("loop", COMMON, (), {"body": REGION, "consts": COUNT, "carry": COUNT, "trip": COUNT, "reverse?": FLAG}, more=ANY)
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
