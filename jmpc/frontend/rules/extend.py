"""The rule for ops from outside the package (`jmpc.extend`): the op itself, or what it computes in plain JAX where the
family at hand has no protocol for it."""

from __future__ import annotations

from typing import Any

from jmpc import _jax, families
from jmpc.errors import BoundError, ConfigError
from jmpc.extend.operation import NAMES, Operation
from jmpc.frontend import kinds
from jmpc.frontend.expand import with_fraction
from jmpc.frontend.fixed_point import saturation
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.ir import ops
from jmpc.ir.program import Value
from jmpc.ir.types import BOOL, FIXED


@rule(_jax.OPERATION)
def _operation(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    operation, attrs = eqn.params["operation"], dict(eqn.params["attrs"])
    if operation.name not in families.of(w.config).protocols:
        return w.by_rule("(decomposed)", eqn, args)
    _check_attributes(w, operation, attrs)
    operands = [w.secret(a) for a in args]
    for v in operands:
        if (line := saturation.source(w, v)) is not None:  # the op is told of no number beyond the format
            w.shared.warn(w.build.loc, saturation.message(line, w.config))
    try:
        types = ops.infer(operation.name, [v.type for v in operands], attrs, w.config, w.build.loc)
    except BoundError as error:
        raise BoundError(error.what, where=w.build.loc, why=error.why, todo=error.todo) from None
    made = w.build.emit_many(operation.name, operands, types, **attrs)
    return [_as_said(w, operation, value, var.aval) for value, var in zip(made, eqn.outvars, strict=True)]


def _check_attributes(w: Walker, operation: Operation, attrs: dict[str, Any]) -> None:
    for name, of in operation.attrs.items():
        if not of.holds(attrs[name], w.config):
            raise ConfigError(
                f"{operation.name}: {name}={attrs[name]!r} is not possible", where=w.build.loc, todo=f"give {of.wanted}"
            )


def _as_said(w: Walker, operation: Operation, value: Value, aval: Any) -> Value:
    """A result, which must be what the plain function gives too."""
    kind = kinds.kind_of(aval.dtype, w.build.loc)
    if kind != value.type.kind or tuple(aval.shape) != value.shape:
        raise ConfigError(
            f"{operation.name}: its plain meaning gives {aval.dtype}{list(aval.shape)}, and the op "
            f"{NAMES[value.type.kind]} of shape {list(value.shape)}",
            where=operation.where,
            todo="make what plain= computes and what gives= and shape= say the same",
        )
    if kind == BOOL:
        return value
    return with_fraction(w, value, w.config.f) if kind == FIXED else value
