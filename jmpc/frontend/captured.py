"""The guard of what a function finds outside itself, and does not get as an argument.

What goes in: a jaxpr, and what its function can reach. What comes out: the tables that the program will hold, or
ArgumentError. An array of more than 64 elements that existed before the function ran, or may come of one that did, is
refused at the first line where it, or what is computed of it, meets an argument or becomes a result, unless
`jmpc.public` was said of it. An array that the function makes itself is part of its text. Each is judged as it was
written, so before any of its elements are taken or repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmpc import _jax
from jmpc.errors import ArgumentError, UnsupportedError
from jmpc.frontend.place import Place
from jmpc.frontend.reach import Reach, Reached
from jmpc.frontend.words import is_called_public, is_public_mark
from jmpc.numerics.language import draws

CAPTURE_LIMIT = 64
# The constants that a value is made of, by number, and whether it is one of them as it was; None: of an argument, too.
Taint = frozenset[tuple[int, bool]] | None
CLEAR: Taint = frozenset()
Step = Callable[[list[Taint]], tuple[list[Taint], list[Taint]]]  # a carry -> the next one, and rows


@dataclass(frozen=True)
class Table:
    """A constant array of the program. loc: where it is used first.  name: of the array that the function found;
    empty if the function made it."""

    shape: tuple[int, ...]
    dtype: str
    loc: str
    name: str = ""


@dataclass(frozen=True)
class Exported:
    """A function of `jax.export`, and whether `jmpc.public` was said of it."""

    name: str
    public: bool


def tables(jaxpr: Any, function: str, reach: Callable[[], Reach], call: str = "") -> list[Table]:
    """Raises ArgumentError. reach: called only where a constant is so large that its origin matters.  call: the line of
    the call that had the function traced."""
    flow = Flow(call)
    opened, consts = _jax.closed(jaxpr)
    for taint in flow.run(opened, consts, [None] * len(opened.invars)):
        flow.note([taint], "its result")
    names = {n: f"a constant of {held.name}" for n, held in flow.exported.items()}
    large = [n for n in flow.met if _base_size(flow.consts[n]) > CAPTURE_LIMIT]
    for n in large:
        if n in flow.exported and not flow.exported[n].public:
            raise _held(flow.exported[n].name, flow.consts[n], flow.met[n], function)
    if any(n not in flow.exported for n in large):
        names |= _judged(flow, large, function, reach())
    consts = ((n, flow.consts[n]) for n in sorted(flow.met))
    return [Table(tuple(np.shape(c)), str(c.dtype), flow.met[n], names.get(n, "")) for n, c in consts]


def _judged(flow: Flow, large: Sequence[int], function: str, reached: Reach) -> dict[int, str]:
    """The names of the constants that are arrays which the function found."""
    sources = {n: _source(c, reached) for n, c in enumerate(flow.consts) if n not in flow.exported}
    found = {n: source for n, source in sources.items() if source is not None}
    for n in flow.met:
        if n in found and not found[n].public and _is_large(found[n]):
            raise _captured(found[n], flow.consts[n], flow.met[n], function)
    known = {id(found[n]) for n in flow.called_public if n in found}
    suspects = [r for r in reached.arrays if not r.public and id(r) not in known and _is_large(r)]
    for n in large:
        if n not in found and n not in flow.exported:
            _check_origin(flow.consts[n], flow.met[n], function, suspects, reached.complete)
    return {n: source.name for n, source in found.items()}


def _base_size(const: Any) -> int:
    """Elements of the array that a NumPy array is a part of."""
    while isinstance(getattr(const, "base", None), np.ndarray):
        const = const.base
    return int(np.prod(np.shape(const)))


def _is_large(source: Reached) -> bool:
    return source.size is None or source.size > CAPTURE_LIMIT


def _source(const: Any, reached: Reach) -> Reached | None:
    """The array that a constant is, is a part of, or is a copy of."""
    known = next((r for r in reached.arrays if r.object is const), None)
    if known is not None or not isinstance(const, np.ndarray):
        return known
    return next((r for r in reached.arrays if r.host is not None and _is_part(const, r.host)), None)


def _is_part(const: np.ndarray, host: np.ndarray) -> bool:
    if np.may_share_memory(const, host):
        return True
    if const.size != host.size or const.size <= 1 or host.dtype.kind not in "fiubc":
        return False
    with np.errstate(all="ignore"):
        return np.array_equal(np.ravel(const), np.ravel(host).astype(const.dtype), equal_nan=const.dtype.kind in "fc")


def _check_origin(const: Any, loc: str, function: str, suspects: Sequence[Reached], complete: bool) -> None:
    """A constant that is no array that the function found: made by it, unless of one that it found."""
    if not isinstance(const, np.ndarray):  # made before: NumPy's are all that appear while a function is traced
        raise _captured(Reached(const, "", int(np.prod(np.shape(const)))), const, loc, function)
    if suspects or not complete:
        raise _captured(suspects[0] if suspects else Reached(None, "", None), const, loc, function, copy=True)


def _captured(source: Reached, const: Any, loc: str, function: str, copy: bool = False) -> ArgumentError:
    written = source.object if hasattr(source.object, "shape") and hasattr(source.object, "dtype") else const
    spec = f"{const.dtype}{list(np.shape(const))}" if copy else f"{written.dtype}{list(np.shape(written))}"
    name = f"`{source.name}`" if source.name else "an array"
    if copy:
        origin = f"made while JAX traces it, with {name} at hand" if source.name else "of an origin that was not found"
        what = f"{function}: an array {spec} is {origin}, which is no argument"
    else:
        what = f"{function}: {name} is captured from outside the function: {spec}, and no argument"
    return ArgumentError(
        what,
        where=loc,
        why="a captured array becomes part of the program, which all parties see"
        + (f"; an array of more than {CAPTURE_LIMIT} elements is one only on purpose"),
        todo=[
            f"pass {name if source.name else 'it'} as an argument, which keeps it secret",
            f"or say that everybody may know it: jmpc.public({source.name if source.name and not copy else 'array'})",
        ],
    )


def _held(name: str, const: Any, loc: str, function: str) -> ArgumentError:
    return ArgumentError(
        f"{function}: the exported function {name} holds a constant, {const.dtype}{list(np.shape(const))}",
        where=loc,
        why="it becomes part of the program, which all parties see",
        todo=[
            "export the function with that array as an argument",
            "or say that everybody may know it: jmpc.public(...) of what was exported",
        ],
    )


class Flow:
    """Which constants a value is made of, through calls, branches and loops. met: where each constant first meets an
    argument.  called_public: those that `jmpc.public` was said of.  exported: those in a function of `jax.export`."""

    def __init__(self, call: str) -> None:
        self.consts: list[Any] = []
        self.met: dict[int, str] = {}
        self.called_public: set[int] = set()
        self.exported: dict[int, Exported] = {}
        self._numbers: dict[int, int] = {}
        self._place = Place(call=call)

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Taint]) -> list[Taint]:
        env: dict[Any, Taint] = dict(zip(jaxpr.invars, args, strict=True))
        env.update((v, self._taint(c)) for v, c in zip(jaxpr.constvars, consts, strict=True))

        def read(atom: Any) -> Taint:
            return CLEAR if isinstance(atom, _jax.Literal) else env[atom]

        around = self._place
        for eqn in jaxpr.eqns:
            self._place = around.of(eqn)
            outs = self._equation(eqn, [read(a) for a in eqn.invars])
            env.update(zip(eqn.outvars, outs, strict=True))
        self._place = around
        return [read(a) for a in jaxpr.outvars]

    def closed(self, body: Any, args: Sequence[Taint]) -> list[Taint]:
        jaxpr, consts = _jax.closed(body)
        return self.run(jaxpr, consts, args[len(args) - len(jaxpr.invars) :])

    def _taint(self, const: Any) -> Taint:
        if np.shape(const) == ():
            return CLEAR
        number = self._numbers.setdefault(id(const), len(self.consts))
        if number == len(self.consts):
            self.consts.append(const)
        return frozenset(((number, True),))

    def note(self, taints: Sequence[Taint], loc: str) -> None:
        for taint in taints:
            for number, _ in taint or ():
                self.met.setdefault(number, loc)

    def meet(self, *taints: Taint) -> Taint:
        """What comes of several values: constants alone, or they are noted where they meet an argument."""
        if all(t is not None for t in taints):
            return frozenset((number, False) for t in taints if t is not None for number, _ in t)
        self.note(taints, str(self._place))
        return None

    def _equation(self, eqn: Any, args: list[Taint]) -> list[Taint]:
        name, body = eqn.primitive.name, self._body(eqn)
        if is_public_mark(str(eqn.params.get("name", ""))) and args[0] is not None:
            self.called_public.update(number for number, as_it_was in args[0] if as_it_was)
            return [CLEAR]
        if name == "call_exported":
            return self._exported(eqn.params["exported"], body, args)
        if body is not None:
            return self.closed(body, args)
        if name in ("cond", "scan", "while"):
            return {"cond": self._cond, "scan": self._scan, "while": self._while}[name](eqn, args)
        inside = [self._taint(c) for c in _consts_within(eqn)]
        made = self.meet(*args, *inside, *([None] if draws.is_draw(eqn) else []))
        return [made] * len(eqn.outvars)

    def _body(self, eqn: Any) -> Any:
        try:
            return _jax.body_of(eqn)
        except UnsupportedError as error:  # of an exported function
            raise UnsupportedError(error.what, where=str(self._place), why=error.why, todo=error.todo) from error

    def _exported(self, exported: Any, body: Any, args: list[Taint]) -> list[Taint]:
        """The constants of an exported function existed before the function that calls it ran."""
        before = len(self.consts)
        outs = self.closed(body, args)
        held = Exported(exported.fun_name, is_called_public(exported))
        self.exported.update(dict.fromkeys(range(before, len(self.consts)), held))
        return outs

    def _cond(self, eqn: Any, args: list[Taint]) -> list[Taint]:
        cases = [self.closed(branch, args[1:]) for branch in eqn.params["branches"]]
        return [self.meet(args[0], *results) for results in zip(*cases, strict=True)]

    def _scan(self, eqn: Any, args: list[Taint]) -> list[Taint]:
        parts = _jax.scan_parts(eqn)
        first, last = parts["consts"], parts["consts"] + parts["carry"]

        def step(carry: list[Taint]) -> tuple[list[Taint], list[Taint]]:
            outs = self.closed(parts["body"], [*args[:first], *carry, *args[last:]])
            return outs[: len(carry)], outs[len(carry) :]

        carry, rows = self._settled(step, args[first:last])
        return carry + rows

    def _while(self, eqn: Any, args: list[Taint]) -> list[Taint]:
        parts = _jax.while_parts(eqn)
        first, last = parts["cond_consts"], parts["cond_consts"] + parts["body_consts"]

        def step(carry: list[Taint]) -> tuple[list[Taint], list[Taint]]:
            (going,) = self.closed(parts["cond"], [*args[:first], *carry])
            after = self.closed(parts["body"], [*args[first:last], *carry])
            return [self.meet(going, a) for a in after], []

        return self._settled(step, args[last:])[0]

    def _settled(self, step: Step, carry: list[Taint]) -> tuple[list[Taint], list[Taint]]:
        """The carry that its own step does not change any more."""
        while True:
            after, rows = step(carry)
            joined = [self.meet(*pair) for pair in zip(carry, after, strict=True)]
            if joined == carry:
                return carry, rows
            carry = joined


def _consts_within(eqn: Any) -> Iterator[Any]:
    """Constants of the bodies in an equation's parameters that are not walked."""
    waiting = list(eqn.params.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, tuple | list):
            waiting += value
        jaxpr, consts = _jax.closed(value)
        if hasattr(jaxpr, "eqns"):
            yield from consts
            waiting += [part for inner in jaxpr.eqns for part in inner.params.values()]
