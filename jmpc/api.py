"""What users call: `secure`, and the stages of a secure function, which mirror those of `jax.jit`.

What goes in: a JAX function and who supplies what. What comes out: a function of the same arguments and results that
runs as three party programs.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jmpc import _typed, backends, families, nested
from jmpc.arguments import Call, Signature, describe, nearest
from jmpc.backends import Backend, RunStats
from jmpc.check.verify import refuse_unless_comparable, verify
from jmpc.compiler import Flow, compile_flow
from jmpc.config import Config, Network
from jmpc.errors import ArgumentError, ConfigError
from jmpc.executors.engine import program_text, text_hash
from jmpc.explain import Explanation, clear_work, explain, warn_if_nothing_is_secret
from jmpc.frontend import lower as front
from jmpc.frontend.captured import Table, tables
from jmpc.frontend.known import Known
from jmpc.frontend.reach import Reach
from jmpc.frontend.trace import callers_line, check_result, trace
from jmpc.handle import Elsewhere, SecretArray
from jmpc.ir.types import BITS, Type
from jmpc.modules import Method, as_method
from jmpc.owner import Owner, owners
from jmpc.party.forecast import MEASURED, Speed
from jmpc.party.report import CostReport, cost_report
from jmpc.recent import Recent
from jmpc.ring import fixed
from jmpc.ring.element import Ring
from jmpc.roles import Role

LOG = logging.getLogger("jmpc")
SECRET = Role.SECRET
PROGRAMS = 256  # of one function that are kept: those called last


def secure(
    function: Callable[..., Any] | None = None,
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: Any = Role.CALLER,
    public: Sequence[str] = (),
    owners: Sequence[str] = (),
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    config: Config | None = None,
) -> Any:
    """Make a JAX function run on secret-shared data.

    inputs: owner of each argument by name, or a pytree prefix of owners; without it each array is secret and supplied
    by the caller. Work on one named owner's arguments alone is done by that owner, in the clear, before anything is
    shared (`lower(...).explain()` says what). A model that can be called, with arrays in it, or a method of one, is a
    function whose first argument, `self`, is the model.
    outputs: who learns the result, one name or a pytree prefix of names; the caller by default; `jmpc.SECRET` keeps
    it shared and returns a handle. Several learn it together: a set of names, or where one array stands, a list.
    public: arguments that everybody may know. owners: further names that `outputs` may use. static_argnums,
    static_argnames: as in jax.jit; functions in an argument are static, and so is what is no array in a model.

    Called inside another secure function it is part of that one's program. Raises ConfigError for a name that is not an
    argument or an owner.
    """
    told: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "public": public, "owners": owners}
    told |= {"static_argnums": static_argnums, "static_argnames": static_argnames}
    if function is None:
        return functools.partial(secure, **told, config=config)
    if not callable(function):
        raise ConfigError(f"{function!r} is not a function", where="jmpc.secure", todo="decorate a function")
    wanted = _checked(config)
    method = as_method(function)
    signature = Signature(method.function, **told)
    return Secured(method, signature, wanted)


def _checked(config: object) -> Config | None:
    if not isinstance(config, Config | None):
        raise ConfigError("config is not a jmpc.Config", where="secure(config=...)", todo="pass jmpc.Config(...)")
    return config


class Secured:
    """A function that runs on secret-shared data. `last_run` says what the latest call cost. `compilations`: for each
    program that calls compiled, why: what differs from the earlier calls. The logger "jmpc" says it too, as it does."""

    def __init__(self, method: Method, signature: Signature, config: Config | None) -> None:
        functools.update_wrapper(self, method.function, updated=())
        self.__name__ = signature.name
        self.function, self.signature, self.config = method.function, signature, config or Config()
        self.last_run: RunStats | None = None
        self.compilations: list[str] = []
        self._model, self._own_config = method.model, config
        self._cache: Recent[Any, Compiled] = Recent(PROGRAMS)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outer = nested.current()
        if outer is not None:
            return self._inside(outer, (*self._model, *args), kwargs)
        call = self.bind(args, kwargs)
        compiled = self.compiled(call)
        result = compiled.run(call)
        self.last_run = compiled.last_run
        return result

    def compiled(self, call: Call) -> Compiled:
        """The compilation that a call takes, made if there is none yet. Raises ArgumentError for a shape where this
        process must have a value."""
        call.arrays(backends.current().plays)
        return self._cache.get(call.key()) or self._compiled(call)

    def _compiled(self, call: Call) -> Compiled:
        why = nearest([c.lowered.traced.call for c in self._cache], call)
        LOG.info("%s: compiling, since %s", self.__name__, why)
        compiled = self._trace(call).lower().compile()
        self._cache.put(call.key(), compiled)
        self.compilations.append(why)
        return compiled

    def _inside(self, outer: nested.Outer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As a part of the program of another secure function."""
        nested.check_fits(outer, self.__name__, self.signature, self._own_config, args, kwargs)
        result = check_result(self.function(*args, **kwargs), self.__name__)
        nested.note_results(outer, self.__name__, result, self.signature.receivers(result))
        return result

    def bind(self, args: Any, kwargs: Any) -> Call:
        """A call, checked. Raises ArgumentError."""
        nested.refuse_tracers(self.__name__, (args, kwargs))
        call = self.signature.bind((*self._model, *args), kwargs)
        for leaf in call.leaves:
            if leaf.stored:
                leaf.value.check_format(self.config, leaf.path)
        return call

    def __repr__(self) -> str:
        return f"<jmpc.secure {self.__name__}>"

    def with_config(self, config: Config) -> Secured:
        """The same function under other settings."""
        return Secured(Method(self.function, self._model), self.signature, config)

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace for arguments, or for jax.ShapeDtypeStruct in their place."""
        return self._trace(self.bind(args, kwargs))

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace and lower."""
        return self.trace(*args, **kwargs).lower()

    def _trace(self, call: Call) -> Traced:
        outer = nested.Outer(self.__name__, self.config, frozenset(self.signature.owners))

        def flat_function(*arrays: Any) -> Any:
            outer.given.update((id(a), leaf.owner) for a, leaf in zip(arrays, call.leaves, strict=True))
            args, kwargs = call.rebuild(arrays)
            result = check_result(self.function(*args, **kwargs), self.__name__)
            if outer.made:
                nested.check_results(outer, result, self.signature.receivers(result))
            return result

        with nested.tracing(outer):
            specs, paths = [leaf.spec for leaf in call.leaves], [leaf.path for leaf in call.leaves]
            jaxpr, shape = trace(flat_function, self.__name__, specs, paths)
        line = callers_line()
        held = tables(jaxpr, self.__name__, lambda: Reach({self.__name__: self.function, **call.program_text()}), line)
        return Traced(self, call.described(), jaxpr, shape, held, line)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """A method: the instance is the first argument, a pytree or static."""
        return self if instance is None else functools.partial(self, instance)


