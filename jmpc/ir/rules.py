"""The rules that an op keeps, one small function each: it returns the fault, or "".

What goes in: an op where it stands. What comes out: a line about what is wrong. The docstring of a rule is what the
user reads under "why". Here: where values come from, attributes, forms, secrecy, openings. Not here: a type by itself,
inputs and outputs (`type_rules.py`), the walk (`spec.py`), what each op takes (`signatures.py`), the type of its
result (`ops.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jmpc.config import Config
from jmpc.ir import ops
from jmpc.ir.ops.record import DABIT, LINEAR, PRODUCT, SAME_SHAPES, SOME_BITS, UNSIGNED, VALUE, Record
from jmpc.ir.ops.record import LOCAL as MAY_BE_LOCAL
from jmpc.ir.program import Block, Op, Value, regions
from jmpc.ir.text import print_type
from jmpc.ir.type_rules import bound_fault, scale_fault, type_fault
from jmpc.ir.types import (
    BOOL,
    LOCAL,
    OPENED_BY,
    Type,
)


@dataclass(frozen=True)
class Scope:
    """What is known while a program is walked. home: the block of each value.  seen: the values defined so far.
    dabits: the number of each dabit by its bit.  masked: the one bit that a dabit masks."""

    stage: str
    config: Config
    home: dict[Value, Block]
    seen: set[Value] = field(default_factory=set[Value])
    dabits: dict[Value, Value] = field(default_factory=dict[Value, Value])
    masked: dict[Value, Value] = field(default_factory=dict[Value, Value])

    def define(self, op: Op) -> None:
        self.seen.update(op.outputs)
        if op.name == "dabit":
            self.dabits[op.outputs[0]] = op.outputs[1]


@dataclass(frozen=True)
class Site:
    """One op where it stands."""

    op: Op
    block: Block
    scope: Scope

    @property
    def types(self) -> list[Type]:
        return [value.type for value in self.op.inputs]

    @property
    def config(self) -> Config:
        return self.scope.config

    @property
    def record(self) -> Record:
        return ops.OPS[self.op.name]

    def has(self, trait: str) -> bool:
        return trait in self.record.traits

    def data(self) -> list[Type]:
        """The types of the operands, without indices."""
        return list(self.record.data(self.types))

    def defines(self) -> list[Value]:
        """The results, and the parameters of the regions."""
        return [*self.op.outputs, *(value for _, region in regions(self.op) for value in region.params)]


# --- where a value comes from


def _known_op(site: Site) -> str:
    """The op is one of its stage."""
    known = ops.of_level(site.scope.stage, site.config.protocol)
    return "" if site.op.name in known else f"no op {site.op.name!r} at the {site.scope.stage} level"


def _arity(site: Site) -> str:
    """The op has the operands that it takes."""
    record, count = site.record, len(site.op.inputs)
    least = len(record.operands)
    if count < least or (record.more is None and count > least):
        return f"{site.op.name} takes {least} operands{' or more' if record.more else ''}, got {count}"
    return ""


def _defined(site: Site) -> str:
    """A value is defined before it is used."""
    return _undefined(site.op.inputs, site.block, site.scope)


def _undefined(values: tuple[Value, ...], block: Block, scope: Scope) -> str:
    for position, value in enumerate(values):
        if scope.home.get(value, block) is block and value not in scope.seen:
            return f"operand {position} is used before it is defined"
    return ""


def _in_scope(site: Site) -> str:
    """A value is used in the block that defines it, nowhere else; a region sees its own parameters."""
    return _foreign(site.op.inputs, site.block, site.scope)


def _foreign(values: tuple[Value, ...], block: Block, scope: Scope) -> str:
    for position, value in enumerate(values):
        if scope.home.get(value, block) is not block:
            return f"operand {position} belongs to another block"
    return ""


def _once(site: Site) -> str:
    """A value is defined once."""
    values = site.defines()
    again = len(set(values)) < len(values) or any(value in site.scope.seen for value in values)
    return "a result or a parameter is defined a second time" if again else ""


# --- attributes and types


def _attributes(site: Site) -> str:
    """The op has its attributes and no others, and each is in its range."""
    wanted = site.record.attrs
    known = {key.rstrip("?"): attribute for key, attribute in wanted.items()}
    for key in wanted:
        if not key.endswith("?") and key not in site.op.attrs:
            return f"attribute {key} is missing"
    for key, value in site.op.attrs.items():
        if key not in known:
            return f"{site.op.name} has no attribute {key!r}"
        if not known[key].holds(value, site.types, site.config):
            return f"{key} must be {known[key].wanted}"
    return ""


def _types(site: Site) -> str:
    """Kind, visibility, owner and form of a value go together."""
    return next((fault for value in site.defines() if (fault := type_fault(value.type, site.scope.stage))), "")


def _scales(site: Site) -> str:
    """A fixed-point value has 0 to k - 2 fraction bits, any other value none."""
    return next((fault for value in site.defines() if (fault := scale_fault(value.type, site.config))), "")


def _bounds(site: Site) -> str:
    """The limit of a value that is not public is at least 0 and below 2^(k-2), of an integer at most 2^(k-1)."""
    return next((fault for value in site.defines() if (fault := bound_fault(value.type, site.config))), "")


def _inferred(site: Site) -> str:
    """The types of the results are those that ops.infer gives."""
    try:
        wanted = ops.infer(site.op.name, site.types, site.op.attrs, site.config, site.op.loc)
    except Exception as fault:  # JAX's shape rules raise TypeError, ValueError and others for a bad attribute
        return f"no type fits: {str(fault).splitlines()[0] if str(fault) else type(fault).__name__}"
    found = tuple(value.type for value in site.op.outputs)
    if found == wanted:
        return ""
    return f"the results are {_listed(found)}; they should be {_listed(wanted)}"


def _listed(types: tuple[Type, ...]) -> str:
    return ", ".join(print_type(t) for t in types)


# --- what an op takes


def _kinds(site: Site) -> str:
    """Each operand has a kind that the op takes."""
    for position, t in enumerate(site.types):
        wanted = site.record.operand(position)
        if wanted and t.kind not in wanted.kinds:
            return f"{site.op.name} takes {' or '.join(wanted.kinds)} as operand {position}, got {t.kind}"
    return ""


def _forms(site: Site) -> str:
    """Each operand has a form that the op takes, and the secret operands of a linear op have the same form."""
    for position, t in enumerate(site.types):
        wanted = site.record.operand(position)
        if wanted and t.form not in wanted.forms and not (site.scope.stage == VALUE and wanted.stands_for(t.form)):
            return f"{site.op.name} takes {' or '.join(wanted.forms)} as operand {position}, got {t.form}"
    forms = sorted({t.form for t in site.data() if t.secret})
    if site.has(LINEAR) and len(forms) > 1:
        return f"{site.op.name} has operands of the forms {' and '.join(forms)}"
    return ""


def _index(site: Site) -> str:
    """No secret is an index: which elements are read would be seen."""
    indices = site.types[len(site.data()) :]
    return f"{site.op.name} has a secret index" if any(t.secret for t in indices) else ""


def _local(site: Site) -> str:
    """An owner's values stay with that owner, and meet no secret, until `share`."""
    owners = {t.owner for t in site.types if t.visibility == LOCAL}
    if not owners:
        return ""
    if not site.has(MAY_BE_LOCAL):
        return f"{site.op.name} of a local value; share it first"
    if len(owners) > 1:
        return f"{site.op.name} of values of {len(owners)} owners; share them first"
    return f"{site.op.name} of a local and a secret value" if any(t.secret for t in site.types) else ""


