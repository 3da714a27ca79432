"""What a user may say inside a function: `bounded` and `public`.

Both are the identity in plain JAX and under grad and vmap; the front end knows them by the name of a jitted call.
`public` may also be said where an array is made, outside any function: then the very object is known by it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
from jax import export

from jmpc import _jax
from jmpc.errors import ConfigError

BOUNDED, PUBLIC = "jmpc_bounded_", "jmpc_public"


def bounded(x: Any, limit: float) -> Any:
    """Declare that every element of `x`, an array or a pytree, has magnitude at most `limit`.

    Cheaper protocols follow from it. Inputs are checked against it before they are shared; `Config(check=True)`
    verifies it everywhere, in every step of a loop. An element beyond it makes results wrong. Raises ConfigError unless
    limit > 0.
    """
    if not limit > 0:
        raise ConfigError(f"jmpc.bounded: limit={limit!r} is not a magnitude", todo="give a positive number")
    return _on_arrays(_marker(f"{BOUNDED}{float(limit)!r}"), x)


def public(x: Any) -> Any:
    """Say that an array, or each in a pytree, may be known to all parties: one that the function closes over, has as a
    default, or computes of such. Said inside the function or where the array is made. Arguments are made public with
    secure(public=...). Of a function of `jax.export` it says so of the constants in it."""
    marked = _on_arrays(_marker(PUBLIC), x)
    for leaf in jax.tree.leaves(marked):
        if isinstance(leaf, jax.Array | export.Exported) and not _jax.is_traced(leaf):
            _called_public[id(leaf)] = leaf
    return marked


def _on_arrays(mark: Callable[[Any], Any], x: Any) -> Any:
    """A module's functions and names stay as they are."""
    return jax.tree.map(lambda leaf: mark(leaf) if _is_number(leaf) else leaf, x)


def _is_number(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") or isinstance(leaf, bool | int | float | complex)


# By identity: arrays have no hash. An entry goes with its array.
_called_public: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def is_called_public(x: Any) -> bool:
    """Whether this very array came of `public`."""
    return _called_public.get(id(x)) is x


def is_public_mark(name: str) -> bool:
    """Whether a jitted call of this name is what `public` says inside a function."""
    return name == PUBLIC


@lru_cache(maxsize=256)
def _marker(name: str) -> Any:
    def marked(x: Any) -> Any:
        return x

    marked.__name__ = name
    call = jax.jit(marked)

    @jax.custom_jvp
    def identity(x: Any) -> Any:
        return call(x)

    @identity.defjvp
    def _tangent(primals: Any, tangents: Any) -> Any:
        return identity(primals[0]), tangents[0]

    return identity


def declared_limit(name: str) -> float | None:
    """The limit in a marker's name."""
    return float(name.removeprefix(BOUNDED)) if name.startswith(BOUNDED) else None


def called(eqn: Any) -> str:
    """What an equation does, in the words of who wrote it."""
    name = str(eqn.params.get("name", "")) if eqn.primitive.name in ("jit", "pjit") else ""
    return "jmpc.bounded" if name.startswith(BOUNDED) else name or _jax.name_of(eqn)


def has_marker(eqn: Any) -> bool:
    """Whether a call wraps a `jmpc.bounded`: then the front end must look inside."""
    body = _jax.body_of(eqn)
    if body is None:
        return False
    name = str(eqn.params.get("name", ""))
    return name.startswith(BOUNDED) or any(has_marker(e) for e in _jax.closed(body)[0].eqns)
