"""The only file that knows JAX's inside: names that moved, parameter layouts, evaluation of equations.

Everything else in jmpc uses public `jax`, `jax.numpy` and `jax.lax`. Public here means `jax.extend`, which JAX
keeps for library authors but changes between minor versions; each such change gets its line in this file.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import os
import platform
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import jaxlib.version
import numpy as np
from jax import core
from jax.experimental import serialize_executable
from jax.extend import backend, source_info_util
from jax.extend import core as jex
from jax.interpreters import ad, batching, mlir
from jax.interpreters import partial_eval as pe

from jmpc import _typed
from jmpc._types import AnyArray, Array, as_sequence

# A line of jmpc is never the user's.
source_info_util.register_exclusion(os.path.dirname(__file__) + os.sep)

# Of what is in these, JAX says the types in part only.
_top, _jex, _mlir, _batching = cast(Any, jax), cast(Any, jex), cast(Any, mlir), cast(Any, batching)
_ad, _pe, _backend, _executables = cast(Any, ad), cast(Any, pe), cast(Any, backend), cast(Any, serialize_executable)

Primitive = jex.Primitive
Own = Any  # a `Primitive`
Literal: Any = jex.Literal
ClosedJaxpr = jex.ClosedJaxpr
Eqn = Any
Var = Any

# Primitives that wrap a body which may be inlined, with the parameters that may hold it.
CALLS = {
    "jit": ("jaxpr",),
    "pjit": ("jaxpr",),
    "call": ("call_jaxpr",),
    "closed_call": ("call_jaxpr",),
    "core_call": ("call_jaxpr",),
    "eval_jaxpr": ("call_jaxpr", "jaxpr"),
    "remat": ("jaxpr",),
    "remat2": ("jaxpr",),
    "checkpoint": ("jaxpr",),
    "composite": ("call_jaxpr", "jaxpr"),  # JAX 0.10: jaxpr
    "compute_on": ("call_jaxpr", "jaxpr"),
    "xla_metadata_call": ("call_jaxpr", "jaxpr"),
    "custom_jvp_call": ("call_jaxpr",),
    "custom_vjp_call": ("call_jaxpr",),
    "custom_vjp_call_jaxpr": ("fun_jaxpr",),
    "custom_vmap_call": ("call",),
    "custom_lin": ("call_jaxpr",),
}
# The primitive of whole functions that stay one equation until JAX compiles them; a parameter says which function.
HIGH = "call_hi_primitive"
# The primitive of all ops from outside jmpc (`jmpc.extend`); a parameter says which.
OPERATION = "jmpc_operation"


def x64() -> contextlib.AbstractContextManager[Any]:
    """64-bit types for what runs inside; the user's own setting is untouched."""
    return jax.enable_x64(True)


def make_jaxpr(function: Callable[..., Any], *avals: Any) -> ClosedJaxpr:
    """The jaxpr of a function of flat arguments."""
    return _typed.make_jaxpr(function, *avals)


def without_dead_code(jaxpr: ClosedJaxpr) -> ClosedJaxpr:
    """The same function without the equations, those of loops, branches and calls too, that no result reads and that do
    nothing else. Its arguments and constants stay."""
    opened, consts = closed(jaxpr)
    live, _ = pe.dce_jaxpr(opened, [True] * len(opened.outvars), True)
    return ClosedJaxpr(live, consts)


def live_part(jaxpr: Any, wanted: Sequence[bool], kept: Sequence[bool]) -> tuple[Any, list[bool]]:
    """An open jaxpr without the results that are not wanted; and which of its arguments are left: those that it needs,
    and those to be kept."""
    return pe.dce_jaxpr(jaxpr, list(wanted), list(kept))


def read_results(jaxpr: Any, eqn: Eqn) -> list[bool]:
    """Which results of an equation of an open jaxpr something reads."""
    read = {id(v) for e in jaxpr.eqns for v in e.invars} | {id(v) for v in jaxpr.outvars}
    return [id(v) in read for v in eqn.outvars]


def body_of(eqn: Eqn) -> ClosedJaxpr | None:
    """The body that a call-like equation wraps, closed; None for other equations. Raises UnsupportedError for that of a
    function of `jax.export` where it cannot be read."""
    if eqn.primitive.name == "call_exported":
        from jmpc.exported.inline import body_of as body_of_exported  # most programs have none

        return body_of_exported(eqn.params["exported"])
    if eqn.primitive.name == HIGH:
        return decomposition(eqn)
    body = next((eqn.params[n] for n in CALLS.get(eqn.primitive.name, ()) if n in eqn.params), None)
    return body if body is None or hasattr(body, "consts") else ClosedJaxpr(body, [])


