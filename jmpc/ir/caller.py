"""A program as its caller's alone: whoever supplies an input or learns a result in it, is the caller.

In: a program. Out: the same one, but for the names; itself, where it names nobody. For a process that stands for all
owners and all receivers, so that to the parties it is one client, who makes the call.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jmpc.ir.program import Block, Input, Op, Program, Value, walk
from jmpc.ir.types import LOCAL, Type
from jmpc.roles import Role, work_of

_ROLES = frozenset(Role)


def of_the_caller(program: Program) -> Program:
    """The program with the caller in the place of every owner and receiver who has a name."""
    named = [entry.owner for entry in program.inputs] + [entry.receiver for entry in program.outputs]
    body = program.body
    named += [v.type.owner for v in (*body.params, *(v for op in walk(body) for v in op.outputs))]
    if _ROLES.issuperset(named):
        return program
    inputs = tuple(map(_input, program.inputs))
    outputs = tuple(replace(entry, receiver=_who(entry.receiver)) for entry in program.outputs)
    return Program(program.name, program.config, inputs, outputs, _block(body))


def _input(entry: Input) -> Input:
    """The path of what no argument holds names who computes it."""
    who = _who(entry.owner)
    return Input(work_of(who) if entry.path == work_of(entry.owner) else entry.path, who)


def _who(name: str) -> str:
    return name if name in _ROLES else Role.CALLER


def _block(block: Block) -> Block:
    found: dict[Value, Value] = {}

    def value(old: Value) -> Value:
        if old not in found:
            found[old] = Value(_type(old.type))
        return found[old]

    def attr(said: Any) -> Any:
        return _block(said) if isinstance(said, Block) else said

    params = tuple(map(value, block.params))
    ops = tuple(
        Op(
            op.name,
            tuple(map(value, op.inputs)),
            tuple(map(value, op.outputs)),
            {name: attr(said) for name, said in op.attrs.items()},
            op.loc,
        )
        for op in block.ops
    )
    return Block(params, ops, tuple(map(value, block.results)))


def _type(t: Type) -> Type:
    return t.with_(owner=_who(t.owner)) if t.visibility == LOCAL else t
