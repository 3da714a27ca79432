"""Binding a call: which leaf of which argument is static, public, some owner's, or shared already.

What goes in: the function's signature, what `secure` was told, and a call. What comes out: a `Call` of flat leaves,
which rebuilds the arguments, and a key that is equal for calls that share a compilation.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, cast

import jax
import numpy as np

from jmpc import _jax, _typed
from jmpc.errors import ArgumentError, ConfigError
from jmpc.frontend.captured import CAPTURE_LIMIT
from jmpc.frontend.lower import Argument
from jmpc.frontend.reach import as_array as array_reached
from jmpc.frontend.words import is_called_public
from jmpc.handle import SecretArray
from jmpc.ir.types import BOOL, Type
from jmpc.leaves import as_array, in_modules, is_array, is_static, narrowed
from jmpc.prefixes import check_apart, check_owner, check_receivers, names_in, owners_of, receivers_of
from jmpc.roles import Role

MOST_PATH = 400  # characters of a leaf's name


SETTINGS = (
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_random_seed_offset",
)  # of JAX, that decide what a function is traced to, and what it gives then


def trace_settings() -> tuple[tuple[str, Any], ...]:
    """As this thread has them."""
    return tuple((name, getattr(jax.config, name, None)) for name in SETTINGS)


def _everybody(_owner: str) -> bool:
    return True


@dataclass(frozen=True)
class Leaf:
    """One array of a call. argument: what the program knows of it.  weak: it is a Python number, or JAX's array of
    one."""

    argument: Argument
    value: Any = field(repr=False)
    weak: bool = False

    @property
    def path(self) -> str:
        return self.argument.path

    @property
    def owner(self) -> str:
        return self.argument.owner

    @property
    def shape(self) -> tuple[int, ...]:
        return self.argument.shape

    @property
    def dtype(self) -> Any:
        return self.argument.dtype

    @property
    def stored(self) -> Type | None:
        """The type of a handle's value."""
        return self.argument.stored

    @property
    def spec(self) -> Any:
        """As JAX traces it: a Python number takes the dtype of what it meets."""
        return jax.ShapeDtypeStruct(self.shape, self.dtype, weak_type=self.weak)


@dataclass(frozen=True)
class Call:
    """A call's arguments. They show themselves by paths, shapes and owners, never by values. statics: by name,
    arguments and leaves that are part of the program.  settings: of JAX, when the call was made."""

    leaves: list[Leaf]
    tree: Any
    statics: tuple[tuple[str, Any], ...] = field(repr=False)
    rebuild: Callable[[Sequence[Any]], tuple[list[Any], dict[str, Any]]] = field(repr=False)
    settings: tuple[tuple[str, Any], ...] = field(default_factory=trace_settings)

    def described(self) -> Call:
        """The same call without its values: what a compilation keeps of the call that asked for it."""
        leaves = [replace(x, value=jax.ShapeDtypeStruct(x.shape, x.dtype)) for x in self.leaves]
        return replace(self, leaves=leaves, rebuild=_forgotten)

    def key(self) -> Any:
        described = tuple((x.path, x.shape, str(x.dtype), x.owner, x.stored, x.weak) for x in self.leaves)
        return described, self.tree, tuple((name, _exactly(value)) for name, value in self.statics), self.settings

    def takes(self, call: Call) -> bool:
        """Whether what is compiled for this call runs the other one: a handle may be known to be within less."""
        if len(self.leaves) != len(call.leaves):
            return False
        pairs = zip(self.leaves, call.leaves, strict=True)
        held = [_as(a, b) if _is_wider(a.stored, b.stored) else b for a, b in pairs]
        return replace(call, leaves=held).key() == self.key()

    def arrays(self, plays: Callable[[str], bool] = _everybody) -> list[Any]:
        """The values of the leaves; of an owner that this process does not play, None. plays: whether it does."""
        return [x.value if x.stored is not None else _array(x, plays(x.owner)) for x in self.leaves]

    def program_text(self) -> dict[str, Any]:
        """What of the arguments is part of the program, and may lead to arrays, by name."""
        return {**dict(self.statics), "the structure of the arguments": list(_held_by(self.tree))}


def _array(leaf: Leaf, here: bool) -> Any:
    shape = isinstance(leaf.value, jax.ShapeDtypeStruct)
    if here and not shape:
        return narrowed(leaf.value, leaf.dtype, leaf.path)
    if not here and shape:
        return None
    if here:
        raise ArgumentError(
            f"{leaf.path} is a shape without values",
            where=leaf.path,
            why="jax.ShapeDtypeStruct is for trace and lower, and for what another client supplies",
            todo="pass an array to run",
        )
    raise ArgumentError(
        f"{leaf.path} is {leaf.owner}'s to supply, and this process is another client of the cluster",
        where=leaf.path,
        why="the array that stands here would be taken for another one",
        todo=[
            f"have {leaf.owner} store it, cluster.put(..., name=NAME), and pass jmpc.stored(NAME)",
            f"or run one script at each: jmpc.from_owner({leaf.owner!r}, load), and `jmpc run SCRIPT --as NAME`",
        ],
    )


