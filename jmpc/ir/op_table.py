"""The tables of ops by stage, and what the infer rules of several families share.

What goes in: nothing. What comes out: `COMMON`, `VALUE` and `SHARE`, which `ops_*.py` fill and `ops.py` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jmpc.config import Config
from jmpc.ir.types import ARITH, BITS, LOCAL, PLAIN, PUBLIC, SECRET, SPLIT, SUM3, Type

Attrs = Mapping[str, Any]
Infer = Callable[[Sequence[Type], Attrs, Config], tuple[Type, ...]]

COMMON: dict[str, Infer] = {}
VALUE: dict[str, Infer] = {}
SHARE: dict[str, Infer] = {}


def rule(table: dict[str, Infer], *names: str) -> Callable[[Infer], Infer]:
    def register(function: Infer) -> Infer:
        for name in names:
            if name in COMMON or name in VALUE or name in SHARE:
                raise ValueError(f"op {name} is registered twice")
            table[name] = function
        return function

    return register


def held(types: Sequence[Type]) -> dict[str, Any]:
    """Visibility and form of a result that is linear in `types`."""
    if not any(t.visibility == SECRET for t in types):
        owners = {t.owner for t in types if t.visibility == LOCAL}
        return {"visibility": LOCAL if owners else PUBLIC, "owner": next(iter(owners), ""), "form": PLAIN}
    forms = {t.form for t in types if t.secret}
    form = next((f for f in (SUM3, SPLIT, BITS) if f in forms), ARITH)
    return {"visibility": SECRET, "owner": "", "form": form}
