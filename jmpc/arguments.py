"""Binding a call: which leaf of which argument is static, public, some owner's, or shared already.

What goes in: the function's signature, what `secure` was told, and a call. What comes out: a `Call` of flat leaves,
which rebuilds the arguments, and a key that is equal for calls that share a compilation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from jmpc.errors import ArgumentError, ConfigError
from jmpc.frontend.walk import CALLER, STORED
from jmpc.handle import SecretArray
from jmpc.ir.types import BOOL, Type


@dataclass(frozen=True)
class Leaf:
    """One array of a call. owner: empty if public.  stored: the type of a handle's value."""

    path: str
    owner: str
    shape: tuple[int, ...]
    dtype: Any
    value: Any = field(repr=False)
    stored: Type | None = None


@dataclass(frozen=True)
class Call:
    """A call's arguments. They show themselves by paths, shapes and owners, never by values."""

    leaves: list[Leaf]
    tree: Any
    statics: tuple[tuple[str, Any], ...] = field(repr=False)
    rebuild: Callable[[Sequence[Any]], tuple[list[Any], dict[str, Any]]] = field(repr=False)

    def described(self) -> Call:
        """The same call without its values: what a compilation keeps of the call that asked for it."""
        leaves = [replace(x, value=jax.ShapeDtypeStruct(x.shape, x.dtype)) for x in self.leaves]
        return Call(leaves, self.tree, self.statics, _forgotten)

    def key(self) -> Any:
        described = tuple((x.path, x.shape, str(x.dtype), x.owner, x.stored) for x in self.leaves)
        return described, self.tree, self.statics, bool(jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]

    def takes(self, call: Call) -> bool:
        """Whether what is compiled for this call runs the other one: a handle may be known to be within less."""
        if len(self.leaves) != len(call.leaves):
            return False
        pairs = zip(self.leaves, call.leaves, strict=True)
        held = [replace(b, stored=a.stored) if _is_wider(a.stored, b.stored) else b for a, b in pairs]
        return replace(call, leaves=held).key() == self.key()

    def arrays(self) -> list[Any]:
        for leaf in self.leaves:
            if isinstance(leaf.value, jax.ShapeDtypeStruct):
                raise ArgumentError(
                    f"{leaf.path} is a shape without values",
                    where=leaf.path,
                    why="jax.ShapeDtypeStruct is for trace and lower",
                    todo="pass an array to run",
                )
        return [x.value for x in self.leaves]


def _is_wider(one: Type | None, other: Type | None) -> bool:
    return one is not None and other is not None and one.contains(other)


def _forgotten(arrays: Sequence[Any]) -> Any:
    raise AssertionError("a compilation keeps no argument")


def describe(expected: Call, got: Call) -> str:
    """What differs between two calls."""
    a, b = ({x.path: x for x in c.leaves} for c in (expected, got))
    lines = [f"{path}: missing" for path in a.keys() - b.keys()] + [
        f"{path}: unexpected" for path in b.keys() - a.keys()
    ]
    for path in a.keys() & b.keys():
        one, two = _described(a[path]), _described(b[path])
        if one != two:
            lines.append(f"{path}: compiled for {one}, called with {two}")
    static = dict(expected.statics), dict(got.statics)
    lines += [f"{n}: another static value" for n in static[1] if n not in static[0] or static[0][n] != static[1][n]]
    return "; ".join(sorted(lines)) or "the structure of a pytree or jax_enable_x64 differs"


def nearest(earlier: Sequence[Call], got: Call) -> str:
    """What differs between a call and the earlier one that it has most in common with. Shapes, dtypes and bounds are
    named, and which static arguments differ: no value."""
    found = [describe(call, got) for call in earlier]
    return min(found, key=lambda text: (text.count(";"), len(text)), default="it is the first call")


def _described(leaf: Leaf) -> str:
    text = f"{leaf.dtype}{list(leaf.shape)}"
    if leaf.stored is None:
        return text
    t = leaf.stored
    return f"{text} (shared)" if t.kind == BOOL else f"{text} (shared, {t.origin} |x| <= {t.limit / 2**t.scale:.6g})"


