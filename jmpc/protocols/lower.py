"""From what to how: a value-level program becomes a share-level one, with the cheapest protocol for each op.

What goes in: a verified value-level program. What comes out: a share-level program, the same meaning.
"""

from __future__ import annotations

from jmpc.ir.program import Program
from jmpc.protocols import choose, rules_basic, rules_bits, rules_dealt, rules_integer, rules_maximum, rules_order
from jmpc.protocols.lowering import Lowering

__all__ = ["lower", "rules_basic", "rules_bits", "rules_dealt", "rules_integer", "rules_maximum", "rules_order"]


def lower(program: Program) -> Program:
    """The share-level program."""
    choice = choose.for_program(program)
    lowering = Lowering(program.config, choice)
    keep_sum = [o.receiver != "jmpc.SECRET" for o in program.outputs]
    return program.with_body(lowering.block(program.body, keep_sum))
