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
from jmpc.extend.operation import Attrs, Operation, Shape, told_of
from jmpc.families.family import FAMILIES
from jmpc.families.protocol import CostRule, Run, Table
from jmpc.ir.ops.record import BOUNDED, COMMON, DRAWS, OPENS, OPS, SHARE, Origin
from jmpc.ir.tokens import is_word
from jmpc.ir.types import ARITH, BITS

NOTHING = MappingProxyType[str, Any]({})
DECLARED: dict[str, Operation] = {}


def protocol(
    *,
    takes: Sequence[Takes],
    gives: Sequence[Gives],
    source: str,
    plain: Callable[..., Any] | None = None,
    reference: Callable[..., Any] | None = None,
    attrs: Mapping[str, Range | Choice] = NOTHING,
    cost: CostRule | None = None,
    error: int = 0,
    shape: Callable[[Sequence[Shape], Attrs], Shape] | None = None,
    at: Callable[[Shape, Attrs], Sequence[Shape]] | None = None,
    opens: str = "",
    name: str = "",
    family: str = families.ABY3.name,
) -> Callable[[Run], Operation]:
    """Declare `function(me, held operands, their types, attrs)` as the protocol of a new op, of that name by default.

    takes, gives: operands and results (`real`, `integer`, `number`, `bit`), each with its range; a random result is a
    `Uniform` one.  attrs: each `between` two integers, or `one_of` some values.  source: the paper and section, or what
    it is made of.  All else is as in `Operation`. Raises ConfigError where the name is taken, the family is not known,
    or something is missing.
    """

    def declare(run: Run) -> Operation:
        made = Operation(
            name or getattr(run, "__name__", ""), family, tuple(takes), tuple(gives), dict(attrs), run, plain,
            reference, cost, error, shape, at, source, opens, _origin(run), _where(run), run.__doc__,
        )  # fmt: skip
        _check(made)
        _enter(made)
        return made

    return declare


def _check(made: Operation) -> None:
    """Raises ConfigError."""
    random = [isinstance(g, Uniform) for g in made.gives]
    known = ", ".join(sorted(FAMILIES))
    _need(is_word(made.name), made, f"{made.name!r} is no name for an op", "use letters, digits and _: name=")
    _need(made.family in FAMILIES, made, f"there is no family {made.family!r}", f"use one of {known}")
    _need(bool(made.takes), made, "it takes nothing", "draw with jmpc.random, or take what says the shape")
    _need(bool(made.gives), made, "it gives nothing", "say what its results are: gives=[bit()]")
    forms = {told_of(g).form for g in made.gives} - {ARITH, BITS}
    _need(not forms, made, f"a result is of form {', '.join(forms)}", "give it whole: reshare it in the protocol")
    _need(bool(made.source.strip()), made, "nothing says where it comes from", "name the paper and section: source=")
    _need(all(random) or made.reference is not None, made, "it has no reference", "say what it computes: reference=")
    leaves_out = "leave plain= out; a secure function draws with jmpc.random"
    _need(made.plain is None or not any(random), made, "a uniform result has no plain meaning", leaves_out)
    _need((made.shape is None) == (made.at is None), made, "shape= and at= go together", "give both, or neither")


def _need(holds: bool, made: Operation, what: str, todo: str) -> None:
    if not holds:
        raise ConfigError(f"the op {made.name or '?'}: {what}", where=made.where, todo=todo)


def _enter(made: Operation) -> None:
    """Into the table of ops and that of the family, in place of an earlier version of itself."""
    table = FAMILIES[made.family].protocols
    assert isinstance(table, Table)
    known, earlier = OPS.get(made.name), DECLARED.get(made.name)
    where = f"in the module {known.origin.module!r}" if known and known.origin else "of jmpc itself"
    again = earlier is not None and _same(earlier, made)
    _need(known is None or again, made, f"there is an op of that name, {where}", "choose another: name=")
    if known is not None:
        del OPS[made.name], table[made.name]
    DECLARED[made.name] = made
    table.protocol(
        made.name,
        source=made.source,
        opens=made.opens,
        gives=made.infer,
        takes=tuple(t.operand for t in made.takes),
        attrs={name: attribute(of) for name, of in made.attrs.items()},
        means=made.means,
        traits=_traits(made),
        levels=SHARE if made.plain is None else COMMON,
        origin=made.origin,
    )(made.run)


def _same(earlier: Operation, made: Operation) -> bool:
    """Whether a declaration is run again: a cell of a notebook, a module that is reloaded."""
    names = [(o.origin.module, getattr(o.run, "__qualname__", ""), o.family) for o in (earlier, made)]
    return names[0] == names[1]


def _traits(made: Operation) -> list[str]:
    random, ranged = (any(isinstance(g, Uniform) for g in made.gives), any(t.within is not None for t in made.takes))
    return [OPENS] * bool(made.opens) + [DRAWS] * random + [BOUNDED] * ranged


def _where(run: Callable[..., Any]) -> str:
    code = getattr(run, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno} ({run.__name__})" if code else getattr(run, "__module__", "")


def _origin(run: Callable[..., Any]) -> Origin:
    return Origin(getattr(run, "__module__", "") or "", _digest(run))


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
