"""Which values need more fraction bits than the number format has, found before a function is walked.

What goes in: a jaxpr, and which of its operands are public. What comes out: `Wants`: for a variable, how many fraction
bits what makes it should keep.

A square has twice the fraction bits of its number, and a root takes them back: between the two it should keep them, on
the way through sums, means, moving averages, loops and results that stay shared. So variables that linear operations
connect form a group, and a group is marked by where it ends: at a root, at a quotient by a root, at a sign. A moving
average with small weights (a constant factor below `SMALL`) needs more bits still, and has the room for them, since its
values are smaller than the format's largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jmpc import _jax
from jmpc.config import Config
from jmpc.frontend.kinds import is_real
from jmpc.frontend.public import public_operands, public_results

SMALL = 0.3
ROOT, QUOTIENT, SIGN, DIVISOR, AVERAGE = "root", "quotient by a root", "sign", "divisor", "average"
MADE, RESULT, USED, KEPT = "made by a root", "a result", "used by what is not linear", "mostly kept"
ROOTS = ("sqrt", "rsqrt")
# Operands that a result is linear in, by position; all of them by default.
LINEAR: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("add", "add_any", "sub", "neg", "max", "min", "concatenate", "stack", "copy", "copy_p")),
    **dict.fromkeys(("reduce_sum", "cumsum", "reduce_window_sum", "reduce_max", "reduce_min", "cummax", "cummin")),
    **dict.fromkeys(("reshape", "broadcast_in_dim", "transpose", "squeeze", "expand_dims", "slice", "rev", "split")),
    **dict.fromkeys(("tile", "pad", "reduce_precision", "optimization_barrier", "sharding_constraint")),
    **dict.fromkeys(("dynamic_slice", "gather", "convert_element_type"), (0,)),
    "dynamic_update_slice": (0, 1),
    **dict.fromkeys(("scatter", "scatter-add"), (0, 2)),
    "clamp": (1,),
}
CASES = {"select_n"}
SUMS = ("reduce_sum", "reduce_window_sum", "cumsum")
MOVES = ("reshape", "broadcast_in_dim", "transpose", "squeeze", "expand_dims")


@dataclass(frozen=True)
class Bits:
    """Fraction bits to keep. by_constant: of a product with a public factor; product: of one of two secrets.  average:
    of a moving average. narrow: of one on the way to a root, which keeps to a smaller range."""

    by_constant: int
    product: int
    average: bool = False
    narrow: bool = False


class Wants:
    """What one jaxpr wants, where it stands."""

    def __init__(self, scope: _Scope | None = None, groups: _Groups | None = None) -> None:
        self._scope, self._groups = scope, groups

    def of(self, var: Any) -> Bits | None:
        """None: what the number format has."""
        return self._groups.bits(self._scope, var) if self._groups and self._scope else None

    def inside(self, eqn: Any, number: int = 0) -> Wants:
        """Of a body that an equation holds."""
        inner = self._scope.inner.get(eqn.outvars[0]) if self._scope and eqn.outvars else None
        return Wants(inner[number], self._groups) if inner else NOTHING


NOTHING = Wants()


def extra(config: Config) -> int:
    """Fraction bits that a moving average has beyond others, as have roots: so few that those of all numbers of the
    format fit the ring."""
    return max(0, min(config.value_bits // 4, config.f - 8))


def average_range(config: Config) -> int:
    """log2 of what a moving average on the way to a root must stay below."""
    return config.value_bits - extra(config)


def analyse(jaxpr: Any, public: Sequence[bool], config: Config) -> Wants:
    """public: of the operands."""
    groups, scope = _Groups(config), _Scope()
    _read(groups, scope, jaxpr, public)
    for var in jaxpr.outvars:
        groups.mark((scope, var), RESULT)
    return Wants(scope, groups)


@dataclass(eq=False)
class _Scope:
    """A jaxpr where it stands: one that is called twice is two of them. inner: by each result of an equation that holds
    bodies, as an equation whose dead results were dropped is another one."""

    inner: dict[Any, list[_Scope]] = field(default_factory=dict, repr=False)

    def enter(self, eqn: Any) -> _Scope:
        made = _Scope()
        for var in eqn.outvars:
            self.inner.setdefault(var, []).append(made)
        return made


Node = tuple[_Scope, Any]


class _Groups:
    """Variables that belong together, and the marks of each group. roots: those that are roots, moved or scaled at
    most; inverse: one over a root; sums: those that are sums, whose small factor makes a mean; parts: what a variable
    is a small multiple of."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.parents: dict[Node, Node] = {}
        self.marks: dict[Node, set[str]] = {}
        self.roots: set[Node] = set()
        self.inverse: set[Node] = set()
        self.sums: set[Node] = set()
        self.parts: dict[Node, Node] = {}

    def find(self, node: Node) -> Node:
        root = node
        while root in self.parents:
            root = self.parents[root]
        while node != root:
            self.parents[node], node = root, self.parents[node]
        return root

    def link(self, a: Node, b: Node) -> None:
        if not all(_is_variable(var) and is_real(var.aval.dtype) for _, var in (a, b)):
            return
        one, two = self.find(a), self.find(b)
        if one != two:
            self.parents[one] = two
            self.marks.setdefault(two, set()).update(self.marks.pop(one, set()))

    def flow(self, a: Node, b: Node) -> None:
        """b is a, under another name."""
        self.link(a, b)
        for kind in (self.roots, self.inverse, self.sums) if _is_variable(a[1]) else ():
            if a in kind:
                kind.add(b)

    def mark(self, node: Node, mark: str) -> None:
        if _is_variable(node[1]):
            self.marks.setdefault(self.find(node), set()).add(mark)

    def bits(self, scope: _Scope, var: Any) -> Bits | None:
        if not _is_variable(var):
            return None
        marks, f = self.marks.get(self.find((scope, var)), set()), self.config.f
        more = extra(self.config)
        if ROOT in marks:
            bits = 2 * f + more * ({AVERAGE, KEPT} <= marks)
            return Bits(bits, bits, bits > 2 * f, bits > 2 * f)
        if DIVISOR in marks:
            return Bits(f + more, f + more)
        if AVERAGE in marks and marks & {QUOTIENT, SIGN}:
            return Bits(f + more, f, average=True)
        return Bits(f + more, f + more) if {MADE, RESULT} <= marks and USED not in marks else None


