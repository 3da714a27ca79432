"""How the arrays of a stored value hang together, as a text that another client can read without any code of ours.

In: a pytree of dicts, lists, tuples and None. Out: its text, and back. What has other nodes (a named tuple, a module)
has no text: who wants it back gives a template. Text comes from other clients by way of the parties, and is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

import jax

from jmpc import _typed
from jmpc.errors import ArgumentError, StoreError
from jmpc.runtime.schema import is_list

MOST_PATH = 400  # characters that contents have for one
DEEPEST = 100
_LEAF = 0


def text_of(tree: Any) -> str:
    """The text of a tree's structure, or "" where it has none."""
    try:
        return json.dumps(_written(tree), separators=(",", ":"))
    except _NoText:
        return ""


def paths_of(tree: Any) -> list[str]:
    """Of each leaf, in order."""
    found, _ = _typed.flatten_with_paths(tree)
    return [shortened(_typed.keystr(path)) for path, _ in found]


def shortened(path: str) -> str:
    return path if len(path) <= MOST_PATH else f"{path[: MOST_PATH // 2 - 2]}...{path[-MOST_PATH // 2 + 2 :]}"


def rebuilt(name: str, text: str, paths: Sequence[str], leaves: Sequence[Any], like: Any = None) -> Any:
    """The tree of a stored value. text: of its structure.  like: a tree of the same paths, where it has none. Raises
    ArgumentError where there is neither, or where they differ; StoreError for a text that does not fit the paths."""
    if like is not None:
        return _as_like(name, paths, leaves, like)
    if not text:
        raise ArgumentError(
            f"the structure of {name!r} cannot be told from what is stored",
            where=f"stored({name!r})",
            why="it has nodes other than dicts, lists, tuples and None, and no code is stored",
            todo="give a value of the same structure, of any numbers: stored(name, like=template)",
        )
    numbered = _read(text)
    if paths_of(numbered) != list(paths):
        raise StoreError(
            f"what is stored as {name!r} does not fit together",
            where=f"stored({name!r})",
            why="its structure has other arrays than its list of arrays",
            todo="have its owner put it again",
        )
    return _typed.unflatten(_typed.structure(numbered), leaves)


def _as_like(name: str, paths: Sequence[str], leaves: Sequence[Any], like: Any) -> Any:
    wanted = paths_of(like)
    if wanted != list(paths):
        missing, more = sorted(set(paths) - set(wanted)), sorted(set(wanted) - set(paths))
        lacking = [f"it lacks {path or 'the array'}" for path in missing[:5]]
        besides = [f"it has {path or 'an array'} besides" for path in more[:5]]
        raise ArgumentError(
            f"the template for {name!r} has another structure",
            where=f"stored({name!r}, like=...)",
            why="; ".join([*lacking, *besides]) or "its arrays are in another order",
            todo="give a value of the structure that was stored",
        )
    return _typed.unflatten(_typed.structure(like), leaves)


class _NoText(Exception):
    """A node that is no dict, list, tuple or None."""


def _written(node: Any) -> Any:
    if node is None:
        return None
    if type(node) is dict:
        items = cast("dict[object, Any]", node)
        if not all(type(key) in (str, int) for key in items):
            raise _NoText
        return {"dict": [[key, _written(items[key])] for key in _in_order(items)]}
    if type(node) in (list, tuple):
        return {type(node).__name__: [_written(child) for child in node]}
    if not jax.tree_util.all_leaves([node]):
        raise _NoText
    return _LEAF


def _in_order(items: dict[object, Any]) -> list[Any]:
    """The keys as JAX has them."""
    try:
        return sorted(items)  # pyright: ignore[reportArgumentType]
    except TypeError:
        raise _NoText from None


def _read(text: str) -> Any:
    """A tree whose leaves are numbers from 0 on."""
    try:
        return _node(json.loads(text), iter(range(len(text))), 0)
    except (ValueError, RecursionError) as exc:
        raise StoreError("the structure of a stored value cannot be read", todo="have its owner put it again") from exc


def _node(found: Any, numbers: Iterator[int], depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError("too deep")
    if found is None:
        return None
    if found == _LEAF and type(found) is int:
        return next(numbers)
    match found:
        case {"list": children} if is_list(children):
            return [_node(child, numbers, depth + 1) for child in children]
        case {"tuple": children} if is_list(children):
            return tuple(_node(child, numbers, depth + 1) for child in children)
        case {"dict": items} if is_list(items):
            return dict(_item(item, numbers, depth) for item in items)
        case _:
            raise ValueError("no node")


def _item(item: Any, numbers: Iterator[int], depth: int) -> tuple[str | int, Any]:
    match item:
        case [str() | int() as key, child] if type(key) in (str, int):
            return key, _node(child, numbers, depth + 1)
        case _:
            raise ValueError("no item of a dict")
