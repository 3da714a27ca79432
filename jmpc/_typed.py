"""Functions of JAX that say their types in part only, each with all of its types.

What goes in and out: what the function of that name in `jax`, `jax.lax`, `jax.numpy`, `jax.tree` or `jax.tree_util`
takes and gives; of its parameters those that jmpc uses. Nothing here computes, and functions whose types JAX says are
not here. JAX's inside is another file's (`_jax.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax import lax

from jmpc._types import AnyArray, Array

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S")

Dims = tuple[tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]]
Path = tuple[Any, ...]  # of keys of JAX's, from the root of a tree
Structure = Any  # JAX's `PyTreeDef`

_jax_itself: Any = jax
_lax: Any = lax

settings: Any = jax.config  # its attributes are made while JAX is imported


# --- arrays


def asarray(x: object, dtype: Any = None) -> Array:
    return _jax_itself.numpy.asarray(x, dtype)


def arange(stop: Any, dtype: Any = None) -> Array:
    return _jax_itself.numpy.arange(stop, dtype=dtype)


def zeros(shape: Sequence[int], dtype: Any = None) -> Array:
    return _jax_itself.numpy.zeros(shape, dtype)


def zeros_like(x: AnyArray) -> Array:
    return _jax_itself.numpy.zeros_like(x)


def ones_like(x: AnyArray) -> Array:
    return _jax_itself.numpy.ones_like(x)


def eps(dtype: Any) -> float:
    """`finfo.eps`: how far the number after 1 is from it."""
    return float(_jax_itself.numpy.finfo(dtype).eps)


def reshape(x: AnyArray, shape: tuple[int, ...]) -> Array:
    return _jax_itself.numpy.reshape(x, shape)


def pad(x: AnyArray, widths: Sequence[tuple[int, int]]) -> Array:
    """With zeros."""
    return _jax_itself.numpy.pad(x, widths)


def diagonal(matrices: AnyArray) -> Array:
    """Along the last two axes."""
    return _jax_itself.numpy.diagonal(matrices, axis1=-2, axis2=-1)


def broadcast(x: AnyArray, sizes: Sequence[int]) -> Array:
    return _lax.broadcast(x, sizes)


def broadcast_in_dim(x: AnyArray, shape: Sequence[int], dimensions: Sequence[int]) -> Array:
    return _lax.broadcast_in_dim(x, shape, dimensions)


def broadcasted_iota(dtype: Any, shape: Sequence[int], dimension: int) -> Array:
    return _lax.broadcasted_iota(dtype, shape, dimension)


def dot_general(x: AnyArray, y: AnyArray, dims: Dims, dtype: Any = None) -> Array:
    """dtype: in which products are added, that of the operands by default."""
    return _lax.dot_general(x, y, dims, preferred_element_type=dtype)


def dynamic_index_in_dim(x: AnyArray, index: Any, axis: int, keepdims: bool = True) -> Array:
    return _lax.dynamic_index_in_dim(x, index, axis, keepdims)


def gather(
    x: AnyArray, index: AnyArray, dims: lax.GatherDimensionNumbers, sizes: tuple[int, ...], mode: str, fill: Any = None
) -> Array:
    return _lax.gather(x, index, dims, sizes, mode=mode, fill_value=fill)


def reduce_window(x: AnyArray, initial: Any, operation: Callable[..., Any], *window: Any) -> Array:
    """window: its sizes, strides, padding, the dilation of the operand and its own."""
    return _lax.reduce_window(x, initial, operation, *window)


def associative_scan(operator: Callable[[Array, Array], Array], x: Array, *, reverse: bool, axis: int) -> Array:
    return _lax.associative_scan(operator, x, reverse=reverse, axis=axis)


def fft(x: AnyArray, kind: str, lengths: Sequence[int]) -> Array:
    return _lax.fft(x, kind, lengths)


def optimization_barrier(x: Array) -> Array:
    return _lax.optimization_barrier(x)


def ppermute(x: Array, axis: str, pairs: Sequence[tuple[int, int]]) -> Array:
    return _lax.ppermute(x, axis, pairs)


# --- control flow and compilation


def fori_loop(lower: int, upper: int, body: Callable[[Array, S], S], initial: S) -> S:
    return _lax.fori_loop(lower, upper, body, initial)


def cond(condition: Any, if_true: Callable[[], S], if_false: Callable[[], S]) -> S:
    return _lax.cond(condition, if_true, if_false)


def switch(index: Array, branches: Sequence[Callable[..., S]], *operands: Array) -> S:
    return _lax.switch(index, branches, *operands)


def jit(function: F) -> F:
    return _jax_itself.jit(function)


def lowered(function: Callable[..., Any], arguments: Sequence[Any], **options: Any) -> Any:
    """A function of these arguments, all of which it keeps, as `jax.stages.Lowered`. options: of `jax.jit`."""
    return _jax_itself.jit(function, keep_unused=True, **options).lower(*arguments)


def array_of_parts(shape: tuple[int, ...], sharding: Any, part: Callable[[Any], Any]) -> Array:
    """An array that is made of a part for each device of this process."""
    return _jax_itself.make_array_from_callback(shape, sharding, part)


def eval_shape(function: Callable[..., Any], *arguments: Any) -> Any:
    return _jax_itself.eval_shape(function, *arguments)


def make_jaxpr(function: Callable[..., Any], *arguments: Any) -> Any:
    """Closed."""
    return _jax_itself.make_jaxpr(function)(*arguments)


def device_put(arrays: S, device: Any) -> S:
    """An array, or a tree of them, on a device; arrays of NumPy become JAX's."""
    return _jax_itself.device_put(arrays, device)


def bind(primitive: Any, *operands: AnyArray, **params: Any) -> list[Array]:
    """The results of a primitive that has several."""
    return primitive.bind(*operands, **params)


# --- trees


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Structure]:
    return _jax_itself.tree.flatten(tree, is_leaf)


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    return _jax_itself.tree.unflatten(structure, leaves)


def structure(tree: Any) -> Structure:
    return _jax_itself.tree.structure(tree)


def flatten_with_paths(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[tuple[Path, Any]], Structure]:
    return _jax_itself.tree_util.tree_flatten_with_path(tree, is_leaf)


def keystr(path: Path) -> str:
    return _jax_itself.tree_util.keystr(path)
