"""A function that `jax.export` made, as the primitives that its StableHLO says.

What goes in: an `Exported`. What comes out: a jaxpr of the same arguments and results, which the front end walks like
any other; or UnsupportedError, with what in it has no equation of JAX. Not here: single ops (`ops.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import mlir
from jaxlib.mlir import ir

from jmpc import _typed
from jmpc._types import Array, as_sequence
from jmpc.errors import UnsupportedError
from jmpc.exported import attributes, regions
from jmpc.exported.ops import COMPOSITES, IDENTITIES, OPS, REDUCERS, SCATTERS, scatter_dimensions

# What older versions of JAX replace by a formula whose parts need the range of floating point.
SPELLED_OUT = '/erfc"('
REMEDY = "call the function that was exported, or export it without that"


@lru_cache(maxsize=64)
def body_of(exported: Any) -> Any:
    """The closed jaxpr of an exported function. Raises UnsupportedError."""
    name = exported.fun_name
    shapes = [n for aval in exported.in_avals for n in aval.shape]
    if not all(isinstance(n, int) for n in shapes):
        raise _refused(name, "it is for shapes that are not known", "export it for the shapes of the call")
    if exported.nr_devices != 1:
        raise _refused(name, f"it is for {exported.nr_devices} devices", "export it for one")
    with jax.enable_x64(True), mlir.make_ir_context():
        module = cast(Any, ir).Module.parse(exported.mlir_module())
        inliner = Inliner(module, name)

        def run(*arrays: Any) -> list[Any]:
            kept = [arrays[n] for n in exported.module_kept_var_idx]
            if len(exported.platforms) > 1:  # the program asks which of them it runs on
                kept.insert(0, np.int32(exported.platforms.index("cpu") if "cpu" in exported.platforms else 0))
            return inliner.call("main", kept)

        return _typed.make_jaxpr(run, *(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in exported.in_avals))


def _refused(name: str, what: str, todo: str) -> UnsupportedError:
    return UnsupportedError(
        f"the exported function {name} has no secure form: {what}",
        why="of an exported function only the StableHLO is left, which is read back op by op",
        todo=todo,
    )


class Inliner:
    """Runs a module's functions on arrays, so that JAX traces them."""

    def __init__(self, module: Any, name: str) -> None:
        self.name = name
        self.functions = {attributes.word(op, "sym_name"): op for op in module.body.operations}

    def call(self, name: str, args: Sequence[Any]) -> list[Any]:
        return self.block(self.functions[name].regions[0].blocks[0], args, {})

    def block(self, block: Any, args: Sequence[Any], outer: dict[Any, Any]) -> list[Any]:
        """outer: the values around, which a region sees."""
        env = {**outer, **dict(zip(block.arguments, args, strict=True))}
        for line in block.operations:
            op = line.operation
            if SPELLED_OUT in str(line.location) and op.name != "stablehlo.composite":
                raise self.refuse("an erfc that is spelled out, which leaves the number format")
            values = [env[v] for v in op.operands]
            if op.name in ("func.return", "stablehlo.return"):
                return values
            env.update(zip(op.results, self.op(op, values, env), strict=True))
        raise AssertionError("a block ends with a return")

    def op(self, op: Any, values: list[Any], env: dict[Any, Any]) -> Sequence[Any]:
        name = op.name.removeprefix("stablehlo.")
        if name in OPS:
            return as_sequence(OPS[name](op, *values))
        if name in STRUCTURED:
            return STRUCTURED[name](self, op, values, env)
        if name in ("call", "func.call"):
            return self.call(attributes.word(op, "callee"), values)
        raise self.refuse(op.name)

    def refuse(self, what: str) -> UnsupportedError:
        return _refused(self.name, f"it holds {what}", REMEDY)

    def region(self, op: Any, number: int, env: dict[Any, Any]) -> Callable[[Sequence[Any]], list[Any]]:
        block = op.regions[number].blocks[0]
        return lambda args: self.block(block, args, env)


def _composite(inliner: Inliner, op: Any, values: list[Any], env: dict[Any, Any]) -> Sequence[Any]:
    """A function that JAX has a name for, or what stands for it."""
    name = attributes.word(op, "name")
    if name in COMPOSITES:
        return as_sequence(COMPOSITES[name](op, *values))
    return inliner.call(attributes.word(op, "decomposition"), values)


def _custom_call(inliner: Inliner, op: Any, values: list[Any], env: dict[Any, Any]) -> Sequence[Any]:
    target = attributes.word(op, "call_target_name")
    if target in IDENTITIES:
        return values
    raise inliner.refuse(f"a call of {target}, which is compiled code")