def name_of(eqn: Eqn) -> str:
    """What an equation does, for messages."""
    if eqn.primitive.name == OPERATION:
        return eqn.params["operation"].name
    return type(eqn.params["_prim"]).__name__ if eqn.primitive.name == HIGH else eqn.primitive.name


def primitive_of(eqn: Eqn) -> str:
    """What an equation does, for rules: also of a whole function of JAX's own that stays one equation."""
    own = eqn.primitive.name == HIGH and type(eqn.params["_prim"]).__module__.startswith("jax.")
    return name_of(eqn) if own else eqn.primitive.name


def decomposition(eqn: Eqn) -> ClosedJaxpr | None:
    """What JAX itself computes an equation by, in other primitives, as a function of the operands. None where JAX has
    no such function: the backend knows the primitive, or the lowering writes its code."""
    given = tuple((tuple(v.aval.shape), v.aval.dtype) for v in eqn.invars)
    params = tuple(eqn.params.items())
    try:
        hash(params)
    except TypeError:
        return _decomposed.__wrapped__(eqn.primitive, params, given)
    return _decomposed(eqn.primitive, params, given)


@functools.lru_cache(maxsize=1024)
def _decomposed(primitive: Primitive, params: Any, given: tuple[tuple[tuple[int, ...], Any], ...]) -> Any:
    avals = [aval(*one) for one in given]
    function = _meaning(primitive, avals, dict(params))
    if function is None:
        return None
    try:
        made = make_jaxpr(lambda *operands: function(*operands, **dict(params)), *avals)
    except Exception:  # then JAX has none for such operands, whatever its rule ran into
        return None
    return None if any(e.primitive is primitive for e in closed(made)[0].eqns) else made


def _meaning(primitive: Any, avals: Sequence[Any], params: dict[str, Any]) -> Callable[..., Any] | None:
    """The function of operands and parameters that JAX replaces a primitive by before or while it lowers it."""
    if primitive.is_high(*avals, **params):
        return primitive.to_lojax
    found = [table.get(primitive) for table in _lowering_tables()]
    return next((f for entry in found if entry is not None and (f := _lowered_function(entry.rule))), None)


def _lowering_tables() -> list[dict[Primitive, Any]]:
    """By primitive: the rule for any platform, and the one for CPUs."""
    platforms = getattr(mlir, "_platform_specific_lowerings", {})
    return [getattr(mlir, "_lowerings", {}), platforms.get("cpu", {})]


def _lowered_function(rule: Any) -> Callable[..., Any] | None:
    """The function that `mlir.lower_fun` made a lowering rule of."""
    if getattr(rule, "__qualname__", "") != _LOWER_FUN:
        return None
    return inspect.getclosurevars(rule).nonlocals["fun"]


_LOWER_FUN: str = _mlir.lower_fun(lambda: None).__qualname__