@dataclass(frozen=True, repr=False)
class Traced:
    """The jaxpr of a secure function, for one set of shapes."""

    secured: Secured
    call: Call
    jaxpr: Any
    out_shape: Any
    tables: list[Table]
    line: str

    def __repr__(self) -> str:
        return f"<{self.secured.__name__}, traced: {len(self.jaxpr.eqns)} equations; lower()>"

    @property
    def out_info(self) -> Any:
        return self.out_shape

    @property
    def receivers(self) -> list[tuple[str, ...]]:
        """Of each leaf of the result."""
        return self.secured.signature.receivers(self.out_shape)

    @property
    def paths(self) -> list[str]:
        """Of each leaf of the result."""
        found, _ = _typed.flatten_with_paths(self.out_shape)
        return [_typed.keystr(path) or "result" for path, _ in found]

    def lower(self) -> Lowered:
        """Lower to the Share IR. Raises UnsupportedError, BoundError, ArgumentError."""
        leaves, tree = _typed.flatten(self.out_shape)
        results = zip(self.paths, self.receivers, leaves, strict=True)
        wanted = [front.Wanted(path, receivers, x.dtype) for path, receivers, x in results]
        arguments = [leaf.argument for leaf in self.call.leaves]
        function = front.Traced(self.secured.__name__, self.jaxpr, arguments, wanted, self.line)
        return Lowered(self, compile_flow(function, self.secured.config), tree)


