"""From what to how: a value-level program becomes a share-level one, with the cheapest protocol for each op.

What goes in: a verified value-level program. What comes out: a share-level program, the same meaning.
"""

from __future__ import annotations

from jmpc.families.replicated3.lowering import basic, bits, choose, dealt, integer, maximum, order
from jmpc.families.replicated3.lowering.state import Lowering
from jmpc.ir.program import Program
from jmpc.roles import Role

__all__ = ["basic", "bits", "dealt", "integer", "lower", "maximum", "order"]


def lower(program: Program) -> Program:
    """The share-level program."""
    choice = choose.for_program(program)
    lowering = Lowering(program.config, choice)
    keep_sum = [o.receiver != Role.SECRET for o in program.outputs]
    return program.with_body(lowering.block(program.body, keep_sum))
