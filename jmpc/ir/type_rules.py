"""The rules on types by themselves, and on the inputs and outputs of a program.

What goes in: a type, or a program and its stage. What comes out: a line about what is wrong, or "". Not here: the
rules on ops (`rules.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from jmpc.config import Config
from jmpc.ir.ops.attributes import MAX_SIZE
from jmpc.ir.program import Program
from jmpc.ir.text import print_type
from jmpc.ir.types import (
    ARITH,
    BITS,
    BOOL,
    FIXED,
    FORMS,
    INT,
    KINDS,
    LOCAL,
    MASK,
    OPENED_BY,
    ORIGINS,
    PLACES,
    PLAIN,
    PUBLIC,
    SECRET,
    SPLIT,
    SUM3,
    VISIBILITIES,
    Type,
)
from jmpc.roles import Role

_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DTYPES = ("bool", "float16", "bfloat16", "float32", "float64", *_INTEGERS)
BY_ROLE: dict[str, str] = {Role.PUBLIC: PUBLIC, Role.SECRET: SECRET}  # an input's visibility; a name's is local
MOST_PLACES = (1 << 31) - 1  # elements are moved by indices of 32 bits


def type_fault(t: Type, stage: str) -> str:
    """Why no value can have the type `t`, or ""."""
    words = ((t.kind, KINDS), (t.visibility, VISIBILITIES), (t.form, FORMS), (t.origin, ORIGINS))
    if any(word not in allowed for word, allowed in words):
        return f"a type says {next(word for word, allowed in words if word not in allowed)!r}"
    if any(type(number) is not int for number in (*t.shape, t.scale, t.limit)):
        return "a size, a scale or a limit is not an integer"
    if any(not 0 <= size <= MAX_SIZE for size in t.shape) or t.size > MAX_SIZE:
        return f"a shape has a size below 0, or more than {MAX_SIZE} elements"
    if bool(t.owner) != (t.visibility == LOCAL):
        return f"a {t.visibility} value has {'an' if t.owner else 'no'} owner"
    if t.form not in _forms(t, stage):
        return f"a {t.visibility} {t.kind} value has form {t.form} at the {stage} level"
    if t.form == PLACES and not (t.shape and t.size <= MOST_PLACES):
        return f"places stand in rows, of {MOST_PLACES} elements in all at most, not in an array of shape {t.shape}"
    return ""


def _forms(t: Type, stage: str) -> tuple[str, ...]:
    """Those that a value of its kind and visibility may have."""
    if not t.secret:
        return (PLAIN,)
    forms = (BITS,) if t.kind == BOOL else (ARITH,)
    if stage == "share":
        forms += (MASK,) if t.kind == BOOL else (SUM3, SPLIT)
    if t.kind == INT:
        forms += (PLACES, MASK) if stage == "share" else (PLACES,)
    return forms


def scale_fault(t: Type, config: Config) -> str:
    most = config.k - 2 if t.kind == FIXED else 0
    return "" if 0 <= t.scale <= most else f"a {t.kind} value has {t.scale} fraction bits; {most} is the most"


def bound_fault(t: Type, config: Config) -> str:
    most = 1 << (config.k - 1) if t.kind == INT else (1 << (config.k - 2)) - 1
    if t.limit < 0 or (t.visibility != PUBLIC and t.limit > most):
        return f"a {t.visibility} {t.kind} value has a limit outside 0 to {most}"
    return ""


def _inputs(program: Program, stage: str) -> str:
    """Each parameter is public (no owner), shared already (owner `Role.SECRET`), or local to its owner."""
    if len(program.inputs) != len(program.body.params):
        return f"{len(program.inputs)} inputs for {len(program.body.params)} parameters"
    for entry, value in zip(program.inputs, program.body.params, strict=True):
        t = value.type
        wanted = BY_ROLE.get(entry.owner, LOCAL)
        if t.visibility != wanted or t.owner != (entry.owner if wanted == LOCAL else ""):
            return f"input {entry.path!r} of owner {entry.owner!r} is {print_type(t)}"
        fault = type_fault(t, stage) or scale_fault(t, program.config) or bound_fault(t, program.config)
        if fault or t.form in (SUM3, SPLIT, *OPENED_BY):
            return f"input {entry.path!r}: {fault or f'nobody holds form {t.form} before the program runs'}"
    return ""


def _inputs_once(program: Program, stage: str) -> str:
    """A value is defined once."""
    params = program.body.params
    return "an input is defined a second time" if len(set(params)) < len(params) else ""


def _outputs(program: Program, stage: str) -> str:
    """Each result is secret or public, whole, and has a receiver and a dtype."""
    if len(program.outputs) != len(program.body.results):
        return f"{len(program.outputs)} outputs for {len(program.body.results)} results"
    for entry, value in zip(program.outputs, program.body.results, strict=True):
        unfit = (SPLIT,) if entry.receiver != Role.SECRET else (SUM3, SPLIT)  # a receiver adds up one summand a party
        if value.type.visibility == LOCAL or value.type.form in (*unfit, *OPENED_BY):
            return f"output {entry.path!r} is {print_type(value.type)}"
        if not entry.receiver or entry.dtype not in DTYPES:
            return f"output {entry.path!r} has no receiver, or the dtype {entry.dtype!r}"
    return ""


PROGRAM_RULES: dict[str, Callable[[Program, str], str]] = {
    "inputs": _inputs,
    "once": _inputs_once,
    "outputs": _outputs,
}
