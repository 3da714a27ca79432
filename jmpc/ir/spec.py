"""Which programs are legal at each stage: `verify`.

What goes in: a program and the stage it is at: "value" says what is computed, "share" says by which protocol. What
comes out: nothing, or ProgramError with the name of the rule, the fault, and the ops around it. Every pass is
checked, and so is every program that arrives as text. Not here: the rules themselves (`rules.py`, `type_rules.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from jmpc.errors import ProgramError
from jmpc.ir.ops.record import COMMON
from jmpc.ir.program import Block, Op, Program, Value, regions
from jmpc.ir.rules import OP_RULES, Scope, Site, result_fault
from jmpc.ir.text import Printer
from jmpc.ir.type_rules import PROGRAM_RULES

RULES: dict[str, str] = {name: rule.__doc__ or "" for name, rule in (PROGRAM_RULES | OP_RULES).items()}
WINDOW = 3


def verify(program: Program, stage: str) -> None:
    """Check every rule of `stage`, "value" or "share". Raises ProgramError for the first that is broken."""
    if stage not in COMMON:
        raise ValueError(f"no stage {stage!r}: one of {sorted(COMMON)}")
    home: dict[Value, Block] = {}
    for block in _blocks(program.body):
        for value in _defines(block):
            home.setdefault(value, block)
    for name, rule in PROGRAM_RULES.items():
        if fault := rule(program, stage):
            raise _broken(program, program.body, None, name, fault)
    _verify_block(program, program.body, Scope(stage, program.config, home))


def _blocks(block: Block) -> Iterator[Block]:
    yield block
    for op in block.ops:
        for _, region in regions(op):
            yield from _blocks(region)


def _defines(block: Block) -> list[Value]:
    return [*block.params, *(value for op in block.ops for value in op.outputs)]


def _verify_block(program: Program, block: Block, scope: Scope) -> None:
    scope.seen.update(block.params)
    for op in block.ops:
        site = Site(op, block, scope)
        for name, rule in OP_RULES.items():
            if fault := rule(site):
                raise _broken(program, block, op, name, fault)
        for _, region in regions(op):
            _verify_block(program, region, scope)
        scope.define(op)
    name, fault = result_fault(block, scope)
    if fault:
        raise _broken(program, block, None, name, fault)


def _broken(program: Program, block: Block, op: Op | None, name: str, fault: str) -> ProgramError:
    """The error for rule `name`; op: where it is broken, None for the inputs or results of the block."""
    return ProgramError(
        f"{program.name}: rule {name!r} is broken: {fault}",
        where=op.loc if op else "",
        why="\n".join([RULES[name], *_around(program, block, op)]),
    )


def _around(program: Program, block: Block, bad: Op | None) -> list[str]:
    """The first lines of the ops around `bad`, with a marker."""
    printer = Printer(locations=False, tolerant=True)
    try:
        list(printer.program(program))
    except ProgramError:  # a name or a number that has no text form: the fault is named all the same
        return []
    if bad is None:
        results = "results: " + ", ".join(printer.use(value) for value in block.results)
        return [*(f"     {printer.heads[op]}" for op in block.ops[-WINDOW:]), f"  >> {results}"]
    middle = block.ops.index(bad)
    near = block.ops[max(middle - WINDOW, 0) : middle + WINDOW + 1]
    return [f"  {'>>' if op is bad else '  '} {printer.heads[op]}" for op in near]