@dataclass(frozen=True, repr=False)
class Lowered:
    """A secure function in the Share IR, its protocols chosen."""

    traced: Traced
    flow: Flow
    out_tree: Any

    def __repr__(self) -> str:
        ops = len(self.flow.share.body.ops)
        return f"<{self.traced.secured.__name__}, lowered: {ops} ops; as_text(), cost(), compile()>"

    def as_text(self, stage: str = "share") -> str:
        """The program at a stage: "jaxpr", "value" (after the front end), a pass by name, "share" (protocols chosen).
        Raises ArgumentError for another name."""
        if stage == "jaxpr":
            return str(self.traced.jaxpr)
        if stage != "share" and stage not in self.flow.stages:
            names = ", ".join(["jaxpr", *self.flow.stages, "share"])
            raise ArgumentError(f"no stage {stage!r}", where="as_text(stage)", todo=f"use one of {names}")
        return self.flow.as_text(stage)

    def cost(self, network: str | Network | None = None, speed: Speed = MEASURED) -> CostReport:
        """Rounds, bytes of each party and seconds on the wire, by op and by line, before anything runs; and what is
        computed in the clear instead, where and by whom. network: a profile by name, by default the configuration's, or
        a link of one's own. speed: how fast the parties work (`jmpc.party.forecast`)."""
        wanted = network or self.traced.secured.config.network
        return cost_report(self.flow.plans, wanted, self.flow.share, self._clear, speed)

    cost_analysis = cost

    @cached_property
    def program_text(self) -> str:
        """What parties get of the function, and their operators approve: `jmpc inspect FILE` shows what it says."""
        return program_text(self.flow.share, self.flow.schedule)

    @property
    def program_hash(self) -> str:
        """What the text is approved by."""
        return text_hash(self.program_text)

    def explain(self) -> Explanation:
        """Who supplies what, what is part of the program, what is computed in the clear, where and by whom, and who
        learns what; as a text, `str(...)`."""
        traced = self.traced
        results = zip(traced.paths, jax.tree.leaves(traced.out_shape), traced.receivers, strict=True)
        return explain(traced.secured.__name__, traced.call, self.flow.frontier, self._clear, traced.tables, results)

    @cached_property
    def _wanted(self) -> list[Known]:
        """What of the work in the clear a call needs: what feeds the program, and results."""
        frontier = self.flow.frontier
        fed = [s.known for s in frontier.sources if not s.type.secret]
        return fed + [k for k in frontier.outputs if not isinstance(k, int)]

    @property
    def _clear(self) -> dict[str, tuple[str, ...]]:
        return clear_work(self.flow.frontier, self._wanted)

    @cached_property
    def owners(self) -> dict[str, Owner]:
        """Each owner's own part of a call, by name; under `Role.PUBLIC`, everybody's."""
        return owners(self.flow)

    def _evaluate(self, arrays: Sequence[Any]) -> list[Any]:
        """What all owners have after their work in the clear: the values of inputs, then results."""
        inputs: dict[int, Any] = {}
        clear: dict[int, Any] = {}
        for owner in self.owners.values():
            values = owner.evaluate([arrays[n] for n in owner.arguments])
            inputs |= zip(owner.sources, values, strict=False)
            clear |= zip(owner.clear, values[len(owner.sources) :], strict=True)
        return [found[n] for found in (inputs, clear) for n in sorted(found)]

    def compile(self) -> Compiled:
        """Compile for the backend in use: this process, or the processes of `jmpc.processes()`."""
        backends.current().prepare(self.flow)
        return Compiled(self)