class Signature:
    """What `secure` was told about a function, checked against its signature."""

    def __init__(
        self, function: Callable[..., Any], inputs: Mapping[str, str] | None, public: Sequence[str],
        owners: Sequence[str], outputs: Any, static_argnums: int | Sequence[int], static_argnames: str | Sequence[str],
    ) -> None:  # fmt: skip
        self.name = getattr(function, "__name__", "function")
        self.signature = inspect.signature(function)
        names = list(self.signature.parameters)
        self.inputs, self.outputs = _mapping(self.name, inputs), outputs
        self.public = (public,) if isinstance(public, str) else tuple(public)
        nums = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
        statics = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
        for n in nums:
            if not -len(names) <= n < len(names):
                raise ConfigError(f"{self.name}: static_argnums={n} is no argument", where="secure(static_argnums)")
        self.statics = {*statics, *(names[n] for n in nums)}
        for key, given in (("inputs", self.inputs), ("public", self.public), ("static_argnames", self.statics)):
            self._check_names(key, given, names)
        self._check_roles()
        self._check_owners([*self.inputs.values(), *owners])
        self.owners = {*self.inputs.values(), *owners, CALLER, STORED}
        self._check_receivers(outputs)

    def _check_names(self, key: str, given: Any, names: list[str]) -> None:
        variadic = any(p.kind is p.VAR_KEYWORD for p in self.signature.parameters.values())
        for name in given:
            if name not in names and not variadic:
                raise ConfigError(
                    f"{self.name} has no argument {name!r}",
                    where=f"secure({key}=...)",
                    why=f"its arguments are {', '.join(names)}",
                    todo="name one of them",
                )

    def _check_roles(self) -> None:
        roles = (("inputs", set(self.inputs)), ("public", set(self.public)), ("static_argnames", self.statics))
        for n, (one, first) in enumerate(roles):
            for other, second in roles[n + 1 :]:
                if both := first & second:
                    raise ConfigError(
                        f"{self.name}: {min(both)!r} is in {one} and in {other}",
                        where=f"secure({one}=..., {other}=...)",
                        why="an argument is one owner's, public or static",
                        todo="name it once",
                    )

    def _check_owners(self, owners: Sequence[Any]) -> None:
        for owner in owners:
            if not isinstance(owner, str) or not owner.isprintable() or not owner or owner == STORED:
                raise ConfigError(
                    f"{self.name}: {owner!r} is not the name of an owner",
                    where="secure(inputs=...)",
                    why="an owner is a printable text of at least one character",
                    todo="choose another name",
                )

    def _check_receivers(self, outputs: Any) -> None:
        for receiver in jax.tree.leaves(outputs):
            if receiver not in self.owners:
                known = ", ".join(sorted(self.owners - {STORED}))
                raise ConfigError(
                    f"{self.name}: unknown owner {receiver!r}",
                    where="secure(outputs=...)",
                    why=f"the owners are {known}",
                    todo=["name one of them, or jmpc.SECRET", f"or make it known: secure(owners=[{receiver!r}])"],
                )

    def receivers(self, out_shape: Any) -> list[str]:
        """The receiver of each flat result; `outputs` may be a prefix of the result's pytree."""
        if isinstance(self.outputs, str):
            return [self.outputs] * len(jax.tree.leaves(out_shape))
        try:
            spread = jax.tree.map(lambda r, part: [r] * len(jax.tree.leaves(part)), self.outputs, out_shape)
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{self.name}: outputs is not a prefix of the result's structure",
                where="secure(outputs=...)",
                why=f"the result is {jax.tree.structure(out_shape)}",
                todo="give one name, or names in the structure of the result",
            ) from error
        return jax.tree.leaves(spread)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Raises ArgumentError for a leaf that is not an array, TypeError where the call does not fit the function."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None
        self._apply_defaults(bound)
        dynamic = {n: v for n, v in bound.arguments.items() if n not in self.statics}
        statics = tuple(sorted(((n, v) for n, v in bound.arguments.items() if n in self.statics), key=lambda kv: kv[0]))
        _check_hashable(self.name, statics)
        with_paths, tree = jax.tree_util.tree_flatten_with_path(dynamic)
        leaves = [self._leaf(path, value) for path, value in with_paths]

        def rebuild(arrays: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
            again = self.signature.bind(*args, **kwargs)
            self._apply_defaults(again)
            again.arguments.update(jax.tree.unflatten(tree, list(arrays)))
            return list(again.args), again.kwargs

        return Call(leaves, tree, statics, rebuild)

    def _apply_defaults(self, bound: inspect.BoundArguments) -> None:
        """A default is part of the function, as under `jax.jit`, unless `secure` was told of its argument."""
        named = {*self.inputs, *self.public, *self.statics}
        given = dict(bound.arguments)
        bound.apply_defaults()
        for name in [n for n in bound.arguments if n not in given and n not in named]:
            del bound.arguments[name]

    def _leaf(self, path: Any, value: Any) -> Leaf:
        name = path[0].key
        kind = self.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD and len(path) > 1:
            name = path[1].key
        text = f"{path[0].key}{jax.tree_util.keystr(path[1:])}"
        stored = value.type if isinstance(value, SecretArray) else None
        if stored is not None and name in self.public:
            raise ArgumentError(
                f"{text} is a secret handle, and its argument is public",
                where=text,
                why="a handle has no value that anybody could see: its shares are with the parties",
                todo="leave the argument out of secure(public=...)",
            )
        if not hasattr(value, "shape") or not hasattr(value, "dtype"):
            value = _as_array(value, text)
        owner = "" if name in self.public else self.inputs.get(name, CALLER)
        plain = stored is None and not jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended)
        dtype = jax.dtypes.canonicalize_dtype(value.dtype) if plain else value.dtype
        return Leaf(text, STORED if stored is not None else owner, tuple(value.shape), dtype, value, stored)


def _mapping(name: str, inputs: Any) -> dict[str, str]:
    if not isinstance(inputs, Mapping | None):
        raise ConfigError(
            f"{name}: inputs is not a mapping",
            where="secure(inputs=...)",
            why="it gives the owner of each argument by name",
            todo='write inputs={"x": "alice"}',
        )
    return dict(inputs or {})


def _as_array(value: Any, path: str) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "fiubc":
        raise ArgumentError(
            f"{path} is not an array: {type(value).__name__}",
            where=path,
            why="only arrays and numbers can be shared",
            todo="make the argument static (static_argnames), or leave it out of the pytree",
        )
    return array


def _check_hashable(name: str, statics: Sequence[tuple[str, Any]]) -> None:
    for key, value in statics:
        try:
            hash(value)
        except TypeError as error:
            raise ArgumentError(
                f"{name}: the static argument {key!r} cannot be hashed",
                where=key,
                why="one program is compiled for each value of it",
                todo="pass a tuple, a string or a number",
            ) from error