def _product(site: Site) -> str:
    """At the share level a product of two secrets is one of the *_sum3 ops."""
    both = site.has(PRODUCT) and all(t.secret for t in site.types)
    return f"{site.op.name} of two secrets; use {site.op.name}_sum3" if both and site.scope.stage == "share" else ""


def _logic(site: Site) -> str:
    """At the share level secret bits know `and`, `xor` and `not` alone."""
    secret = site.op.name == "or" and any(t.secret for t in site.types)
    return "or of secret bits; use and, xor and not" if secret and site.scope.stage == "share" else ""


def _shapes(site: Site) -> str:
    """The operands of an injection have one shape."""
    shapes = {t.shape for t in site.types}
    return f"{site.op.name} of shapes {sorted(shapes)}" if site.has(SAME_SHAPES) and len(shapes) > 1 else ""


def _width(site: Site) -> str:
    """A comparison looks at all bits of its operands, with those that it drops. An op from outside says by itself which
    operands it takes, where its types are inferred."""
    name, attrs = site.op.name, site.op.attrs
    if site.has(SOME_BITS) or site.record.origin:
        return ""
    seen = attrs.get("widths", [attrs["width"] + attrs.get("drop", 0)] if "width" in attrs else [])
    for bits, t in zip(seen, site.types, strict=False):
        needed = 1 if t.kind == BOOL else min(t.width, site.config.k) - site.has(UNSIGNED)
        if bits < needed:
            return f"{name} looks at {bits} bits of a value of {needed}"
    return ""


