"""One party's program: a share-level program, read op by op, becomes a jaxpr with `mask` and `exchange` equations.

What goes in: a verified share-level Program, the party's index, the family of protocols. What comes out: a `Traced`.
Linear ops are applied here to every summand that the party holds; all else is a protocol of the family.

What a party holds of a value: of a secret the summands that its form says, none to several; of a public value one array
of ring elements (bits as 0 and 1).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from jax import lax

from jmpc import _jax, _typed, families
from jmpc._types import Array
from jmpc.families.family import Family, Spec
from jmpc.ir import ops
from jmpc.ir.ops import conv_params
from jmpc.ir.ops.record import LINEAR
from jmpc.ir.program import Block, Op, Output, Program, Value, regions
from jmpc.ir.types import ARITH, BITS, BOOL, INT, LOCAL, PLACES, PLAIN, SECRET, Type
from jmpc.party.exchange import Party
from jmpc.party.link import Linked, Variable
from jmpc.party.protocol_line import words_for_errors
from jmpc.ring import bits, product, reduction
from jmpc.ring.element import Ring
from jmpc.roles import Role

Held = Any
SYNCS = frozenset({"exchange", "party_loop"})


def _looped(*_: Any, out: Sequence[Spec], **__: Any) -> list[Any]:
    return [_jax.aval(shape, dtype) for shape, dtype in out]


loop_p = _jax.define("party_loop", _looped)


@dataclass(frozen=True, eq=False, repr=False)
class Traced:
    """The jaxpr of one scope (the program, or a loop's body) of one party of so many. locs: the user's line of each op
    number."""

    jaxpr: Any
    consts: Sequence[Any]
    party: int
    parties: int
    locs: tuple[tuple[str, str], ...]

    @property
    def verdicts(self) -> Sequence[Any]:
        """The variables that stop the party where one of their bits is not set."""
        return getattr(self.jaxpr, "verdicts", ())

    @cached_property
    def live(self) -> list[Any]:
        """The equations that matter: exchanges, loops, and what results or they depend on."""
        needed = {v for v in (*self.jaxpr.outvars, *self.verdicts) if not isinstance(v, _jax.Literal)}
        kept: list[Any] = []
        for eqn in reversed(self.jaxpr.eqns):
            if is_sync(eqn) or any(v in needed for v in eqn.outvars):
                needed.update(v for v in eqn.invars if not isinstance(v, _jax.Literal))
                kept.append(eqn)
        return kept[::-1]


def is_sync(eqn: Any) -> bool:
    """Whether parties meet in an equation."""
    return eqn.primitive.name in SYNCS


def input_type(t: Type) -> Type:
    """How an input arrives: public values plain, an owner's values already shared by the owner."""
    if t.visibility != LOCAL:
        return t
    return t.with_(visibility=SECRET, owner="", form=BITS if t.kind == BOOL else ARITH)


def trace_party(program: Program, index: int, family: Family, form: str) -> Traced:
    """Trace the program of party `index`. form: how ring products are computed ("float64", "int8", "native")."""
    tracer = Tracer(Ring(program.config.k), index, family, form)
    with _jax.x64():
        return tracer.scope(program.body, [_revealed_bits(o, program.config.k) for o in program.outputs])


def output_widths(program: Program) -> list[list[int]]:
    """For each output, by party, how many arrays of its plan's results it is."""
    family, ring = families.of(program.config), Ring(program.config.k)
    found: list[list[int]] = []
    for value, output in zip(program.body.results, program.outputs, strict=True):
        opened = output.receiver != Role.SECRET and value.type.secret
        found.append(
            [
                family.sent[party] if opened else len(family.specs(value.type, ring, party))
                for party in range(family.parties)
            ]
        )
    return found


def _revealed_bits(output: Output, k: int) -> int:
    """The low bits of a result that leave for its receiver; none of one that stays. An integer may have left its dtype,
    and what is above would say more than JAX's result does."""
    if output.receiver == Role.SECRET:
        return 0
    return min(8 * np.dtype(output.dtype).itemsize, k) if output.dtype.startswith(("int", "uint")) else k


class Tracer:
    def __init__(self, ring: Ring, index: int, family: Family, form: str) -> None:
        self.ring, self.index, self.family, self.form = ring, index, family, form

    def specs(self, t: Type) -> list[Spec]:
        """Of what this party holds."""
        return self.family.specs(t, self.ring, self.index)

    def scope(self, block: Block, revealed: Sequence[int] | None) -> Traced:
        """Trace a block. revealed: for each result, how many of its low bits leave for a receiver (then it is
        masked), or 0 where it stays as it is held; None for the body of a loop."""
        scope = Scope(self, block)
        for number, op in enumerate(block.ops):
            scope.run(op, number)
        scope.leave(block.results, revealed, len(block.ops))
        locs = tuple((op.name, op.loc) for op in block.ops)
        consts = list(scope.linked.values.values())
        return Traced(scope.linked, consts, self.index, self.family.parties, (*locs, ("output", "")))

    def traced(self, op: Op) -> tuple[Hashable | None, Callable[..., list[Array]]]:
        """What one op does as a function of flat arrays, and all that it depends on; None for a loop."""
        protocol = self.family.protocols.get(op.name)
        types, made = tuple(v.type for v in op.inputs), tuple(v.type for v in op.outputs)
        what = (op.name, types, made, tuple(sorted(op.attrs.items()))) if not any(regions(op)) else None
        key = what and (self.family.name, self.ring.k, self.index, self.form, protocol and protocol.run, what)
        specs = [self.specs(input_type(t)) for t in types]
        return key, lambda *flat: flatten(OpTracer(self).run(op, unflatten(list(flat), specs)))


class Scope:
    """The values of one block while it is traced: for each, the variables that this party holds."""

    def __init__(self, tracer: Tracer, block: Block) -> None:
        self.tracer, self.env = tracer, dict[Value, list[Variable]]()
        self.linked = Linked([])
        for p in block.params:
            self.env[p] = [Variable(_jax.aval(*spec)) for spec in tracer.specs(input_type(p.type))]
            self.linked.invars += self.env[p]

    def run(self, op: Op, number: int) -> None:
        key, function = self.tracer.traced(op)
        made = self.linked.call(key, function, [v for x in op.inputs for v in self.env[x]], number)
        for value in op.outputs:
            count = len(self.tracer.specs(value.type))
            self.env[value], made = made[:count], made[count:]

    def leave(self, values: Sequence[Value], revealed: Sequence[int] | None, number: int) -> None:
        """The results of the scope."""
        specs = [self.tracer.specs(v.type) for v in values]

        def results(*flat: Array) -> list[Array]:
            return OpTracer(self.tracer).results(unflatten(list(flat), specs), [v.type for v in values], revealed)

        made = self.linked.call(None, results, [v for x in values for v in self.env[x]], number)
        self.linked.outvars = [self.linked.held(v) for v in made]


def unflatten(flat: list[Array], specs: Sequence[Sequence[Any]]) -> list[Held]:
    held, start = list[Held](), 0
    for group in specs:
        part = flat[start : start + len(group)]
        held.append(_held(part))
        start += len(group)
    return held


def flatten(held: Sequence[Held]) -> list[Array]:
    return [a for h in held for a in _summands(h)]


def _summands(held: Held) -> tuple[Array, ...]:
    return cast("tuple[Array, ...]", held) if isinstance(held, tuple) else (held,)


def _held(arrays: Sequence[Array]) -> Held:
    """As protocols take it: an array, or a tuple of none or several."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


class OpTracer:
    """One op at one party, on what the party holds."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer, self.ring, self.family = tracer, tracer.ring, tracer.family
        self.me = Party(tracer.index, tracer.ring, tracer.form)

    def run(self, op: Op, held: list[Held]) -> list[Held]:
        types = [v.type for v in op.inputs]
        if op.name in self.family.protocols and not self._public_operand(op, types):
            with words_for_errors(op.name):
                out = self.family.protocols[op.name].run(self.family.view(self.me), held, types, op.attrs)
        elif ops.has(op.name, LINEAR):
            out = self.linear(op, held, types)
        else:
            out = getattr(self, f"op_{op.name}")(op, held, types)
        several = isinstance(out, list) or len(op.outputs) > 1
        return list(cast("Sequence[Held]", out)) if several else [out]

    @staticmethod
    def _public_operand(op: Op, types: list[Type]) -> bool:
        return op.name == "and" and not all(t.secret for t in types)

    # --- linear ops

    def linear(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        first_index = len(ops.OPS[op.name].data(held))
        index = [lax.bitcast_convert_type(h, self.ring.signed_dtype) for h in held[first_index:]]
        held, types = held[:first_index], types[:first_index]
        form = op.output.type.form
        lifted = [self.lift(h, t, form) for h, t in zip(held, types, strict=True)]

        def apply(*arrays: Array) -> Array:
            return ops.apply(op.name, op.attrs, *arrays, *index)

        if op.output.type.packed:
            return self.on_bits(apply, lifted, types)
        if form == PLAIN:
            return apply(*lifted)
        return _held([apply(*summands) for summands in zip(*map(_summands, lifted), strict=True)])

    def on_bits(self, apply: Callable[..., Array], held: list[Held], types: list[Type]) -> Held:
        """Structural ops look at elements, not words."""

        def words(*packed: Array) -> Array:
            return bits.pack(apply(*(bits.unpack(h, t.shape, np.uint8) for h, t in zip(packed, types, strict=True))))

        return _held([words(*summands) for summands in zip(*map(_summands, held), strict=True)])

    def lift(self, held: Held, t: Type, form: str) -> Held:
        """A public value in a secret form."""
        if t.form == form:
            return held
        if t.form != PLAIN:
            raise AssertionError(f"no way from {t.form} to {form}")
        word = bits.pack(held) if form == BITS else held
        zeros = lax.full(word.shape, word.dtype.type(0), word.dtype)
        how = self.family.forms[form]
        return _held([word if n == how.public else zeros for n in how.holds[self.tracer.index]])

    def each(self, function: Callable[[Array], Array], held: Held) -> Held:
        return _held([function(h) for h in _summands(held)])

    # --- ops that are neither linear nor a protocol

    def op_const(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        t = op.output.type
        return lax.full(t.shape, self.ring.const(op.attrs["value"]), self.ring.dtype)

    def op_share(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        shared = types[0].secret or types[0].visibility == LOCAL  # an owner's value arrives shared
        return held[0] if shared else self.lift(held[0], types[0], op.output.type.form)

    def op_bound(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        return held[0]

    op_as_int = op_bound
    op_move_point = op_bound

    def op_verify(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        return self.me.verify(held[0])

    def op_scale_up(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        return self.each(lambda x: self.ring.shift_left(x, op.attrs["bits"]), held[0])

    def _by_public(self, held: list[Held], types: list[Type], times: Callable[[Array, Array], Array]) -> Held:
        """A product in which at most one operand is secret: that operand's components one by one."""
        x, y = held
        if types[0].secret:
            return self.each(lambda part: times(part, y), x)
        return self.each(lambda part: times(x, part), y)

    def op_mul(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        return self._by_public(held, types, lax.mul)

    def op_dot(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        wide = [t.width if not t.secret and t.width < self.ring.k else None for t in types]
        return self._by_public(
            held,
            types,
            lambda x, y: product.dot_general(
                x, y, op.attrs["dims"], k=self.ring.k, form=self.tracer.form, x_bits=wide[0], y_bits=wide[1]
            ),
        )

    def op_conv(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        params = conv_params(op.attrs)
        return self._by_public(
            held,
            types,
            lambda x, y: product.conv_general_dilated(x, y, k=self.ring.k, form=self.tracer.form, **params),
        )

    def op_not(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        if not types[0].secret:
            return lax.bitwise_xor(held[0], self.ring.full(held[0], 1))
        how = self.family.forms[types[0].form]
        mine = zip(how.holds[self.tracer.index], _summands(held[0]), strict=True)
        return _held([lax.bitwise_not(h) if n == how.public else h for n, h in mine])

    def op_xor(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        form = op.output.type.form
        x, y = (self.lift(h, t, form) for h, t in zip(held, types, strict=True))
        return _held([lax.bitwise_xor(a, b) for a, b in zip(_summands(x), _summands(y), strict=True)])

    def op_and(self, op: Op, held: list[Held], types: list[Type]) -> Held:
        secret = [t.secret for t in types]
        if not any(secret):
            return lax.bitwise_and(*held)
        n = secret.index(True)
        word = bits.pack(held[1 - n])
        return self.each(lambda part: lax.bitwise_and(part, word), held[n])

    def op_loop(self, op: Op, held: list[Held], types: list[Type]) -> list[Held]:
        body: Block = op.attrs["body"]
        consts, carry = op.attrs["consts"], op.attrs["carry"]
        flat = [flatten([h]) for h in held]
        stacked = [self._unstack(h, t) for h, t in zip(flat[consts + carry :], types[consts + carry :], strict=True)]
        groups = [*flat[: consts + carry], *stacked]
        counts = [sum(map(len, groups[:consts])), sum(map(len, groups[consts : consts + carry]))]
        inner = self.tracer.scope(body, None)
        specs = [self.tracer.specs(v.type) for v in op.outputs]
        inner_specs = [self.tracer.specs(v.type) for v in body.results]
        out = [s for group in inner_specs[:carry] for s in group]
        out += [((op.attrs["trip"], *shape), dtype) for group in inner_specs[carry:] for shape, dtype in group]
        results = _typed.bind(
            loop_p,
            *(self.me.staged(a) for group in groups for a in group),
            name=self.me.op,
            body=inner,
            trip=op.attrs["trip"],
            consts=counts[0],
            carry=counts[1],
            reverse=op.attrs.get("reverse", False),
            out=tuple(out),
        )
        unflat = unflatten(results, specs)
        return unflat[:carry] + [
            self._restack(h, v.type) for h, v in zip(unflat[carry:], op.outputs[carry:], strict=True)
        ]

    def _unstack(self, arrays: list[Array], t: Type) -> list[Array]:
        """Packed bits are packed anew, one row of words a slice."""
        if t.form != BITS:
            return arrays
        return [_rows(bits.unpack(a, t.shape, np.uint8)) for a in arrays]

    def _restack(self, held: Held, t: Type) -> Held:
        if t.form != BITS:
            return held
        size = t.size // t.shape[0]
        return self.each(lambda a: bits.pack(_elements(a, size)), held)

    # --- results

    def results(self, held: list[Held], types: Sequence[Type], revealed: Sequence[int] | None) -> list[Array]:
        leaving = revealed or [0] * len(held)
        out = [
            self._blinded(h, t, count) if count else self._reduced(h, t)
            for h, t, count in zip(held, types, leaving, strict=True)
        ]
        return [self.me.staged(a) for a in flatten(out)]

    def _reduced(self, held: Held, t: Type) -> Held:
        return held if t.packed or t.form == PLACES else self.each(self.ring.reduce, held)

    def _blinded(self, held: Held, t: Type, revealed: int) -> Held:
        """What this party sends to a receiver, of which it sees the low bits that count."""
        if not t.secret:
            return held
        sent = self.family.reveal(self.family.view(self.me), held, t)
        if t.packed:
            return _held(sent)
        if revealed == self.ring.k or t.kind != INT:
            return _held([self.ring.reduce(x) for x in sent])
        return _held([lax.bitwise_and(x, self.ring.full(x, (1 << revealed) - 1)) for x in sent])


def _rows(elements: Array) -> Array:
    """(trip, ...) elements 0 or 1 -> (trip, W) packed words."""
    trip, size = elements.shape[0], int(np.prod(elements.shape[1:], dtype=np.int64))
    width = bits.words(size)
    flat = lax.convert_element_type(lax.reshape(elements, (trip, size)), bits.WORD)
    flat = lax.pad(flat, bits.WORD.type(0), [(0, 0, 0), (0, bits.LANES * width - size, 0)])
    return reduction.joined(lax.reshape(flat, (trip, bits.LANES, width)), 1)


def _elements(rows: Array, size: int) -> Array:
    """(trip, W) packed words -> (trip, size) elements 0 or 1."""
    trip, width = rows.shape
    shape = (trip, bits.LANES, width)
    lanes = _typed.broadcasted_iota(bits.WORD, shape, 1)
    spread = _typed.broadcast_in_dim(rows, shape, (0, 2))
    one = lax.full(shape, bits.WORD.type(1), bits.WORD)
    flat = lax.reshape(lax.bitwise_and(lax.shift_right_logical(spread, lanes), one), (trip, bits.LANES * width))
    return lax.slice_in_dim(flat, 0, size, axis=1)
