"""Walk a jaxpr and emit the value level of the Share IR.

What goes in: a jaxpr, and for each argument who supplies it. What comes out: a value-level program, the prelude (work
in the clear), and where each of the program's inputs comes from. Each value is `Known` in the clear or a secret IR
`Value`. Rules for secret operands are in `rules/`; what has no rule is collected, and refused all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np

from jmpc import _jax
from jmpc.frontend import kinds, pairs, unsupported
from jmpc.frontend.calls import instead_of_body
from jmpc.frontend.effects import acts
from jmpc.frontend.facts import Fact
from jmpc.frontend.fixed_point import saturation
from jmpc.frontend.fixed_point.encode import factor_scale
from jmpc.frontend.fixed_point.precision import NOTHING, Bits, Wants
from jmpc.frontend.idioms import Folding
from jmpc.frontend.integer import integers
from jmpc.frontend.kinds import constant, has_secure_form, is_beyond, is_real, kind_of, secret_type
from jmpc.frontend.known import Known, Prelude
from jmpc.frontend.notes import Chosen, Note, Noted, Record, Repeated
from jmpc.frontend.scope import Operand, Results, Shared, in_clear, listed
from jmpc.frontend.words import called, declared_limit, has_marker
from jmpc.ir import ops
from jmpc.ir.program import Builder, Input, Value
from jmpc.ir.types import ASSUMED, BOOL, FIXED, INT, LOCAL, PLAIN, PUBLIC, Type
from jmpc.numerics.language import draws, words
from jmpc.roles import Role, work_of

T = TypeVar("T")
Rule = Callable[["Walker", Any, list[Operand]], Results]
WordRule = TypeVar("WordRule", bound=Callable[..., Results])
PrimitiveRule = TypeVar("PrimitiveRule", bound=Rule)
RULES: dict[str, Rule] = {}
WORDS: dict[str, Callable[..., Results]] = {}
FOLLOWERS: dict[str, Callable[..., Operand]] = {}
NUMBER: Fact[float] = Fact("the real number that all its elements are, before it is encoded")
LOOPS = ("scan", "while", "cond")
ELEMENTWISE = {
    *("add", "add_any", "sub", "mul", "div", "max", "min", "and", "or", "xor"),
    *("lt", "le", "gt", "ge", "eq", "ne", "clamp", "select_n", "nextafter"),
    *("rem", "shift_left", "shift_right_logical", "shift_right_arithmetic", "eq_to", "le_to", "lt_to"),
}


def rule(*names: str) -> Callable[[PrimitiveRule], PrimitiveRule]:
    def register(function: PrimitiveRule) -> PrimitiveRule:
        for name in names:
            if name in RULES:
                raise ValueError(f"primitive {name} has a rule already")
            RULES[name] = function
        return function

    return register


def follows(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `function(walker, eqn, args, made)` as what is noted of the result of the rule, or takes its place."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        FOLLOWERS.update(dict.fromkeys(names, function))
        return function

    return register


def word_rule(name: str) -> Callable[[WordRule], WordRule]:
    """Register `function(walker, args, **static)` as what a word of `numerics/` does."""

    def register(function: WordRule) -> WordRule:
        if name in WORDS:
            raise ValueError(f"word {name} has a rule already")
        WORDS[name] = function
        return function

    return register


@dataclass(frozen=True)
class Source:
    """Where an input of the program comes from: a known value, encoded with `type`'s scale, within `type`'s limit.
    saturates: numbers beyond the limit become it; otherwise they are refused."""

    known: Known
    type: Type
    path: str
    loc: str = ""
    saturates: bool = False

    @property
    def place(self) -> str:
        """For messages: the argument, or the line that made a value in the clear."""
        if not (self.path.startswith("(") and self.loc):
            return self.path
        return f"{'a public value' if not self.known.owner else self.path[1:-1]} at {self.loc}"


class Walker:
    """One scope: the function, or the body of a loop. inside: while a function stands for a primitive, whose line it
    keeps. redone: while a checkpoint computes again. jaxpr: the open one that is walked. loops: what holds in its
    loops, in order. loops_before: the same of an earlier walk of this body. wants, wanted: the fraction bits that
    values of the jaxpr at hand, and results of the equation at hand, should keep. within: what a rule has walked of the
    equation at hand."""

    def __init__(self, shared: Shared, parent: Walker | None = None) -> None:
        self.shared, self.parent, self.config = shared, parent, shared.config
        self.prelude = Prelude(lambda: shared.place, parent.prelude.depth + 1 if parent else 0)
        self.build = Builder(parent.build.loc if parent else "")
        self.params: list[Value] = []
        self.sources: list[Source] = []
        self.inputs: list[Input] = []
        self.captures: list[tuple[Value, Value]] = []
        self.facts = shared.facts
        self.emitted: dict[Hashable, Any] = {}
        self.notes: list[Note] = []
        self.decisions: list[Noted | None] = []
        self.within: Repeated | Chosen | None = None
        self.inside: bool = parent.inside if parent else False
        self.redone: bool = parent.redone if parent else False
        self.jaxpr: Any = None
        self.loops: list[Any] = []
        self.loops_before: list[Any] = []
        self.wants: Wants = NOTHING
        self.wanted: Bits | None = None

    # --- walking

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Operand], wants: Wants = NOTHING) -> list[Operand]:
        """The results of a jaxpr on operands. wants: the fraction bits that its values should keep."""
        outer, self.wants = (self.wants, self.wanted), wants
        results = self._run(jaxpr, consts, args)
        self.wants, self.wanted = outer
        return results

    def _run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Operand]) -> list[Operand]:
        env: dict[Any, Operand] = {}
        for var, const in zip(jaxpr.constvars, consts, strict=True):
            env[var] = const if isinstance(const, (Known, Value)) else constant(const)
        env.update(zip(jaxpr.invars, args, strict=True))

        def read(atom: Any) -> Operand:
            if isinstance(atom, _jax.Literal):
                return constant(atom.val, atom.aval)
            return kinds.known_if_empty(env[atom], atom.aval)

        folding, around = Folding(jaxpr), self.shared.place
        outside, self.jaxpr = self.jaxpr, jaxpr
        self.shared.program = self.shared.program or jaxpr
        for number, eqn in enumerate(jaxpr.eqns):
            if folding.hides(self, number, read):
                self.decisions.append(Noted())
                continue
            outer = self.build.loc
            self.shared.place = around if self.inside else around.of(eqn)
            self.build.loc = outer if self.inside else self.shared.place.loc
            at = len(self.decisions)
            self.decisions.append(None)
            self.wanted = self.wants.of(eqn.outvars[0]) if eqn.outvars else None
            outs = folding.ended(self, number, eqn, read) or self.equation(eqn, [read(a) for a in eqn.invars])
            env.update(zip(eqn.outvars, outs, strict=True))
            if len(self.decisions) == at + 1:
                self.decisions[at] = self.note(eqn, outs)
            self.build.loc, self.shared.place = outer, around
        self.jaxpr = outside
        return [read(a) for a in jaxpr.outvars]

    @property
    def record(self) -> Record:
        return Record(self.notes, self.decisions)

    def note(self, eqn: Any, outs: Sequence[Operand]) -> Noted:
        """For check mode: the secret results of an equation that was not replaced by its body."""
        secret = {n: v for n, v in enumerate(outs) if isinstance(v, Value)}
        said = called(eqn)
        self.notes += [Note(v, said, self.build.loc, saturation.source(self, v) or "") for v in secret.values()]
        within, self.within = self.within, None
        return Noted(tuple(secret), within)

    def equation(self, eqn: Any, args: list[Operand]) -> list[Operand]:
        name = _jax.primitive_of(eqn)
        marker = str(eqn.params.get("name", "")) if name in ("jit", "pjit") else ""
        limit = declared_limit(marker)
        if limit is not None:
            return [self.declare(args[0], limit)]
        meant = words.meant_by(marker)
        if meant is not None and not self.in_the_clear(args):
            return listed(WORDS[meant[0]](self, args, **meant[1]))
        if self.in_the_clear(args) and not has_marker(eqn) and not draws.draws_within(eqn):
            return list(self.known_step(eqn, args))
        if (
            name == "convert_element_type"
            and isinstance(args[0], Known)
            and kinds.casts_early(args[0], eqn.params["new_dtype"], self.config)
        ):
            (cast,) = self.known_step(eqn, args)
            cast.path, cast.limit = args[0].path, args[0].limit
            return [cast]
        if pairs.holds_complex(eqn) and _jax.body_of(eqn) is None:
            return self.by_rule("(complex)", eqn, args)
        if name in RULES:
            odd = "" if name in LOOPS else kinds.without_secure_form(eqn, args)  # a public key may go around in a loop
            if odd:
                return self.refuse(eqn, args, f"{odd} has no secure form: real numbers, integers and bools have")
            if name in ELEMENTWISE:
                args = [self.spread(a, tuple(eqn.outvars[0].aval.shape)) for a in args]
            outs = integers.ruled(self, RULES[name], eqn, args)
            return [FOLLOWERS[name](self, eqn, args, *outs)] if name in FOLLOWERS else outs
        body = None if eqn.primitive.name == _jax.HIGH else _jax.body_of(eqn)
        if body is None:
            return self.by_rule("(decomposed)", eqn, args)
        outs = instead_of_body(self, eqn, args)
        return self._body(eqn, body, args) if outs is None else listed(outs)

    def by_rule(self, name: str, eqn: Any, args: list[Operand]) -> list[Operand]:
        """The results of an equation, as the rule that is named so has it."""
        return listed(RULES[name](self, eqn, args))

    def _body(self, eqn: Any, body: Any, args: list[Operand]) -> list[Operand]:
        jaxpr, consts = _jax.closed(body)
        outer, self.redone = self.redone, self.redone or _jax.is_redone(eqn)
        outs = self.run(jaxpr, consts, args[len(args) - len(jaxpr.invars) :], self.wants.inside(eqn))
        self.redone = outer
        return outs

    def spread(self, x: Operand, shape: tuple[int, ...]) -> Operand:
        """An operand of an elementwise primitive in the shape of the result: JAX lets scalars and axes of size 1 be."""
        if x.shape == shape:
            return x
        if isinstance(x, Value):
            return self.emit("broadcast", x, shape=shape, dims=tuple(range(len(x.shape))))
        if x.concrete is not None:
            spread = np.broadcast_to(np.asarray(x.concrete), shape)
            return Known(shape, x.dtype, x.owner, spread, x.scope)
        (made,) = (x.scope or self.root).add(
            lambda v: [jax.numpy.broadcast_to(v, shape)], [x], [jax.ShapeDtypeStruct(shape, x.dtype)]
        )
        made.limit, made.saturates = x.limit, x.saturates
        return made

    def in_the_clear(self, args: Sequence[Operand]) -> bool:
        if not all(isinstance(a, Known) for a in args):
            return False
        owners = {a.owner for a in args if isinstance(a, Known) and a.owner}
        return not owners or (len(owners) == 1 and not owners & {Role.CALLER, Role.SECRET})

    def known_step(self, eqn: Any, args: Sequence[Operand]) -> list[Known]:
        """In the scope that its operands come from; an effect, where it stands."""
        known = [in_clear(a) for a in args]
        scope = max((a.scope for a in known if a.scope is not None), key=lambda s: s.depth, default=self.root)
        scope = self.prelude if eqn.effects else scope
        made = scope.add(lambda *xs: _jax.bind(eqn, *xs), known, [v.aval for v in eqn.outvars], acts(eqn))
        if any(a.saturates or is_beyond(a, self.config) for a in known):
            for one in made:
                one.saturates = one.concrete is None and is_real(one.dtype)
        return made

    def declare(self, x: Operand, limit: float) -> Operand:
        if isinstance(x, Known):
            (same,) = (x.scope or self.root).add(lambda value: [value], [x], [x])
            same.limit, same.path = limit, x.path
            return same
        if x.type.kind == BOOL:
            return x
        return self.emit("bound", x, limit=int(limit * 2**x.type.scale))

    @property
    def root(self) -> Prelude:
        return self.parent.root if self.parent else self.prelude

    def refuse(self, eqn: Any, args: list[Operand], why: str | None = None, name: str = "") -> list[Operand]:
        """Note an operation without a secure form, and go on with values of the right type. name: the function's that
        the user wrote, where the equation has another."""
        name = name or _jax.name_of(eqn)
        self.shared.missing[name, str(self.shared.place)] = why or unsupported.reason(name)
        return [self.placeholder(v.aval) for v in eqn.outvars]

    def placeholder(self, aval: Any) -> Value:
        dtype = aval.dtype if has_secure_form(aval.dtype) else np.dtype(np.float32)
        return Value(secret_type(tuple(aval.shape), dtype, self.config))

    # --- emitting

    def emit(self, name: str, *inputs: Value, **attrs: Any) -> Value:
        attrs = {key: _plain(value) for key, value in attrs.items()}
        types = ops.infer(name, [v.type for v in inputs], attrs, self.config, self.build.loc)
        made = self.build.emit_many(name, inputs, types, **attrs)[0]
        if made.type.kind == INT:
            self.facts.note(integers.INTERVAL, made, integers.infer(self, name, inputs, made.type, attrs))
        saturation.follow(self, name, inputs, made)
        return made

    def in_format(self, x: Value) -> Value:
        """x, the result of a rule. A value of the user's function keeps the contract, so no more is assumed of it: what
        is computed with a wide sum, or from a table, has a larger bound, which would grow in all that is made of it."""
        most = ops.contract(x.type.scale, self.config, x.type.kind)
        if self.inside or not x.type.secret or x.type.origin != ASSUMED or x.type.limit <= most:
            return x
        return self.emit("bound", x, limit=most, origin=ASSUMED)

    def secret(self, x: Operand, exact: bool = False) -> Value:
        """As a secret value; a known value is shared by its owner. exact: what is beyond the number format must not
        saturate."""
        if isinstance(x, Value):
            return x
        value = self.operand(x, exact=exact)
        if value.type.secret:
            return value
        return self.once(("share", value), lambda: self.emit("share", value))

    def operand(self, x: Operand, scale: int | None = None, exact: bool = False) -> Value:
        """As an IR value: secret, or public where the value is public. scale: fraction bits of a public number."""
        if isinstance(x, Value):
            return x
        if x.scope is not None and x.scope is not self.prelude and self.parent is not None:
            return self.capture(self.parent.operand(x, scale, exact))
        if x.concrete is not None or not x.owner:
            return self.public(x, scale, exact)
        if self.parent is not None and x.scope is None:
            return self.capture(self.parent.operand(x, scale, exact))
        saturates, bits = x.saturates and not exact, self.config.f if x.bits is None else x.bits
        key = (x, "share", saturates)
        return self.once(key, lambda: self.emit("share", self._input(x, LOCAL, bits, saturates)))

    def public(self, x: Known, scale: int | None, exact: bool = False) -> Value:
        kind = kind_of(x.dtype, x.path or self.build.loc)
        scale = (self.config.f if scale is None else scale) if kind == FIXED else 0
        number = x.uniform()
        if number is not None and kind != BOOL:
            return self.constant(number, x.shape, kind, scale)
        if kind == FIXED and x.concrete is not None:
            held = saturation.held(self, x, scale)
            if held is not x:
                return saturation.note(self, self.public(held, scale))
        if self.parent is not None and (x.scope is None or x.concrete is not None):
            return self.capture(self.parent.public(x, scale, exact))
        saturates = x.saturates and not exact
        return self.once(("public", x, scale, saturates), lambda: self._input(x, PUBLIC, scale, saturates))

    def constant(self, number: float, shape: tuple[int, ...], kind: str, scale: int) -> Value:
        """All elements one number; beyond the format it saturates (attention masks of -1e9 and -inf)."""
        most = ops.contract(scale, self.config)
        if kind != FIXED:
            return self.emit("const", value=integers.element(self, int(number)), shape=shape, kind=kind, scale=0)
        held = max(min(float(number) * 2**scale, most), -most)
        value = self.emit("const", value=round(held), shape=shape, kind=kind, scale=scale)
        self.facts.note(NUMBER, value, float(number))
        return value if held == float(number) * 2**scale else saturation.note(self, value)

    def factor(self, x: Known) -> Value:
        """A public factor, with as few fraction bits as it needs."""
        if kind_of(x.dtype) != FIXED or x.concrete is None:
            return self.operand(x)
        return self.public(x, factor_scale(np.asarray(x.concrete), self.config))

    def capture(self, outer: Value) -> Value:
        """A value of the scope around, as a constant of this loop."""

        def make() -> Value:
            param = integers.like(self, outer)
            self.captures.append((outer, param))
            return saturation.keep(self, outer, param)

        return self.once(("capture", outer), make)

    def _input(self, x: Known, visibility: str, scale: int, saturates: bool = False) -> Value:
        kind = kind_of(x.dtype, x.path or self.build.loc)
        scale = scale if kind == FIXED else 0
        limit, origin = kinds.input_bound(x, kind, scale, self.config)
        t = Type(x.shape, kind, scale, limit, origin, visibility, x.owner, PLAIN)
        value = Value(t)
        if kind == INT:
            integers.within(self, value, integers.of_input(x, t, self.config.k))
        self.params.append(value)
        path = x.path or work_of(x.owner)
        self.sources.append(Source(x, t, path, self.build.loc, saturates))
        self.inputs.append(Input(self.sources[-1].path, x.owner))
        return saturation.note(self, value) if saturates else value

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made under this key before, or is made now. A key begins with the name of what is made."""
        if key not in self.emitted:
            self.emitted[key] = make()
        return self.emitted[key]


def _plain(attr: Any) -> Any:
    """Attributes of the IR are Python numbers; JAX also uses NumPy's."""
    if isinstance(attr, tuple):
        return tuple(_plain(part) for part in attr)
    return attr.item() if isinstance(attr, np.generic) else attr