def _exactly(value: Any) -> Any:
    """A static value as a key: Python takes 1, 1.0 and True for equal, and 0.0 and -0.0, and they may be different
    programs."""
    if isinstance(value, float | complex | np.generic):
        return type(cast(object, value)), repr(cast(object, value))
    if is_dataclass(value) and not isinstance(value, type):
        own = tuple((f.name, _exactly(getattr(value, f.name))) for f in fields(value) if f.compare)
        return type(value), value, own
    if isinstance(value, tuple | frozenset):
        items = map(_exactly, cast("tuple[Any, ...] | frozenset[Any]", value))
        return type(cast(object, value)), tuple(items) if isinstance(value, tuple) else frozenset(items)
    return type(value), value


def _held_by(tree: Any) -> Iterator[Any]:
    """What the nodes of a pytree hold besides their children."""
    node = tree.node_data()
    if node is not None:
        yield node[1]
    for child in tree.children():
        yield from _held_by(child)


def _as(one: Leaf, other: Leaf) -> Leaf:
    """The other one, known to be no more than this one."""
    return replace(other, argument=replace(other.argument, stored=one.stored))


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
    static = [{n: _exactly(value) for n, value in call.statics} for call in (expected, got)]
    lines += [f"{n}: another static value" for n, value in static[1].items() if static[0].get(n) != value]
    now = dict(got.settings)
    changed = [(name, was) for name, was in expected.settings if was != now[name]]
    lines += [f"{name}: compiled under {was}, called under {now[name]}" for name, was in changed]
    return "; ".join(sorted(lines)) or "the structure of a pytree differs"


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
        self,
        function: Callable[..., Any],
        *,
        inputs: Mapping[str, Any] | None = None,
        outputs: Any = Role.CALLER,
        public: Sequence[str] = (),
        owners: Sequence[str] = (),
        static_argnums: int | Sequence[int] = (),
        static_argnames: str | Sequence[str] = (),
    ) -> None:
        self.name = name_of(function)
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
        self.owners: set[str] = {Role.CALLER, Role.SECRET}
        more = [owners] if isinstance(owners, str) else owners
        for key, found in (("inputs", names_in(self.inputs)), ("owners", more)):
            for owner in found:
                check_owner(self.name, owner, key)
                self.owners.add(owner)
        check_apart(self.name, self.owners)
        check_receivers(self.name, outputs, self.owners)

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

    def receivers(self, out_shape: Any) -> list[tuple[str, ...]]:
        """The receivers of each flat result; `outputs` may be a prefix of the result's pytree."""
        return receivers_of(self.name, self.outputs, out_shape)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Raises ArgumentError for a leaf that is not an array, TypeError where the call does not fit the function."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None
        self._apply_defaults(bound)
        dynamic = {n: v for n, v in bound.arguments.items() if n not in self.statics}
        chosen = sorted(((n, v) for n, v in bound.arguments.items() if n in self.statics), key=lambda kv: kv[0])
        with_paths, tree = _typed.flatten_with_paths(dynamic)
        owners = self._owners(dynamic, [path for path, _ in with_paths])
        static = self._static(dynamic, [value for _, value in with_paths])
        entries = list(zip(with_paths, owners, static, strict=True))
        leaves = [self._leaf(path, value, owner) for (path, value), owner, fixed in entries if not fixed]
        statics = (*chosen, *((_text(path), value) for (path, value), _, fixed in entries if fixed))
        _check_hashable(self.name, statics)

        def rebuild(arrays: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
            again = self.signature.bind(*args, **kwargs)
            self._apply_defaults(again)
            given = iter(arrays)
            whole = [value if fixed else next(given) for (_, value), _, fixed in entries]
            again.arguments.update(_typed.unflatten(tree, whole))
            return list(again.args), again.kwargs

        return Call(leaves, tree, statics, rebuild)

    def inlined(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, str, Any]]:
        """For a call that becomes part of another program: each leaf of its secret arguments, who it says supplies it,
        "caller" if it does not say. Raises ArgumentError for an array that would become a constant of that program."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None
        given = dict(bound.arguments)
        bound.apply_defaults()
        for name in bound.arguments.keys() - given.keys() - self.statics - set(self.public):
            _check_default(self.name, name, bound.arguments[name])
        dynamic = {n: v for n, v in given.items() if n not in self.statics}
        with_paths, _ = _typed.flatten_with_paths(dynamic)
        entries = zip(with_paths, self._owners(dynamic, [path for path, _ in with_paths]), strict=True)
        found = [(_text(path), owner, value) for (path, value), owner in entries if owner]
        for path, _, value in found:
            _check_no_constant(self.name, path, value)
        return found

    def _owners(self, dynamic: Mapping[str, Any], paths: Sequence[Any]) -> list[str]:
        """The owner of each leaf."""
        prefix = self._prefix(dynamic)
        if all(isinstance(owner, str) for owner in prefix.values()):
            return [prefix[path[0].key] for path in paths]
        return owners_of(self.name, prefix, dynamic)

    @staticmethod
    def _static(dynamic: Mapping[str, Any], values: Sequence[Any]) -> list[bool]:
        """Which leaves are part of the program."""
        if all(map(is_array, values)):
            return [False] * len(values)
        return [is_static(value, module) for value, module in zip(values, in_modules(dynamic), strict=True)]

    def _prefix(self, dynamic: Mapping[str, Any]) -> dict[str, Any]:
        """The owners of the arguments; further keywords are named one by one."""
        found: dict[str, Any] = {}
        for name, value in dynamic.items():
            found[name] = "" if name in self.public else self.inputs.get(name, Role.CALLER)
            if self.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                found[name] = {k: "" if k in self.public else self.inputs.get(k, Role.CALLER) for k in value}
        return found

    def _apply_defaults(self, bound: inspect.BoundArguments) -> None:
        """A default is part of the function, as under `jax.jit`, unless `secure` was told of its argument."""
        named = {*self.inputs, *self.public, *self.statics}
        given = dict(bound.arguments)
        bound.apply_defaults()
        for name in [n for n in bound.arguments if n not in given and n not in named]:
            _check_default(self.name, name, bound.arguments.pop(name))

    def _leaf(self, path: Any, value: Any, owner: str) -> Leaf:
        text = _text(path)
        stored = value.type if isinstance(value, SecretArray) else None
        if stored is not None and not owner:
            raise ArgumentError(
                f"{text} is a secret handle, and its argument is public",
                where=text,
                why="a handle has no value that anybody could see: its shares are with the parties",
                todo="leave the argument out of secure(public=...)",
            )
        weak = type(value) in (int, float, complex)
        value = value if stored is not None else as_array(value, text)
        plain = stored is None and not jax.numpy.issubdtype(value.dtype, jax.dtypes.extended)
        dtype = jax.dtypes.canonicalize_dtype(value.dtype) if plain else value.dtype
        weak = weak or bool(getattr(value, "weak_type", False))
        owner = Role.SECRET if stored is not None else owner
        return Leaf(Argument(text, owner, tuple(value.shape), dtype, stored), value, weak)


def _text(path: Any) -> str:
    """A leaf as the user would write it; long keys are cut."""
    text = f"{path[0].key}{_typed.keystr(path[1:])}"
    return text if len(text) <= MOST_PATH else f"{text[: MOST_PATH // 2]}...{text[-MOST_PATH // 2 :]}"


def name_of(function: Any) -> str:
    """What messages call it: of a partial, what it is one of; of an object that can be called, its class."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    name = str(getattr(function, "__name__", type(function).__name__))
    inner = getattr(function, "__wrapped__", None)
    return name_of(inner) if name.startswith("<unnamed") and inner is not None else name  # of JAX, for an object


