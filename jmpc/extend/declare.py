"""Declaring an op of your own: its record, and its protocol in the table of a family.

What goes in: a protocol, and what is said of it. What comes out: an `Operation`; from then on the parser, the verifier,
the interpreter, the lowering, party programs and the checks know the op, since they go by records and tables.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import Any

from jmpc import families
from jmpc.errors import ConfigError
from jmpc.extend.operands import Choice, Gives, Range, Takes, Uniform, attribute
from jmpc.extend.operation import Attrs, Operation, Shape
from jmpc.families.family import FAMILIES
from jmpc.families.protocol import Cost, CostRule, Run, Table
from jmpc.ir.ops.record import COMMON, DRAWS, OPENS, OPS, SHARE, Origin
from jmpc.ir.tokens import is_word

NOWHERE = MappingProxyType[str, Any]({})


def protocol(
    *,
    takes: Sequence[Takes],
    gives: Sequence[Gives],
    source: str,
    plain: Callable[..., Any] | None = None,
    reference: Callable[..., Any] | None = None,
    attrs: Mapping[str, Range | Choice] = NOWHERE,
    cost: CostRule | None = None,
    error: int = 0,
    shape: Callable[[Sequence[Shape], Attrs], Shape] | None = None,
    at: Callable[[Shape, Attrs], Sequence[Shape]] | None = None,
    opens: str = "",
    name: str = "",
    family: str = families.ABY3.name,
) -> Callable[[Run], Operation]:
    """Declare `function(me, held operands, their types, attrs)` as the protocol of a new op.

    takes, gives: its operands and results (`real`, `integer`, `number`, `bit`), with the range that each keeps; a
    result that is random is a `Uniform` one.  attrs: its attributes, each `between` two integers or `one_of` some values.
    plain: what it computes, in JAX: of (*arrays, **attrs). Without it, it is an op of shares alone, for lowerings and
        other protocols.
    reference: what its results are in units of 2^-scale, integers or bools, in NumPy: of (ring, *values, **attrs).
    error: how many units a result may be off.  cost: the rounds, and the bytes of each party, that the protocol is said
        to take: of (types, attrs, config); the checks compare it with what they count.
    shape: of the results: of (shapes of the operands, attrs). Without it, the op is elementwise.
    at: of an op that is not elementwise, shapes of operands for the checks: of (any shape, attrs). For exact
        enumeration, each element of that shape must be a use of the op by itself.
    opens: what it shows all parties that no mask hides, and why that says nothing.
    source: the paper and section, or what it is made of.  name: that of the function, by default.

    Raises ConfigError where the name is taken, the family is not known, or something is missing.
    """

    def declare(run: Run) -> Operation:
        called = name or getattr(run, "__name__", "")
        where = _where(run)
        random = all(isinstance(g, Uniform) for g in gives)
        made = Operation(
            called, family, tuple(takes), tuple(gives), dict(attrs), run, plain, reference, cost, error, shape, at,
            source, opens, Origin(getattr(run, "__module__", "") or "", _digest(run)), where, run.__doc__,
        )  # fmt: skip
        _need(is_word(called), made, f"{called!r} is no name for an op", "use letters, digits and _")
        _need(family in FAMILIES, made, f"there is no family {family!r}", f"one of {', '.join(sorted(FAMILIES))}")
        _need(bool(gives), made, "it gives nothing", "say what its results are: gives=[bit()]")
        _need(bool(source.strip()), made, "nothing says where it comes from", "name the paper and section: source=")
        _need(random or reference is not None, made, "it has no reference", "say what it computes: reference=")
        _need(plain is None or not any(isinstance(g, Uniform) for g in gives), made,
              "a uniform result has no plain meaning", "leave plain= out, or draw with jmpc.random")  # fmt: skip
        _need(shape is None or at is not None, made, "no shapes say how to check it", "add at=, shapes of its operands")
        _enter(made)
        return made

    return declare


def _need(holds: bool, made: Operation, what: str, todo: str) -> None:
    if not holds:
        raise ConfigError(f"the op {made.name or '?'}: {what}", where=made.where, todo=todo)


def _enter(made: Operation) -> None:
    """Into the table of ops and that of the family, in place of an earlier version of itself."""
    table = FAMILIES[made.family].protocols
    assert isinstance(table, Table)
    known = OPS.get(made.name)
    again = known is not None and known.origin is not None and known.origin.module == made.origin.module
    again = again and known is not None and known.family == made.family  # a cell of a notebook, a module reloaded
    where = f"in the module {known.origin.module!r}" if known and known.origin else "of jmpc itself"
    _need(known is None or again, made, f"there is an op of that name, {where}", "choose another: name=")
    if again:
        del OPS[made.name], table[made.name]
    table.protocol(
        made.name,
        source=made.source,
        cost=made.cost or _not_stated,
        opens=made.opens,
        gives=made.infer,
        takes=tuple(t.operand for t in made.takes),
        attrs={name: attribute(of) for name, of in made.attrs.items()},
        means=made.means,
        traits=[*([OPENS] if made.opens else []), *([DRAWS] if any(isinstance(g, Uniform) for g in made.gives) else [])],
        levels=SHARE if made.plain is None else COMMON,
        origin=made.origin,
    )(made.run)


def _not_stated(types: Any, attrs: Any, config: Any) -> Cost:
    raise LookupError("the op does not say what it costs")


def _where(run: Callable[..., Any]) -> str:
    code = getattr(run, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno} ({run.__name__})" if code else getattr(run, "__module__", "")


def _digest(run: Callable[..., Any]) -> str:
    """Of the file that declares it; where there is none (a notebook), of the function's own code."""
    code = getattr(run, "__code__", None)
    path = Path(inspect.getsourcefile(run) or "") if code else Path()
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256("\n".join(_lines(code)).encode()).hexdigest()


def _lines(code: CodeType | None) -> list[str]:
    if code is None:
        return []
    consts = [line for c in code.co_consts for line in (_lines(c) if isinstance(c, CodeType) else [repr(c)])]
    return [code.co_code.hex(), *consts, *code.co_names, *code.co_varnames]
