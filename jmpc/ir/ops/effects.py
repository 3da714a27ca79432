"""Ops that matter though nobody reads their results: what stops a run."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.ir.ops.operands import PLAIN_BIT
from jmpc.ir.ops.record import EFFECT, SHARE, Attrs, op
from jmpc.ir.ops.scaling import same
from jmpc.ir.types import Type


@op("verify", SHARE, (PLAIN_BIT,), means=same, traits=(EFFECT,))
def _verify(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The bits as they are, each party's own. Where one of them is zero at a party, every party stops before a result
    leaves or is stored: CheatingDetected."""
    return (types[0],)