class Compiled:
    """A secure function for one set of shapes, ready to run."""

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.last_run: RunStats | None = None

    def __repr__(self) -> str:
        leaves = self.lowered.traced.call.leaves
        return f"<{self.lowered.traced.secured.__name__}, compiled for {len(leaves)} arrays>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises ArgumentError where shapes or dtypes are not those it was compiled for, or a handle may be beyond the
        bound of the one that it was compiled for."""
        call = self.lowered.traced.secured.bind(args, kwargs)
        expected = self.lowered.traced.call
        if not expected.takes(call):
            raise ArgumentError(
                "the arguments are not those that this was compiled for",
                where=self.lowered.traced.secured.__name__,
                why=describe(expected, call),
                todo="call the secure function itself, which compiles for each set of shapes, or lower again",
            )
        return self.run(call)

    def run(self, call: Call) -> Any:
        with np.errstate(all="ignore"):  # what a number format does not hold is told by errors, or wraps as in JAX
            return self._run_encoded(call)

    def _run_encoded(self, call: Call) -> Any:
        flow, config = self.lowered.flow, self.lowered.traced.secured.config
        frontier, backend = flow.frontier, backends.current()
        warn_if_nothing_is_secret(self.lowered.traced.secured.__name__, frontier)
        if config.check:
            refuse_unless_comparable(backend.name, frontier)
        arrays = call.arrays(backend.plays)
        here = [o for o in self.lowered.owners.values() if backend.plays(o.name)]
        supplied = [o.supply([arrays[n] for n in o.arguments]) for o in here]
        inputs = {n: x for one in supplied for n, x in one.inputs.items()}
        own = {n: x for one in supplied for n, x in one.clear.items()}
        stored = {k: leaf.value for k, leaf in zip(frontier.arguments, call.leaves, strict=True) if leaf.stored}
        sources = enumerate(frontier.sources)
        fed: list[Any] = [stored[s.known].kept if s.type.secret else inputs.get(n) for n, s in sources]
        clear = [own.get(n, Elsewhere(k.owner)) for n, k in enumerate(frontier.outputs) if isinstance(k, Known)]
        opened, self.last_run = self._run(backend, flow, fed)
        results = self._results(flow, opened, clear)
        if config.check:
            self._check(call, results, clear, lambda flow: self._run(backend, flow, fed)[0])
        return _typed.unflatten(self.lowered.out_tree, results)

    def _check(self, call: Call, results: list[Any], clear: list[Any], run: Callable[[Flow], list[Any]]) -> None:
        """run: another program of the same inputs."""

        def again(flow: Flow) -> tuple[list[Any], list[Any]]:
            opened = run(flow)
            return opened, self._results(flow, opened, clear)

        def under(config: Config) -> list[Any]:
            other = self.lowered.traced.secured.with_config(config.replace(check=False))
            return jax.tree.leaves(other._trace(call).lower().compile().run(call))

        verify(self.lowered, call, results, again, under)

    def _run(self, backend: Backend, flow: Flow, fed: list[Any]) -> tuple[list[Any], RunStats]:
        if not flow.share.outputs:
            return [], RunStats(0.0, 0, (0,) * families.of(flow.config).parties, backend.name)
        return backend.run(flow, fed)

    def _results(self, flow: Flow, opened: Sequence[Any], clear: Sequence[Any]) -> list[Any]:
        """The leaves of the result."""
        known, config = iter(clear), flow.config
        opened = _known_here(opened, flow, self.lowered.traced.receivers, backends.current())
        results = list[Any]()
        for which, shape in zip(flow.frontier.outputs, jax.tree.leaves(self.lowered.traced.out_shape), strict=True):
            if not isinstance(which, int):
                told = next(known)
                results.append(told.of(shape) if isinstance(told, Elsewhere) else _typed.asarray(told, shape.dtype))
                continue
            pair = jax.numpy.issubdtype(shape.dtype, np.complexfloating)
            which = _told(flow, opened, which, 1 + pair)
            value = flow.share.body.results[which].type
            if isinstance(opened[which], Elsewhere):
                results.append(opened[which].of(shape))
            elif pair:
                results.append(_complex(flow, opened, which, shape.dtype))
            elif flow.share.outputs[which].receiver == SECRET:
                results.append(SecretArray(tuple(shape.shape), shape.dtype, value, opened[which], config))
            else:
                results.append(decode(opened[which], value, shape.dtype, config))
        return results


def _told(flow: Flow, opened: Sequence[Any], which: int, parts: int) -> int:
    """Of the outputs that tell one result to its receivers, the first that this process learns, or the first of all.
    parts: of each."""
    told = range(which, _end(flow, which, len(opened)), parts)
    return next((n for n in told if not any(isinstance(x, Elsewhere) for x in opened[n : n + parts])), which)


def _end(flow: Flow, which: int, count: int) -> int:
    """Where the outputs that tell one result end. count: of all outputs."""
    return min((n for n in flow.frontier.outputs if isinstance(n, int) and n > which), default=count)


def _known_here(opened: Sequence[Any], flow: Flow, receivers: Sequence[Sequence[str]], backend: Backend) -> list[Any]:
    """What is opened, with what this process tells others and is a receiver of itself: nobody sends it that."""
    found = list(opened)
    for which, learn in zip(flow.frontier.outputs, receivers, strict=True):
        if not isinstance(which, int) or not any(map(backend.plays, learn)):
            continue
        told = slice(which, _end(flow, which, len(found)))
        missing = [x for x in found[told] if isinstance(x, Elsewhere)]
        if all(x.own is not None for x in missing):
            found[told] = [x.own if isinstance(x, Elsewhere) else x for x in found[told]]
    return found


def _complex(flow: Flow, opened: Sequence[Any], which: int, dtype: Any) -> Any:
    """A complex result, of its real and imaginary parts."""
    values = flow.share.body.results
    parts = [decode(opened[n], values[n].type, np.float64, flow.config) for n in (which, which + 1)]
    return jax.lax.complex(*parts).astype(dtype)


def decode(opened: np.ndarray, t: Type, dtype: Any, config: Config) -> Any:
    """An opened output as the JAX array that the function would have returned."""
    if t.form == BITS:
        return _typed.asarray(opened, dtype)
    return _typed.asarray(fixed.decode(opened, t.scale, Ring(config.k), np.dtype(dtype)))


__all__ = ["SECRET", "Compiled", "Lowered", "SecretArray", "Secured", "Traced", "secure"]