def _is_variable(var: Any) -> bool:
    return not isinstance(var, _jax.Literal)


# --- reading a jaxpr


def _read(groups: _Groups, scope: _Scope, jaxpr: Any, public: Sequence[bool]) -> None:
    known = {v for v, p in zip(jaxpr.invars, public, strict=True) if p} | set(jaxpr.constvars)
    values: dict[Any, float] = {}

    def is_known(atom: Any) -> bool:
        return not _is_variable(atom) or atom in known

    for eqn in jaxpr.eqns:
        given = [is_known(a) for a in eqn.invars]
        if all(given):
            known.update(eqn.outvars)
            _follow_numbers(values, eqn)
            continue
        entered = _enter(groups, scope, eqn, given)
        if entered is not None:
            known.update(v for v, p in zip(eqn.outvars, entered, strict=True) if p)
        else:
            _read_equation(groups, scope, eqn, given, values)


def _follow_numbers(values: dict[Any, float], eqn: Any) -> None:
    """A literal is moved about before it multiplies."""
    if eqn.primitive.name in (*MOVES, "convert_element_type"):
        number = _number(values, eqn.invars[0])
        if number is not None:
            values[eqn.outvars[0]] = number


def _number(values: dict[Any, float], atom: Any) -> float | None:
    if _is_variable(atom):
        return values.get(atom)
    array = np.asarray(atom.val)
    return float(array) if array.ndim == 0 and array.dtype.kind in "fiu" else None


def _read_equation(groups: _Groups, scope: _Scope, eqn: Any, given: list[bool], values: dict[Any, float]) -> None:
    name, outs = eqn.primitive.name, [(scope, v) for v in eqn.outvars]
    secret = [(scope, v) for v, p in zip(eqn.invars, given, strict=True) if not p]
    if name in LINEAR or name in CASES:
        positions = LINEAR.get(name) or range(name in CASES, len(eqn.invars))
        operands = [(scope, eqn.invars[n]) for n in positions if not given[n]]
        _linear(groups, name, operands, outs)
    elif name in ("mul", "div") and len(secret) == 1 and not given[0]:
        _scaled(groups, secret[0], outs[0], _number(values, eqn.invars[1]), name == "div")
    elif name == "div" and secret[-1] in groups.roots and len(secret) == 2:
        groups.mark(secret[0], QUOTIENT)
        groups.mark(secret[1], DIVISOR)
    elif name == "div" and len(secret) == 2 and secret[0] not in groups.inverse:
        groups.link(secret[0], outs[0])  # a bias correction by a count that is secret
        groups.mark(secret[1], USED)
    elif name == "mul" and len(secret) == 1:
        _scaled(groups, secret[0], outs[0], _number(values, eqn.invars[0]), False)
    elif name in ROOTS or (name == "pow" and abs(_number(values, eqn.invars[1]) or 0) == 0.5):
        groups.mark(secret[0], ROOT)
        if name == "rsqrt" or (name == "pow" and (_number(values, eqn.invars[1]) or 0) < 0):
            groups.inverse.add(outs[0])
        else:
            groups.roots.add(outs[0])
            groups.mark(outs[0], MADE)
    else:
        if name == "mul" and len(secret) == 2:
            _multiplied(groups, secret, outs[0])
        for node in secret:
            groups.mark(node, SIGN if name == "sign" else USED)


