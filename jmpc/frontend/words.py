"""What a user may say inside a function: `bounded` and `public`.

Both are the identity in plain JAX and under grad and vmap; the front end knows them by the name of a jitted call.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax

from jmpc import _jax
from jmpc.errors import ConfigError

_jax.hide_lines_of(__file__)

BOUNDED, PUBLIC = "jmpc_bounded_", "jmpc_public"


def bounded(x: Any, limit: float) -> Any:
    """Declare that every element of `x`, an array or a pytree, has magnitude at most `limit`.

    Cheaper protocols follow from it. Inputs are checked against it before they are shared; `Config(check=True)`
    verifies it everywhere. An element beyond it makes results wrong. Raises ConfigError unless limit > 0.
    """
    if not limit > 0:
        raise ConfigError(f"jmpc.bounded: limit={limit!r} is not a magnitude", todo="give a positive number")
    return jax.tree.map(_marker(f"{BOUNDED}{float(limit)!r}"), x)


def public(x: Any) -> Any:
    """Say that a captured array may be known to all parties. Arguments are made public with secure(public=...)."""
    return jax.tree.map(_marker(PUBLIC), x)


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


def has_marker(eqn: Any) -> bool:
    """Whether a call wraps a `jmpc.bounded` or `jmpc.public`: then the front end must look inside."""
    body = _jax.body_of(eqn)
    if body is None:
        return False
    name = str(eqn.params.get("name", ""))
    return name.startswith((BOUNDED, PUBLIC)) or any(has_marker(e) for e in _jax.closed(body)[0].eqns)
