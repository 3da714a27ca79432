"""The only file that knows JAX's inside: names that moved, parameter layouts, evaluation of equations.

Everything else in jmpc uses public `jax`, `jax.numpy` and `jax.lax`. Public here means `jax.extend`, which JAX
keeps for library authors but changes between minor versions; each such change gets its line in this file.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax import core
from jax.extend import core as jex
from jax.extend import source_info_util
from jax.interpreters import mlir

# A line of jmpc is never the user's.
source_info_util.register_exclusion(os.path.dirname(__file__) + os.sep)

Primitive = jex.Primitive
Literal: Any = jex.Literal
ClosedJaxpr = jex.ClosedJaxpr
Array = Any
Eqn = Any
Var = Any

# Primitives that wrap a body which may be inlined, with the parameter that holds it.
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "custom_lin": "call_jaxpr",
}


def x64() -> contextlib.AbstractContextManager[Any]:
    """64-bit types for what runs inside; the user's own setting is untouched."""
    return jax.enable_x64(True)


def make_jaxpr(function: Callable[..., Any], *avals: Any) -> ClosedJaxpr:
    """The jaxpr of a function of flat arguments."""
    return jax.make_jaxpr(function)(*avals)


def body_of(eqn: Eqn) -> ClosedJaxpr | None:
    """The body that a call-like equation wraps, closed; None for other equations. Raises UnsupportedError for that of a
    function of `jax.export` where it cannot be read."""
    if eqn.primitive.name == "call_exported":
        from jmpc.exported.inline import body_of as body_of_exported  # most programs have none

        return body_of_exported(eqn.params["exported"])
    name = CALLS.get(eqn.primitive.name)
    if name is None or name not in eqn.params:
        return None
    body = eqn.params[name]
    return body if hasattr(body, "consts") else ClosedJaxpr(body, [])