def _multiplied(groups: _Groups, secret: Sequence[Node], out: Node) -> None:
    """Of two secrets: by one over a root it is a quotient; (c x) x is c x^2."""
    if set(secret) & groups.inverse:
        for node in secret:
            groups.mark(node, QUOTIENT)
    if any(groups.parts.get(a) == b for a, b in (secret, secret[::-1])):
        groups.mark(out, AVERAGE)


def _linear(groups: _Groups, name: str, operands: Sequence[Node], outs: Sequence[Node]) -> None:
    for out in outs:
        for operand in operands:
            (groups.flow if len(operands) == 1 else groups.link)(operand, out)
    if name in SUMS:
        groups.sums.update(outs)


def _scaled(groups: _Groups, x: Node, out: Node, number: float | None, over: bool) -> None:
    """x times a public factor, or over one. Of a sum it is a mean, which is no moving average."""
    groups.flow(x, out)
    groups.sums.discard(out)
    factor = abs(1 / number if over else number) if number else 0.0
    if 0 < factor < SMALL and x not in groups.sums:
        groups.mark(out, AVERAGE)
        groups.parts[out] = x
    if 0.5 <= factor < 1:
        groups.mark(out, KEPT)


# --- bodies


def _enter(groups: _Groups, scope: _Scope, eqn: Any, given: list[bool]) -> list[bool] | None:
    """Read the bodies that an equation holds: which of its results are public; None if it holds none."""
    name = eqn.primitive.name
    if name == "scan":
        parts = _jax.scan_parts(eqn)
        return _loop(groups, scope, eqn, given, _jax.closed(parts["body"])[0], parts["consts"], parts["carry"])
    if name == "while":
        parts = _jax.while_parts(eqn)
        first = parts["cond_consts"]
        body, consts = _jax.closed(parts["body"])[0], parts["body_consts"]
        return _loop(groups, scope, eqn, given[first:], body, consts, len(given) - first - consts, first)
    if name == "cond":
        return _branches(groups, scope, eqn, given)
    body = _jax.body_of(eqn)
    if body is None:
        return None
    inner, (jaxpr, _) = scope.enter(eqn), _jax.closed(body)
    skipped = len(eqn.invars) - len(jaxpr.invars)
    return _call(groups, scope, inner, jaxpr, eqn.invars[skipped:], eqn.outvars, given[skipped:])


def _call(
    groups: _Groups, scope: _Scope, inner: _Scope, jaxpr: Any, operands: Any, outs: Any, given: Sequence[bool]
) -> list[bool]:
    for outer, param in zip(operands, jaxpr.invars, strict=True):
        groups.flow((scope, outer), (inner, param))
    _read(groups, inner, jaxpr, given)
    for result, outer in zip(jaxpr.outvars, outs, strict=True):
        groups.flow((inner, result), (scope, outer))
    return public_results(jaxpr, given)


def _branches(groups: _Groups, scope: _Scope, eqn: Any, given: list[bool]) -> list[bool]:
    found = [given[0]] * len(eqn.outvars)
    for branch in eqn.params["branches"]:
        inner, (jaxpr, _) = scope.enter(eqn), _jax.closed(branch)
        public = _call(groups, scope, inner, jaxpr, eqn.invars[1:], eqn.outvars, given[1:])
        found = [a and b for a, b in zip(found, public, strict=True)]
    return found


def _loop(
    groups: _Groups, scope: _Scope, eqn: Any, given: list[bool], jaxpr: Any, consts: int, carry: int, skipped: int = 0
) -> list[bool]:
    """A carry is one variable: before the loop, in it, and after."""
    inner, operands = scope.enter(eqn), eqn.invars[skipped:]
    public = public_operands(jaxpr, given, consts, carry)
    for outer, param in zip(operands, jaxpr.invars, strict=True):
        groups.flow((scope, outer), (inner, param))
    _read(groups, inner, jaxpr, public)
    for param, result in _carried(jaxpr, consts, carry):
        groups.link((inner, result), (inner, param))
    for result, outer in zip(jaxpr.outvars, eqn.outvars, strict=True):
        groups.link((inner, result), (scope, outer))
    return public_results(jaxpr, public)


def _carried(jaxpr: Any, consts: int, carry: int) -> Iterator[tuple[Any, Any]]:
    yield from zip(jaxpr.invars[consts : consts + carry], jaxpr.outvars[:carry], strict=True)
