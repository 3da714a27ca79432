"""Ops of your own: an op and its protocol, declared in a module of yours, outside of jmpc.

    from jmpc.extend import between, bit, number, protocol

    @protocol(
        takes=[number(form="split", within=lambda attrs: 2 ** (attrs["width"] - 1) - 1)],
        gives=[bit()],
        attrs={"width": between(1, 4)},
        plain=lambda x, *, width: x == 0,
        reference=lambda ring, x, *, width: x == 0,
        source="where the protocol comes from",
    )
    def is_zero(me, held, types, attrs): ...

`is_zero(x, width=3)` is a function of JAX: `jax.jit` of it computes `plain`; in a secure function it is the op, by this
protocol. `jmpc.testing.check_operation(is_zero)` checks it. docs/extending.md walks through it.

A party process imports the module that declares an op, so nothing here needs the compiler.
"""

from jmpc.extend.declare import protocol
from jmpc.extend.operands import ATTRIBUTE, Choice, Range, Takes, Uniform, between, bit, integer, number, one_of, real
from jmpc.extend.operation import Operation
from jmpc.families.protocol import Cost

__all__ = [
    "ATTRIBUTE",
    "Choice",
    "Cost",
    "Operation",
    "Range",
    "Takes",
    "Uniform",
    "between",
    "bit",
    "integer",
    "number",
    "one_of",
    "protocol",
    "real",
]