def _reduce(inliner: Inliner, op: Any, values: list[Any], env: dict[Any, Any]) -> Sequence[Any]:
    half = len(values) // 2
    operands, starts = values[:half], values[half:]
    axes = attributes.numbers(op, "dimensions")
    reducer = regions.single_op(op.regions[0].blocks[0]).removeprefix("stablehlo.") if half == 1 else ""
    if reducer in REDUCERS:
        reduced, combine, identity = REDUCERS[reducer]
        out = reduced(operands[0], axes)
        return [out if identity(starts[0]) else combine(out, jnp.broadcast_to(starts[0], out.shape))]
    run = inliner.region(op, 0, env)
    if half == 2 and len(axes) == 1 and _counts_along(op.operands[1], axes[0]):
        dtypes = [np.dtype(v.dtype) for v in operands]
        which = regions.arg_of(run, dtypes)
        if which:
            place = (lax.argmax if which == "argmax" else lax.argmin)(operands[0], axes[0], dtypes[1])
            best = REDUCERS["maximum" if which == "argmax" else "minimum"][0](operands[0], axes)
            return [best, place]
    arrays = [_typed.asarray(v) for v in values]
    return lax.reduce(arrays[:half], arrays[half:], lambda a, b: run([*a, *b]), axes)


def _counts_along(value: Any, axis: int) -> bool:
    owner = value.owner
    operation = getattr(owner, "operation", owner)
    return getattr(operation, "name", "") == "stablehlo.iota" and attributes.number(operation, "iota_dimension") == axis


def _reduce_window(inliner: Inliner, op: Any, values: list[Any], env: dict[Any, Any]) -> Sequence[Any]:
    reducer = regions.single_op(op.regions[0].blocks[0]).removeprefix("stablehlo.")
    if len(values) != 2 or reducer not in REDUCERS:
        raise inliner.refuse("a window of an operation of its own")
    rank = len(values[0].shape)
    ones = (1,) * rank
    return [
        _typed.reduce_window(
            values[0],
            values[1],
            REDUCERS[reducer][1],
            attributes.numbers(op, "window_dimensions"),
            attributes.numbers(op, "window_strides") or ones,
            attributes.pairs(op, "padding", rank),
            attributes.numbers(op, "base_dilations") or ones,
            attributes.numbers(op, "window_dilations") or ones,
        )
    ]


def _sort(inliner: Inliner, op: Any, values: list[Any], env: dict[Any, Any]) -> Sequence[Any]:
    keys = regions.keys_of(inliner.region(op, 0, env), [np.dtype(v.dtype) for v in values])
    if not keys:
        raise inliner.refuse("a sort by a comparison of its own")
    axis = attributes.number(op, "dimension", len(values[0].shape) - 1)
    return lax.sort(tuple(map(_typed.asarray, values)), axis, num_keys=keys)


def _scatter(inliner: Inliner, op: Any, values: list[Any], env: dict[Any, Any]) -> Sequence[Any]:
    block = op.regions[0].blocks[0]
    update = "" if regions.returns_argument(block, 1) else regions.single_op(block).removeprefix("stablehlo.")
    if len(values) != 3 or update not in SCATTERS:
        raise inliner.refuse("a scatter by an operation of its own")
    return [SCATTERS[update](*map(_typed.asarray, values), scatter_dimensions(op), mode="drop")]


def _while(inliner: Inliner, op: Any, values: list[Any], env: dict[Any, Any]) -> Sequence[Any]:
    going, step = inliner.region(op, 0, env), inliner.region(op, 1, env)
    start = tuple(map(_typed.asarray, values))

    def goes_on(carry: tuple[Array, ...]) -> Array:
        return _typed.reshape(going(carry)[0], ())

    return lax.while_loop(goes_on, lambda carry: tuple(map(_typed.asarray, step(carry))), start)


def _case(inliner: Inliner, op: Any, values: list[Any], env: dict[Any, Any]) -> Sequence[Any]:
    runs = [inliner.region(op, n, env) for n in range(len(op.regions))]
    branches = [_without_arguments(run) for run in runs]
    if op.name == "stablehlo.if":
        return _typed.cond(values[0], *branches)
    outside = (values[0] < 0) | (values[0] >= len(runs))  # then it is the last
    return _typed.switch(jnp.where(outside, len(runs) - 1, values[0]), branches)


def _without_arguments(run: regions.Run) -> Callable[[], list[Any]]:
    return lambda: [_typed.asarray(v) for v in run([])]


STRUCTURED: dict[str, Callable[[Inliner, Any, list[Any], dict[Any, Any]], Sequence[Any]]] = {
    "composite": _composite,
    "custom_call": _custom_call,
    "reduce": _reduce,
    "reduce_window": _reduce_window,
    "sort": _sort,
    "scatter": _scatter,
    "while": _while,
    "case": _case,
    "if": _case,
}
