"""The front end and the passes against plain JAX, without shares.

What goes in: a function and its arguments. What comes out: what the optimised value-level program means, by the
interpreter of the Share IR, decoded as a call decodes it; or an assertion that it is what plain JAX gives. Not here:
protocols, which only calls run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import pytest

import jmpc
from jmpc.api import Compiled, Lowered
from jmpc.frontend.walk import Operand, Walker
from jmpc.ir import interp, ops
from jmpc.ir.program import Value
from jmpc.ir.types import ASSUMED, BITS
from jmpc.ring.element import Ring

TOLERANCE = 2e-4


def run(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """The result of a secure function, by the meaning of its program."""
    secured = jmpc.secure(function, **options)
    lowered = secured.lower(*args)
    leaves = Compiled(lowered)._results(lowered.flow, *_opened(lowered, secured.signature.bind(args, {})))
    return jax.tree.unflatten(lowered.out_tree, leaves)


def _opened(lowered: Lowered, call: Any) -> tuple[list[Any], list[Any]]:
    flow, config = lowered.flow, lowered.traced.secured.config
    ring = Ring(config.k)
    values = iter(lowered._evaluate(call.arrays()))
    fed = [_in_units(np.asarray(next(values)), source.type) for source in flow.frontier.sources]
    program = list(flow.stages.values())[-1]
    found = interp.evaluate(program, fed)
    held = zip(found, program.body.results, strict=True)
    return [x if v.type.form == BITS else ring.from_int(x) for x, v in held], list(values)


def _in_units(array: np.ndarray, t: Any) -> np.ndarray:
    if t.kind == "bool":
        return array.astype(bool)
    if t.kind == "int":
        return array.astype(np.int64)
    return np.rint(np.ldexp(array.astype(np.float64), t.scale)).astype(np.int64)


def assert_same(found: Any, expected: Any, tolerance: float = TOLERANCE) -> None:
    """Structure, shapes and dtypes equal; numbers within `tolerance`, absolute plus relative; the rest equal."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    pairs = zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True)
    for (path, one), two in pairs:
        where, two = jax.tree_util.keystr(path), jax.numpy.asarray(two)
        assert (one.shape, one.dtype) == (two.shape, two.dtype), where
        bound = tolerance if jax.numpy.issubdtype(two.dtype, np.floating) else 0
        np.testing.assert_allclose(
            np.asarray(one, np.float64), np.asarray(two, np.float64), rtol=bound, atol=bound, err_msg=where
        )


def check(function: Callable[..., Any], *args: Any, tolerance: float = TOLERANCE, **options: Any) -> None:
    """The secure function means what the plain one does."""
    assert_same(run(function, *args, **options), jax.jit(function)(*args), tolerance)


@contextmanager
def values_keep_the_contract() -> Iterator[None]:
    """Of no value of a user's function is more assumed than the number format promises."""
    equation, beyond = Walker.equation, []

    def watched(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
        outs = equation(w, eqn, args)
        for v in outs if not w.inside else ():
            if isinstance(v, Value) and v.type.origin == ASSUMED:
                most = ops.contract(v.type.scale, w.config, v.type.kind)
                beyond.extend([f"{eqn.primitive.name}: {v.type}"] if v.type.limit > most else [])
        return outs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Walker, "equation", watched)
        yield
    assert not beyond
