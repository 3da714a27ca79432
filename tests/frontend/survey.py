"""Which primitives a version of JAX has, and what becomes of each on a secret.

What goes in: the JAX that runs. What comes out: for each primitive that JAX keeps for library authors, and each that is
met by tracing its public functions and their derivatives, how the front end takes it: by a rule, by its body, by what
JAX computes it by; in the clear alone, having no operand; or refused for a reason of its own.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import linear_call

import jmpc
from jmpc import _jax
from jmpc.errors import JMPCError
from jmpc.frontend.unsupported import NEAREST
from jmpc.frontend.walk import RULES

MODULES = (jnp, jnp.linalg, jnp.fft, jax.nn, jax.scipy.special, jax.scipy.linalg, lax, lax.linalg)
OTHER_DTYPES = (np.int32, np.bool_, np.complex64)
RULE, BODY, DECOMPOSED, CLEAR, REFUSED = "rule", "body", "decomposed", "in the clear", "refused"
WITHOUT_OPERANDS = ("empty2",)  # in JAX 0.10 no public function makes it
UNKNOWN = "neither supported nor refused with a reason"
Spec = jax.ShapeDtypeStruct


def _array(*shape: int, dtype: Any = np.float32) -> Any:
    return Spec(shape, dtype)


@jax.custom_batching.custom_vmap
def _with_batching(x: Any) -> Any:
    return 2 * x


def _pooled(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (2,), (1,), "VALID").sum()


# What is met only by calls with more than arrays of one shape.
OTHERS: list[tuple[Callable[..., Any], Sequence[Any]]] = [
    (_with_batching, [_array(3)]),
    (lambda x: linear_call(lambda r, v: v * r, lambda r, v: v * r, x, x), [_array(3)]),
    (lambda x: lax.composite(lambda v: 2 * v, "jmpc.twice")(x), [_array(3)]),
    (jax.checkpoint(lambda x: jnp.sin(x)), [_array(3)]),
    (lambda x: jax.ad_checkpoint.checkpoint_name(x, "x"), [_array(3)]),
    (lambda x: lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos), [_array(3)]),
    (lambda x: jax.jvp(jax.grad(_pooled), (x,), (x,)), [_array(3)]),
    (lambda x: lax.linalg.tridiagonal_solve(x, x, x, x[:, None]), [_array(4)]),
    (lambda x: lax.reduce_precision(x, 5, 3), [_array(3)]),
    (lambda x: jnp.nonzero(x, size=2), [_array(3)]),
    (lambda x: jnp.unique(x, size=2), [_array(3)]),
    (lambda x: lax.approx_max_k(x, 2), [_array(3)]),
    (lambda x: lax.top_k(x, 2), [_array(3)]),
    (lambda x: lax.ragged_dot(x, x[None], jnp.array([4])), [_array(4, 4)]),
    (lambda x: lax.fori_loop(0, 3, lambda n, c: c + n, x), [_array(3)]),
    (lambda x: lax.while_loop(lambda c: c.sum() < 3, lambda c: c + 1, x), [_array(3)]),
    (lambda x: lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x), [_array(3)]),
    (lambda x: lax.conv(x, x, (1, 1), "SAME"), [_array(2, 2, 3, 3)]),
    (lambda x: lax.custom_linear_solve(lambda v: 2 * v, x, lambda f, v: v / 2, lambda f, v: v / 2), [_array(3)]),
    (lambda x: jax.pure_callback(lambda v: v, x, x), [_array(3)]),
    (lambda x: jax.debug.print("{}", x), [_array(3)]),
    (lambda x: x.at[x.astype(int)].multiply(x), [_array(3)]),
    (lambda x: x.at[x.astype(int)].max(x), [_array(3)]),
    (lambda x: lax.bitcast_convert_type(x, np.int32), [_array(3)]),
]


def _functions() -> Iterator[Callable[..., Any]]:
    for module in MODULES:
        for name in sorted(vars(module)):
            found = getattr(module, name)
            if not name.startswith("_") and callable(found) and not inspect.isclass(found):
                yield found


def _traces(function: Callable[..., Any]) -> Iterator[Any]:
    """Of one to three real matrices, of as many of other dtypes, and the derivative."""
    counts = []
    for count in (1, 2, 3):
        for jaxpr in _trace(function, [_array(4, 4)] * count):
            counts.append(count)
            yield jaxpr
    for count in counts[:1]:
        yield from _trace(lambda *x: _derivative(function, x), [_array(4, 4)] * count)
    for dtype in OTHER_DTYPES:
        for count in counts or (1, 2):
            yield from _trace(function, [_array(4, 4, dtype=dtype)] * count)


def _derivative(function: Callable[..., Any], x: Sequence[Any]) -> Any:
    y, back = jax.vjp(function, *x)
    return back(jax.tree.map(jnp.ones_like, y))


def _trace(function: Callable[..., Any], given: Sequence[Any]) -> list[Any]:
    """Nothing, where it is not a function of such arrays."""
    try:
        return [_jax.closed(_jax.make_jaxpr(lambda *x: function(*x), *given))[0]]
    except Exception:  # whatever it says to them
        return []


def _equations(jaxpr: Any) -> Iterator[Any]:
    for eqn in jaxpr.eqns:
        yield eqn
        for body in _jax.bodies_of(eqn):
            yield from _equations(body)


@cache
def met() -> dict[str, list[Any]]:
    """By primitive: equations with it, of different kinds of operands."""
    found: dict[str, dict[Any, Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of functions that JAX is about to drop
        traces = [jaxpr for function in _functions() for jaxpr in _traces(function)]
        traces += [jaxpr for function, given in OTHERS for jaxpr in _trace(function, given)]
        for eqn in (eqn for jaxpr in traces for eqn in _equations(jaxpr)):
            dtypes = tuple(str(v.aval.dtype) for v in eqn.invars)
            found.setdefault(_jax.name_of(eqn), {}).setdefault(dtypes, eqn)
    return {name: list(of_dtypes.values()) for name, of_dtypes in found.items()}


def primitives() -> dict[str, str]:
    """How the front end takes each."""
    names = sorted({*met(), *_jax.primitive_names()})
    return {name: _taken(name, met().get(name, [])) for name in names}


def _taken(name: str, equations: Sequence[Any]) -> str:
    if name in RULES:
        return RULE
    if name in _jax.CALLS:
        return BODY
    if name in WITHOUT_OPERANDS or (equations and not any(e.invars for e in equations)):
        return CLEAR
    if any(accepts(e) for e in equations):
        return DECOMPOSED
    return REFUSED if name in NEAREST else UNKNOWN


def accepts(eqn: Any) -> bool:
    """Whether an equation alone, on secrets, has a secure form."""
    try:
        jmpc.secure(lambda *x: _jax.bind(eqn, *x)).lower(*(Spec(v.aval.shape, v.aval.dtype) for v in eqn.invars))
    except JMPCError:
        return False
    return True
