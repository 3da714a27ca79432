"""Three-party replicated secret sharing, semi-honest, honest majority (ABY3 style).

The parties stand in a ring; party i holds (x_i, x_{i+1}). `protocols/` has one file a subject, `lowering/` picks among
them.
"""

from __future__ import annotations

from jmpc.families.family import Family, Form
from jmpc.families.replicated3.neighbours import PARTIES, Me
from jmpc.families.replicated3.protocols import PROTOCOLS
from jmpc.families.replicated3.reveal import reveal
from jmpc.ir.program import Program
from jmpc.ir.types import ARITH, BITS, MASK, PLACES, SPLIT, SUM3, Type
from jmpc.ring.element import Ring
from jmpc.ring.positions import positions


def _of_places(t: Type, ring: Ring) -> Ring:
    """Places are shared in as many bits as tell them apart."""
    return Ring(min(8 * positions(t.shape[-1]).itemsize, ring.k))


REPLICATED = ((0, 1), (1, 2), (2, 0))
PAIR = Form(REPLICATED, public=1)
FORMS = {
    ARITH: PAIR,
    BITS: PAIR,
    MASK: PAIR,
    PLACES: Form(REPLICATED, 1, _of_places),
    SUM3: Form(((0,), (1,), (2,))),
    SPLIT: Form(((0,), (0,), (1,))),
}


def _lower(program: Program) -> Program:
    from jmpc.families.replicated3.lowering import lower  # a party process has no use for it

    return lower(program)


ABY3 = Family(
    name="aby3",
    parties=PARTIES,
    forms=FORMS,
    protocols=PROTOCOLS,
    view=Me,
    reveal=reveal,
    sent=(1, 1, 1),
    lower=_lower,
)
