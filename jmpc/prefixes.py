"""Who supplies an argument and who learns a result: pytree prefixes of names, as `secure` is told them.

What goes in: what `secure` was told, and the arguments or results that it is about. What comes out: for each leaf an
owner, or its receivers; or ConfigError.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, cast

import jax

from jmpc import _typed
from jmpc.errors import ConfigError
from jmpc.roles import MOST_CHARACTERS, Role, name_fault


class Mismatch(Exception):
    """A prefix that does not have the structure of what it is for; told to users as a ConfigError."""


def names_in(prefix: Any) -> Iterator[Any]:
    """Every name in a prefix; also what stands in the place of one and is none."""
    for leaf in jax.tree.leaves(prefix, is_leaf=lambda node: node is None):
        yield from leaf if isinstance(leaf, set | frozenset) else (leaf,)


def check_owner(function: str, owner: Any, key: str) -> None:
    """Raises ConfigError for what cannot be the name of an owner."""
    fault = name_fault(owner)
    if not fault:
        return
    todo = "choose another name"
    if owner == Role.SECRET:
        todo = f"leave out of {key} what such a result is passed to: a handle is with the parties and needs no owner"
    if isinstance(owner, str) and len(owner) > MOST_CHARACTERS:
        owner = owner[:20] + "..."
    raise ConfigError(
        f"{function}: {owner!r} is not the name of an owner",
        where=f"secure({key}=...)",
        why=fault,
        todo=todo,
    )


def looks(owner: str) -> str:
    """Equal for names that look alike."""
    return " ".join(unicodedata.normalize("NFKC", owner).split())


def check_apart(function: str, owners: set[str]) -> None:
    """Raises ConfigError for two owners whose names look alike: they differ in blanks, or in how letters are
    written."""
    seen: dict[str, str] = {}
    for owner in sorted(owners):
        other = seen.setdefault(looks(owner), owner)
        if other != owner:
            raise ConfigError(
                f"{function}: two owners are named {other!a} and {owner!a}",
                where="secure(inputs=..., owners=...)",
                why="the names look alike, and whoever reads a report could not tell whose a value is",
                todo="write it in one way, or choose another name",
            )


def check_receivers(function: str, outputs: Any, known: set[str]) -> None:
    """Raises ConfigError for a receiver that is no owner."""
    for receiver in names_in(outputs):
        if not isinstance(receiver, str) or receiver not in known:
            raise ConfigError(
                f"{function}: unknown owner {receiver!r}",
                where="secure(outputs=...)",
                why=f"the owners are {', '.join(sorted(known - {Role.SECRET}))}",
                todo=["name one of them, or jmpc.SECRET", f"or make it known: secure(owners=[{receiver!r}])"],
            )


def owners_of(function: str, prefix: Any, arguments: Any) -> list[str]:
    """The owner of each leaf of the arguments. prefix: owners, by argument."""
    try:
        return [_only(names) for names in spread(prefix, arguments)]
    except Mismatch as error:
        raise ConfigError(
            f"{function}: inputs does not fit an argument: {error}",
            where="secure(inputs=...)",
            why="the owner of an argument is one name, or names in its structure: one for each array",
            todo='write inputs={"x": "alice"}, or inputs={"x": {"a": "alice", "b": "bob"}} for a dict of two',
        ) from error


def _only(names: tuple[str, ...]) -> str:
    if len(names) != 1:
        raise Mismatch(f"one array has the owners {', '.join(names)}")
    return names[0]


def receivers_of(function: str, outputs: Any, result: Any) -> list[tuple[str, ...]]:
    """The receivers of each leaf of the result."""
    try:
        found = spread(outputs, result)
    except Mismatch as error:
        raise ConfigError(
            f"{function}: outputs is not a prefix of the result's structure: {error}",
            where="secure(outputs=...)",
            why=f"the result is {_typed.structure(result)}",
            todo=[
                "give one name, or names in the structure of the result",
                'for several receivers of one array give a list, for those of a whole pytree a set: {"alice", "bob"}',
            ],
        ) from error
    if any(Role.SECRET in names and len(names) > 1 for names in found):
        raise ConfigError(
            f"{function}: a result stays shared and has a receiver",
            where="secure(outputs=...)",
            why="jmpc.SECRET stands alone: a handle, or an array",
            todo="return the value twice, once for each",
        )
    return found


def spread(prefix: Any, tree: Any) -> list[tuple[str, ...]]:
    """The names for each leaf of `tree`. One name, or a set of names, is for all leaves below; where a single array
    stands, so is a list or a tuple of names. Raises Mismatch."""
    if isinstance(prefix, str):
        return [(prefix,)] * len(jax.tree.leaves(tree))
    if isinstance(prefix, set | frozenset):
        return [_several(sorted(cast("set[str]", prefix)))] * len(jax.tree.leaves(tree))
    if jax.tree_util.all_leaves([tree]):
        if isinstance(prefix, list | tuple):
            return [_several(prefix)]
        raise Mismatch(f"{type(prefix).__name__} for one array")
    (below, kind), (parts, wanted) = _one_level(tree), _one_level(prefix)
    if wanted != kind:
        raise Mismatch(f"{wanted} for {kind}")
    return [names for part, node in zip(parts, below, strict=True) for names in spread(part, node)]


def _several(names: Any) -> tuple[str, ...]:
    if not names or not all(isinstance(name, str) for name in names):
        raise Mismatch("a list of receivers holds names, at least one")
    return tuple(dict.fromkeys(names))


def _one_level(node: Any) -> tuple[list[Any], Any]:
    return _typed.flatten(node, is_leaf=lambda x: x is not node)
