"""Fold constants: shape changes of a constant, sums and products with 0 and 1, scalings of a constant."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.ir.ops import linear_shape
from jmpc.ir.program import Op, Program, Value
from jmpc.passes.rewrite import Rewriter, rewrite

RESHAPES = ("reshape", "transpose", "broadcast", "slice", "rev")


def fold_constants(program: Program) -> Program:
    return rewrite(program, _fold)


def _fold(rewriter: Rewriter, op: Op, inputs: list[Value]) -> Sequence[Value] | None:
    consts = [rewriter.source(v, "const") for v in inputs]
    if not any(consts):
        return None
    if op.name in RESHAPES and consts[0]:
        shape = linear_shape(op.name, [inputs[0].type], op.attrs)
        return [rewriter.emit("const", **{**consts[0].attrs, "shape": shape})]
    if op.name == "neg" and consts[0]:
        return [rewriter.emit("const", **{**consts[0].attrs, "value": -consts[0].attrs["value"]})]
    if op.name == "scale_up" and consts[0]:
        attrs, bits = consts[0].attrs, op.attrs["bits"]
        return [
            rewriter.emit(
                "const", value=attrs["value"] << bits, shape=attrs["shape"], kind="fixed", scale=attrs["scale"] + bits
            )
        ]
    if op.name in ("add", "sub") and consts[1] and consts[1].attrs["value"] == 0:
        return [inputs[0]]
    if op.name == "add" and consts[0] and consts[0].attrs["value"] == 0:
        return [inputs[1]]
    if op.name == "mul":
        return _times_one(inputs, consts)
    return None


def _times_one(inputs: list[Value], consts: list[Op | None]) -> Sequence[Value] | None:
    for one, other in ((0, 1), (1, 0)):
        const = consts[one]
        same_kind = const is not None and (
            const.attrs["kind"] == inputs[other].type.kind or const.attrs["kind"] == "int"
        )
        if const is not None and same_kind and const.attrs["value"] == 1 and const.attrs["scale"] == 0:
            return [inputs[other]]
    return None