def closed(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    """(jaxpr, consts) of a closed jaxpr, or of an open one without constants."""
    return (jaxpr.jaxpr, jaxpr.consts) if hasattr(jaxpr, "jaxpr") else (jaxpr, ())


def is_jaxpr(x: Any) -> bool:
    """A body of equations, closed or open."""
    return hasattr(x, "eqns") or hasattr(x, "jaxpr")


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
    names = {"cond": "cond_jaxpr", "body": "body_jaxpr", "cond_consts": "cond_nconsts", "body_consts": "body_nconsts"}
    return {name: eqn.params[there] for name, there in names.items()}


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


def frames(eqn: Eqn) -> list[tuple[str, int, str]]:
    """File, line and function of the calls that made an equation, the innermost first."""
    traceback = eqn.source_info.traceback
    return [(f.file_name, f.line_num, f.function_name) for f in traceback.frames] if traceback is not None else []


def users_line(eqn: Eqn) -> str:
    """The innermost `file:line (function)` of an equation that is in no library; empty if there is none."""
    found = next((frame for frame in frames(eqn) if not is_library(frame[0])), None)
    return "{}:{} ({})".format(*found) if found else ""


@functools.cache
def is_library(file: str) -> bool:
    """Whether a file is JAX's, jmpc's, Python's or one that was installed."""
    installed = (sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
    folders = (*installed, *(os.path.dirname(path) for path in (jax.__file__, np.__file__, __file__)))
    return file.startswith(("<frozen", *(folder + os.sep for folder in folders)))


def bind(eqn: Eqn, *values: AnyArray) -> list[Array]:
    """Run one equation on values."""
    primitive, subfuns, params = eqn.primitive, (), eqn.params
    if hasattr(primitive, "get_bind_params"):
        got = as_sequence(primitive.get_bind_params(params))
        subfuns, params = got if len(got) == 2 else ((), got[0])
    out = primitive.bind(*subfuns, *values, **params)
    return list(out) if primitive.multiple_results else [out]


def bind_as(eqn: Eqn, dtype: Any, *values: AnyArray) -> list[Array]:
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


def read(env: Mapping[Var, AnyArray], atom: Any) -> AnyArray:
    return atom.val if isinstance(atom, Literal) else env[atom]


def evaluate(eqns: Sequence[Eqn], env: dict[Var, AnyArray]) -> None:
    """Run equations in order; `env` gains their results."""
    for eqn in eqns:
        for var, value in zip(eqn.outvars, bind(eqn, *(read(env, a) for a in eqn.invars)), strict=True):
            env[var] = value


def apply(body: Any, *args: AnyArray) -> list[AnyArray]:
    """The results of a jaxpr on arrays."""
    jaxpr, consts = closed(body)
    env: dict[Var, AnyArray] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
    evaluate(jaxpr.eqns, env)
    return [read(env, v) for v in jaxpr.outvars]


def define(name: str, abstract: Callable[..., Any]) -> Own:
    """A primitive of our own, with several results, that is only ever traced and then read back."""
    primitive = _jex.Primitive(name)
    primitive.multiple_results = True
    primitive.def_abstract_eval(abstract)
    return primitive


def define_without_value(name: str, abstract: Callable[..., Any], refuse: Callable[..., Any]) -> Own:
    """A primitive that is only ever traced; what would compute it calls `refuse`, which raises."""
    primitive = define(name, abstract)
    primitive.def_impl(refuse)
    _mlir.register_lowering(primitive, refuse)
    return primitive


def define_draw(
    name: str, abstract: Callable[..., Any], refuse: Callable[..., Any], for_each: Callable[..., Any]
) -> Own:
    """A primitive without a value that draws; among its parameters is `saved`. What JAX may do with a function of its
    operands, it may not do with a draw: a loop that is differentiated draws in each iteration, not once before it, and
    a checkpoint keeps what was drawn. `saved` counts how often one did: one inside another may take a draw out of a
    loop. for_each: what a vmap makes of it, a function of the primitive, the size, operands, their axes, parameters."""
    primitive = define_without_value(name, abstract, refuse)

    def batched(axis: Any, operands: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
        return for_each(primitive, axis.size, operands, dims, **params)

    def stays_in_its_body(trace: Any, *operands: Any, **params: Any) -> Any:
        return trace.default_process_primitive(primitive, [trace.instantiate_const(x) for x in operands], params)

    def kept(policy: Any, unknown: Sequence[bool], held: Sequence[bool], eqn: Eqn) -> Any:
        count = len(eqn.outvars)
        if any(unknown):
            lacking = [v for v, is_held in zip(eqn.invars, held, strict=True) if not is_held]
            return None, eqn, [True] * count, [True] * count, lacking
        saved = eqn.replace(params={**eqn.params, "saved": eqn.params["saved"] + 1})
        return saved, None, [False] * count, [False] * count, []

    _batching.fancy_primitive_batchers[primitive] = batched
    _pe.custom_partial_eval_rules[primitive] = stays_in_its_body
    _pe.partial_eval_jaxpr_custom_rules[primitive] = kept
    return primitive


def define_with_meaning(name: str, meaning: Callable[..., Any], batched: Any, refuse: Callable[..., Any]) -> Own:
    """A primitive that computes what `meaning` does, of operands and parameters, and that stays one equation until JAX
    compiles it. batched: what a vmap makes of it, as in `jax.interpreters.batching`. Results that are no real numbers
    have no derivative; for others `refuse` is called with the parameters, and raises."""

    def abstract(*avals: Any, **params: Any) -> list[Any]:
        given = (jax.ShapeDtypeStruct(x.shape, x.dtype) for x in avals)
        return [aval(x.shape, x.dtype) for x in _typed.eval_shape(functools.partial(meaning, **params), *given)]

    def derived(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        outs = primitive.bind(*primals, **params)
        if any(jax.numpy.issubdtype(out.dtype, np.inexact) for out in outs):
            refuse(**params)
        return outs, [ad.Zero(aval(out.shape, jax.dtypes.float0)) for out in outs]

    def computed(*operands: Any, **params: Any) -> Any:
        return _typed.jit(functools.partial(meaning, **params))(*operands)

    primitive = define(name, abstract)
    primitive.def_impl(computed)
    _mlir.register_lowering(primitive, _mlir.lower_fun(meaning, multiple_results=True))
    _batching.primitive_batchers[primitive] = batched
    _ad.primitive_jvps[primitive] = derived
    return primitive


def refuse_gradients(primitive: Own, refuse: Callable[..., Any]) -> None:
    _ad.primitive_jvps[primitive] = refuse


def is_redone(eqn: Eqn) -> bool:
    """Whether an equation is the backward pass of a checkpoint, which computes again what the forward pass did."""
    return bool(eqn.params.get("differentiated", False))


def is_traced(x: Any) -> bool:
    return isinstance(x, core.Tracer)


def is_tracing() -> bool:
    """Whether what JAX computes now becomes part of a jaxpr."""
    # The first question is quick, and also says yes in a part that is evaluated at once.
    return _jex.unsafe_am_i_under_a_jit_DO_NOT_USE() and is_traced(_top.numpy.zeros(()))


def transformation(tracer: Any) -> str:
    """Which transformation a tracer belongs to: "vmap" or "grad"; empty for one that stages a jaxpr, or None."""
    kind = type(tracer).__name__
    return {"BatchTracer": "vmap", "JVPTracer": "grad", "LinearizeTracer": "grad"}.get(kind, "")


# Part of the key by which JAX finds traces of jitted functions again.
_purpose = _top.make_user_context(None)


def traced_for(purpose: Any) -> contextlib.AbstractContextManager[Any]:
    """What is jitted and traced inside is kept apart from what is traced elsewhere. purpose: hashable."""
    return _purpose(purpose)


def bodies_of(eqn: Eqn) -> Iterator[Any]:
    """Every jaxpr in an equation's parameters."""
    for value in eqn.params.values():
        for part in as_sequence(value):
            opened = getattr(part, "jaxpr", part)
            if hasattr(opened, "eqns"):
                yield opened


def staged(x: Array) -> Array:
    """`x` as the result of an equation of the jaxpr being made, also where it is a constant."""
    scalar = getattr(x, "shape", ()) == ()  # a traced scalar may still become a literal
    return x if is_traced(x) and not scalar else _typed.optimization_barrier(x)


def aval(shape: tuple[int, ...], dtype: Any) -> Any:
    return core.ShapedArray(tuple(shape), dtype)


def known_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those of XLA's options that this version knows: 0.12 dropped `xla_cpu_use_fusion_emitters`."""
    return {name: value for name, value in options.items() if _knows(name, value)}


@functools.cache
def _knows(name: str, value: Any) -> bool:
    try:
        _top.jit(lambda: 0).lower().compile(compiler_options={name: value})
    except _top.errors.JaxRuntimeError:
        return False
    return True


def default_device() -> Any:
    """Where code is compiled for that names no device."""
    device = _backend.get_default_device()
    return _top.local_devices(backend=device)[0] if isinstance(device, str) else device


def code_of(compiled: Any) -> bytes | None:
    """A compiled function of flat results as bytes, or None where XLA cannot write it."""
    try:
        return _executables.serialize(compiled)[0]
    except (ValueError, NotImplementedError, _top.errors.JaxRuntimeError):
        return None


def loaded(code: bytes, arguments: Sequence[Any], results: int, devices: Sequence[Any]) -> Any:
    """The compiled function that `code_of` wrote. To load code is to run it, and JAX unpickles what surrounds it:
    `code` must be proved to be ours before it comes here. None where this JAX cannot load it."""
    trees = _typed.structure((tuple(arguments), {})), _typed.structure([0] * results)
    try:
        return _executables.deserialize_and_load(code, *trees, backend=devices[0].client, execution_devices=devices)
    except Exception:  # It is our own, and compiled anew: whatever this JAX and this machine have against it.
        return None


def platform_text(devices: Sequence[Any]) -> str:
    """All but the program and its options that decides what XLA makes of it: versions, devices, machine, settings."""
    client = devices[0].client
    settings = [(name, value) for name, value in _top.config.values.items() if not any(w in name for w in _NO_MATTER)]
    told = [
        (jax.__version__, jaxlib.version.__version__, sys.version, client.platform, client.platform_version),
        [(d.id, d.device_kind) for d in devices],
        [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")],
        (platform.machine(), os.cpu_count(), _processor()),
        sorted((name, repr(value)) for name, value in settings),
    ]
    return "\n".join(map(repr, told))


# Settings of JAX that change no code. 64-bit types are on wherever we compile.
_NO_MATTER = ("enable_x64", "cache", "log_", "logging", "traceback", "pprint", "async_dispatch")


@functools.cache
def _processor() -> list[str]:
    """What kind of CPU it is: XLA uses all that this one can, and another one might not run the code."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return [platform.processor()]
    return sorted(line for line in lines if line.split("\t")[0] in ("model name", "flags", "Features", "CPU part"))


def primitive_names() -> list[str]:
    """The names of the primitives that JAX keeps for library authors."""
    from jax.extend.core import primitives

    return sorted({getattr(primitives, name).name for name in dir(primitives) if name.endswith("_p")})