def _check_no_constant(function: str, path: str, value: Any) -> None:
    if isinstance(value, SecretArray):
        raise ArgumentError(
            f"{function} is called inside another secure function on a secret handle",
            where=path,
            why="what is shared already comes to a program as one of its arguments",
            todo="make the handle an argument of the function around it",
        )
    if not is_array(value) or not value.shape or _jax.is_traced(value) or is_called_public(value):
        return
    raise ArgumentError(
        f"{function} is called inside another secure function on an array that is no argument of that one",
        where=path,
        why=f"{path} is secret in {function}; here it would become part of the program, which all parties see",
        todo=["make it an argument of the function around it", "or say that everybody may know it: jmpc.public(array)"],
    )


def _check_default(function: str, name: str, default: Any) -> None:
    """Raises ArgumentError for a default that holds arrays, or so many numbers that it is one, and that nobody called
    public: who calls the function may not even see it."""
    leaves = jax.tree.leaves(default)
    held = [found for leaf in leaves if np.ndim(leaf) and (found := array_reached(leaf, name)) and not found.public]
    if not held and sum(isinstance(leaf, int | float | complex) for leaf in leaves) <= CAPTURE_LIMIT:
        return
    raise ArgumentError(
        f"{function}: the default of {name!r} is an array",
        where=name,
        why="a default is part of the function, so of the program, which all parties see",
        todo=[
            f"give the argument an owner, then the default is secret: secure(inputs={{{name!r}: ...}})",
            f"or let everybody know it: secure(public=[{name!r}]), or jmpc.public(array) as the default",
        ],
    )


def _mapping(name: str, inputs: Any) -> dict[str, Any]:
    if not isinstance(inputs, Mapping | None):
        raise ConfigError(
            f"{name}: inputs is not a mapping",
            where="secure(inputs=...)",
            why="it gives the owner of each argument by name",
            todo='write inputs={"x": "alice"}',
        )
    return dict(cast("Mapping[str, Any] | None", inputs) or {})


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
