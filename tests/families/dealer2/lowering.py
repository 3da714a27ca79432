"""Value-level ops as share-level ones: products of secrets and truncations get protocols, linear ops stay."""

from __future__ import annotations

from jmpc.errors import UnsupportedError
from jmpc.ir import ops
from jmpc.ir.ops.record import LINEAR
from jmpc.ir.program import Block, Builder, Program, Value
from tests.families.dealer2.protocols import PROTOCOLS

PROTOCOL_OF = {"mul": "beaver_mul", "dot": "beaver_dot", "truncate": "truncate_dealt"}
STAY = ("const", "share", "bound", "scale_up", "as_int", "move_point", "mul", "dot")


def lower(program: Program) -> Program:
    """Raises UnsupportedError for an op that has no protocol here."""
    build, env = Builder(), {p: Value(p.type) for p in program.body.params}
    for op in program.body.ops:
        build.loc, inputs = op.loc, [env[v] for v in op.inputs]
        name = PROTOCOL_OF.get(op.name, "") if all(v.type.secret for v in inputs) else ""
        known = name or ops.has(op.name, LINEAR) or op.name in STAY or op.name in PROTOCOLS
        if not known:
            raise UnsupportedError(
                f"the family dealer2 has no protocol for {op.name}", where=op.loc, todo='use Config(protocol="aby3")'
            )
        types = ops.infer(name or op.name, [v.type for v in inputs], op.attrs, program.config, op.loc)
        env.update(zip(op.outputs, build.emit_many(name or op.name, inputs, types, **op.attrs), strict=True))
    params = tuple(env[p] for p in program.body.params)
    return program.with_body(Block(params, tuple(build.ops), tuple(env[v] for v in program.body.results)))
