"""Rules of order: sorting, the largest few, running results, places in a sorted array.

What goes in: equations whose keys or operands are secret. What comes out: ranks, and operands moved to their ranks.
Ties are broken as JAX breaks them: a sort is stable, and of equal elements `top_k` takes the first.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jmpc.frontend.calls import call_rule, primitives_within
from jmpc.frontend.expand import expand
from jmpc.frontend.known import Known
from jmpc.frontend.public import is_public
from jmpc.frontend.rules.index import taken_in_clear
from jmpc.frontend.scope import Results, in_clear
from jmpc.frontend.walk import Operand, Walker, rule
from jmpc.ir.program import Value
from jmpc.ir.types import BOOL, INT
from jmpc.numerics.arrays.cumulative import running

MOST_COMPARED = 1 << 20  # beyond so many pairs, a search sorts the queries into the array


@rule("sort")
def _sort(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    axis, count = eqn.params["dimension"], eqn.params["num_keys"]
    if all(is_public(a) for a in args[:count]):
        return _sort_in_clear(w, args, axis, count)
    place = w.emit("rank", *(_last(w, w.secret(a), axis) for a in args[:count]))
    return [_moved(w, place, w.secret(a), axis) for a in args]


def _sort_in_clear(w: Walker, args: list[Operand], axis: int, count: int) -> list[Operand]:
    """By public keys: the order is public."""
    shape = args[0].shape

    def order(*keys: Any) -> list[Any]:
        number = lax.broadcasted_iota(np.int32, shape, axis)
        at = lax.sort((*keys, number), dimension=axis, is_stable=True, num_keys=count)[-1]
        places = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
        return [jnp.take_along_axis(places, at, axis)]

    keys = [in_clear(key) for key in args[:count]]
    scope = max((k.scope or w.root for k in keys), key=lambda s: s.depth)
    (which,) = scope.add(order, keys, [jax.ShapeDtypeStruct(shape, np.dtype(np.int32))])
    return [taken_in_clear(w, w.operand(a), which) for a in args]


def _last(w: Walker, x: Value, axis: int) -> Value:
    """With this axis last; twice, with a last axis put back, is the identity."""
    rank = len(x.shape)
    if axis == rank - 1:
        return x
    return w.emit("transpose", x, perm=(*(d for d in range(rank) if d != axis), axis))


def _back(w: Walker, x: Value, axis: int) -> Value:
    rank = len(x.shape)
    if axis == rank - 1:
        return x
    return w.emit("transpose", x, perm=(*range(axis), rank - 1, *range(axis, rank - 1)))


def _moved(w: Walker, place: Value, x: Value, axis: int) -> Value:
    return _back(w, w.emit("permute", place, _last(w, x, axis)), axis)


@rule("top_k")
def _top_k(w: Walker, eqn: Any, args: list[Operand]) -> list[Value]:
    return _first_few(w, args[0], eqn.params["k"], eqn.params.get("axis", -1))


@rule("approx_top_k")
def _approx_top_k(w: Walker, eqn: Any, args: list[Operand]) -> Results:
    """Exactly: an approximation that leaves out a few would save nothing here."""
    p, axis = eqn.params, eqn.params["reduction_dimension"]
    if eqn.outvars[0].aval.shape[axis] != p["k"]:
        return w.refuse(eqn, args, "candidates alone have no secure form: let aggregate_to_topk be True")
    return _first_few(w, args[0], p["k"], axis, largest=p["is_max_k"])


def _first_few(w: Walker, x: Operand, count: int, axis: int, largest: bool = True) -> list[Value]:
    """Values and places. Ranked by what falls as x rises: -x, of an integer -1 - x, which always fits."""
    x = w.secret(x)
    axis %= len(x.shape)
    x = _last(w, x, axis)
    place = w.emit("rank", _falling(w, x) if largest else x)
    number = w.secret(Known(x.shape, np.dtype(np.int32), concrete=np.broadcast_to(np.arange(x.shape[-1]), x.shape)))
    limits = (*x.shape[:-1], count)

    def first(v: Value) -> Value:
        found = w.emit("permute", place, v)
        found = w.emit("slice", found, start=(0,) * len(limits), limit=limits, strides=(1,) * len(limits))
        return _back(w, found, axis)

    return [first(x), first(number)]


def _falling(w: Walker, x: Value) -> Value:
    if x.type.kind == BOOL:
        return w.emit("not", x)
    if x.type.kind == INT:
        return w.emit("sub", w.emit("const", value=-1, shape=x.shape, kind=INT, scale=0), x)
    return w.emit("neg", x)


@rule("cumprod", "cummax", "cummin", "cumlogsumexp")
def _running(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand]:
    p = eqn.params
    return expand(w, running(eqn.primitive.name, p["axis"], p["reverse"]), *args, avals=[eqn.invars[0].aval])


# --- places in a sorted array


@call_rule("_searchsorted_scan_impl", "_searchsorted_via_scan")
def _searchsorted(w: Walker, eqn: Any, args: list[Operand]) -> list[Operand] | None:
    """JAX's default method is a binary search, which looks up secret places in every step: compare with all elements
    at once instead, or, of many, sort the queries into the array."""
    side = _side(eqn)
    if side is None or len(args) != 2 or len(args[0].shape) != 1:
        return None
    pairs = int(np.prod(args[0].shape)) * int(np.prod(args[1].shape))
    method = "compare_all" if pairs <= MOST_COMPARED else "sort"
    dtype = np.dtype(eqn.outvars[0].aval.dtype).name
    return expand(w, _search(side, method, dtype), *args, avals=[v.aval for v in eqn.invars])


@lru_cache(maxsize=64)
def _search(side: str, method: str, dtype: str) -> Any:
    def run(array: Any, queries: Any) -> Any:
        return jnp.searchsorted(array, queries, side=side, method=method).astype(dtype)

    return run


def _side(eqn: Any) -> str | None:
    """A search from the left steps by `query <= element`, one from the right by `query < element`."""
    found = primitives_within(eqn) & {"le_to", "lt_to"}
    return {"le_to": "left", "lt_to": "right"}[found.pop()] if len(found) == 1 else None
