"""Who may know a result, and how it is held, where that follows from the operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jmpc.ir.types import ARITH, BITS, LOCAL, PLAIN, PUBLIC, SECRET, SPLIT, SUM3, Type


def held(types: Sequence[Type]) -> dict[str, Any]:
    """Visibility and form of a result that is linear in `types`."""
    if not any(t.visibility == SECRET for t in types):
        owners = {t.owner for t in types if t.visibility == LOCAL}
        return {"visibility": LOCAL if owners else PUBLIC, "owner": next(iter(owners), ""), "form": PLAIN}
    forms = {t.form for t in types if t.secret}
    form = next((f for f in (SUM3, SPLIT, BITS) if f in forms), ARITH)
    return {"visibility": SECRET, "owner": "", "form": form}