def closed(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    """(jaxpr, consts) of a closed jaxpr, or of an open one without constants."""
    return (jaxpr.jaxpr, jaxpr.consts) if hasattr(jaxpr, "jaxpr") else (jaxpr, ())


def scan_parts(eqn: Eqn) -> dict[str, Any]:
    """body, consts, carry, length and reverse of a scan equation, in every supported version."""
    params = eqn.params
    if "num_consts" in params:
        consts, carry = params["num_consts"], params["num_carry"]
    else:  # JAX 0.11: flattened trees in place of counts
        ft_in = params["ft_in"].unpack()
        consts, carry = len(ft_in[0]), len(ft_in[1])
    return {
        "body": params["jaxpr"],
        "consts": consts,
        "carry": carry,
        "length": params["length"],
        "reverse": params["reverse"],
    }


def while_parts(eqn: Eqn) -> dict[str, Any]:
    """cond and body of a while equation, with the number of constants of each."""
    params = eqn.params
    return {
        "cond": params["cond_jaxpr"],
        "body": params["body_jaxpr"],
        "cond_consts": params["cond_nconsts"],
        "body_consts": params["body_nconsts"],
    }


def solver_of(eqn: Eqn, args: Sequence[Any]) -> tuple[ClosedJaxpr, list[Any], list[Any]]:
    """The solver of a custom_linear_solve, its constants, and the right-hand side, of the equation's operands."""
    lengths = eqn.params["const_lengths"]
    first = lengths.matvec + lengths.vecmat
    last = first + lengths.solve
    return eqn.params["jaxprs"].solve, list(args[first:last]), list(args[last + lengths.transpose_solve :])


def reduction_of(eqn: Eqn) -> ClosedJaxpr:
    """The operator of a reduce_window, closed."""
    jaxpr = eqn.params["jaxpr"]
    return jaxpr if hasattr(jaxpr, "consts") else ClosedJaxpr(jaxpr, eqn.params["consts"])


def where(eqn: Eqn) -> str:
    """The user's `file:line:col (function)` of an equation."""
    return source_info_util.summarize(eqn.source_info)


def users_line(eqn: Eqn) -> str:
    """The innermost `file:line (function)` of an equation that is in no library; empty if there is none."""
    if eqn.source_info.traceback is None:
        return ""
    for frame in eqn.source_info.traceback.frames:
        if not is_library(frame.file_name):
            return f"{frame.file_name}:{frame.line_num} ({frame.function_name})"
    return ""


@functools.cache
def is_library(file: str) -> bool:
    """Whether a file is JAX's, jmpc's, Python's or one that was installed."""
    installed = (sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
    folders = (*installed, *(os.path.dirname(path) for path in (jax.__file__, np.__file__, __file__)))
    return file.startswith(("<frozen", *(folder + os.sep for folder in folders)))


def bind(eqn: Eqn, *values: Array) -> list[Array]:
    """Run one equation on values."""
    primitive, params = eqn.primitive, eqn.params
    subfuns, bind_params = [], params
    if hasattr(primitive, "get_bind_params"):
        got = primitive.get_bind_params(params)
        subfuns, bind_params = got if isinstance(got, tuple) else ([], got)
    out = primitive.bind(*subfuns, *values, **bind_params)
    return list(out) if primitive.multiple_results else [out]


def bind_as(eqn: Eqn, dtype: Any, *values: Array) -> list[Array]:
    """Run one equation on values of another dtype."""
    params = eqn.params
    if "preferred_element_type" in params:
        params = {**params, "preferred_element_type": dtype}
    return bind(eqn.replace(params=params), *values)


def work(eqns: Sequence[Eqn]) -> int:
    """A rough count of elementary operations: elements made, times the trips of loops."""
    total = 0
    for eqn in eqns:
        total += sum(math.prod(v.aval.shape) for v in eqn.outvars)
        if eqn.primitive.name == "scan":
            parts = scan_parts(eqn)
            total += parts["length"] * work(closed(parts["body"])[0].eqns)
        elif (body := body_of(eqn)) is not None:
            total += work(closed(body)[0].eqns)
        elif eqn.primitive.name in ("dot_general", "conv_general_dilated"):
            total += math.prod(eqn.outvars[0].aval.shape) * 256
    return total


def read(env: dict[Var, Array], atom: Any) -> Array:
    return atom.val if isinstance(atom, Literal) else env[atom]


def evaluate(eqns: Sequence[Eqn], env: dict[Var, Array]) -> None:
    """Run equations in order; `env` gains their results."""
    for eqn in eqns:
        for var, value in zip(eqn.outvars, bind(eqn, *(read(env, a) for a in eqn.invars)), strict=True):
            env[var] = value


def apply(body: Any, *args: Array) -> list[Array]:
    """The results of a jaxpr on arrays."""
    jaxpr, consts = closed(body)
    env = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
    evaluate(jaxpr.eqns, env)
    return [read(env, v) for v in jaxpr.outvars]


def define(name: str, abstract: Callable[..., Any]) -> Primitive:
    """A primitive of our own, with several results, that is only ever traced and then read back."""
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_abstract_eval(abstract)
    return primitive


def define_without_value(name: str, abstract: Callable[..., Any], refuse: Callable[..., Any]) -> Primitive:
    """A primitive that is only ever traced; what would compute it calls `refuse`, which raises."""
    primitive = define(name, abstract)
    primitive.def_impl(refuse)
    mlir.register_lowering(primitive, refuse)
    return primitive


def is_traced(x: Any) -> bool:
    return isinstance(x, core.Tracer)


def is_tracing() -> bool:
    """Whether what JAX computes now becomes part of a jaxpr."""
    # The first question is quick, and also says yes in a part that is evaluated at once.
    return jex.unsafe_am_i_under_a_jit_DO_NOT_USE() and is_traced(jax.numpy.zeros(()))


def transformation(tracer: Any) -> str:
    """Which transformation a tracer belongs to: "vmap" or "grad"; empty for one that stages a jaxpr, or None."""
    kind = type(tracer).__name__
    return {"BatchTracer": "vmap", "JVPTracer": "grad", "LinearizeTracer": "grad"}.get(kind, "")


# Part of the key by which JAX finds traces of jitted functions again.
_purpose: Any = jax.make_user_context(None)


def traced_for(purpose: Any) -> contextlib.AbstractContextManager[Any]:
    """What is jitted and traced inside is kept apart from what is traced elsewhere. purpose: hashable."""
    return _purpose(purpose)


def bodies_of(eqn: Eqn) -> Iterator[Any]:
    """Every jaxpr in an equation's parameters."""
    for value in eqn.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            opened = getattr(part, "jaxpr", part)
            if hasattr(opened, "eqns"):
                yield opened


def staged(x: Array) -> Array:
    """`x` as the result of an equation of the jaxpr being made, also where it is a constant."""
    scalar = getattr(x, "shape", ()) == ()  # a traced scalar may still become a literal
    return x if isinstance(x, core.Tracer) and not scalar else jax.lax.optimization_barrier(x)


def aval(shape: tuple[int, ...], dtype: Any) -> Any:
    return core.ShapedArray(tuple(shape), dtype)


def known_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those of XLA's options that this version knows: 0.12 dropped `xla_cpu_use_fusion_emitters`."""
    return {name: value for name, value in options.items() if _knows(name, value)}


@functools.cache
def _knows(name: str, value: Any) -> bool:
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True


@contextlib.contextmanager
def compilation_cache(folder: str | None) -> Iterator[None]:
    """Keep compiled executables in `folder`, unless the user already has a cache of their own."""
    if folder is None or jax.config.jax_compilation_cache_dir:  # pyright: ignore[reportAttributeAccessIssue]
        yield
        return
    from jax.experimental.compilation_cache import compilation_cache as cache

    names = {
        "jax_compilation_cache_dir": folder,
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in names}
    try:
        for name, value in names.items():
            jax.config.update(name, value)
        cache.reset_cache()
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        cache.reset_cache()


def primitive_names() -> list[str]:
    """The names of the primitives that JAX keeps for library authors."""
    from jax.extend.core import primitives

    return sorted({getattr(primitives, name).name for name in dir(primitives) if name.endswith("_p")})
