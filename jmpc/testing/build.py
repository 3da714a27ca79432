"""Small share-level programs, and configurations of any ring width: what a protocol is tested on.

What goes in: the name of an op, or a function of `emit` and values, with types. What comes out: a `Program` whose
inputs are secret, as the party stage takes it. Not here: running it (`lockstep.py`).

    config = config_of(k=8)                                              # a ring that can be enumerated
    program = one_op("and", [secret_bits((64,)), secret_bits((64,))], config)

    def both(emit, x, y):                                                # several ops
        return emit("not", emit("and", emit("not", x), emit("not", y)))
    program = program_of(both, [secret_bits((64,))] * 2, config)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jmpc.config import Config
from jmpc.ir import ops
from jmpc.ir.program import Builder, Input, Output, Program, Value
from jmpc.ir.types import ARITH, FIXED, Type
from jmpc.roles import Role


def config_of(k: int, f: int = 2, protocol: str = "aby3") -> Config:
    """A configuration of any ring width: narrow rings can be enumerated."""
    config = Config(protocol=protocol)
    object.__setattr__(config, "k", k)
    object.__setattr__(config, "f", f)
    return config


def program_of(function: Callable[..., Any], types: Sequence[Type], config: Config, receiver: str = "carol") -> Program:
    """The share-level program of a function of (emit, *values); its results go to `receiver`, or stay shared."""
    params, build = tuple(Value(t) for t in types), Builder()

    def emit(name: str, *inputs: Value, **attrs: Any) -> Any:
        made = build.emit_many(name, inputs, ops.infer(name, [v.type for v in inputs], attrs, config), **attrs)
        return made[0] if len(made) == 1 else made

    found = function(emit, *params)
    results = found if isinstance(found, tuple) else (found,)
    inputs = tuple(Input(f"x[{n}]", Role.SECRET) for n in range(len(params)))
    outputs = tuple(Output(f"[{n}]", receiver, "float32") for n in range(len(results)))
    return Program("test", config, inputs, outputs, build.block(params, results))


def number(shape: tuple[int, ...], limit: int, form: str = ARITH, scale: int = 0) -> Type:
    return Type(shape, FIXED, scale, limit, form=form)


def one_op(name: str, types: Sequence[Type], config: Config, **attrs: Any) -> Program:
    """A program of one op whose results stay shared, so that both copies of a share are looked at."""
    return program_of(lambda emit, *values: emit(name, *values, **attrs), types, config, Role.SECRET)