def _opening(site: Site) -> str:
    """What an opening rests on, places and dabits, is made and used in one block: it is no parameter and no result."""
    handed = [value for _, region in regions(site.op) for value in (*region.params, *region.results)]
    form = next((value.type.form for value in handed if value.type.form in OPENED_BY), "")
    return f"a block takes or returns a value of form {form}" if form else ""


def _dabit(site: Site) -> str:
    """A dabit masks one bit: its halves go together to dabit ops of that bit; a mask used twice would open b ^ c."""
    if not site.has(DABIT):
        return ""
    bit, mask, number = site.op.inputs[:3]
    if site.scope.dabits.get(mask) is not number:
        return "operands 1 and 2 are not the two halves of one dabit"
    return "the dabit masks another bit already" if site.scope.masked.setdefault(mask, bit) is not bit else ""


def _loop(site: Site) -> str:
    """The body of a loop fits its operands: types equal, or with a weaker limit in the body."""
    if site.op.name != "loop":
        return ""
    body, trip = site.op.attrs["body"], site.op.attrs["trip"]
    fixed = site.op.attrs["consts"] + site.op.attrs["carry"]
    if len(body.params) != len(site.types) or fixed > len(site.types):
        return f"{len(site.types)} operands for {len(body.params)} parameters, of which {fixed} are not slices"
    if len(body.results) < site.op.attrs["carry"]:
        return f"the body returns {len(body.results)} values; the carry alone has {site.op.attrs['carry']}"
    for position, (t, param) in enumerate(zip(site.types, body.params, strict=True)):
        if position >= fixed and t.shape[:1] != (trip,):
            return f"operand {position} is stacked, but not {trip} high"
        sliced = t if position < fixed else t.with_(shape=t.shape[1:])
        if not param.type.contains(sliced):
            return f"operand {position} is {print_type(t)}; its parameter is {print_type(param.type)}"
    return ""


# --- results


def result_fault(block: Block, scope: Scope) -> tuple[str, str]:
    """The rule that the results of a block break, and the fault; both empty if none."""
    faults = {
        "scope": _foreign(block.results, block, scope),
        "defined": _undefined(block.results, block, scope),
    }
    return next(((name, fault) for name, fault in faults.items() if fault), ("", ""))


OP_RULES: dict[str, Callable[[Site], str]] = {
    "op": _known_op,
    "arity": _arity,
    "scope": _in_scope,
    "defined": _defined,
    "once": _once,
    "attributes": _attributes,
    "type": _types,
    "scale": _scales,
    "bound": _bounds,
    "kind": _kinds,
    "index": _index,
    "form": _forms,
    "local": _local,
    "product": _product,
    "logic": _logic,
    "shapes": _shapes,
    "width": _width,
    "opening": _opening,
    "dabit": _dabit,
    "loop": _loop,
    "infer": _inferred,
}
