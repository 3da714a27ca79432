"""A tiny family: parties 0 and 1 hold two summands, party 2 deals what products need (Beaver) and holds nothing.

Semi-honest: none of the three learns a secret as long as no two of them put together what they know. It knows sums,
products, matrix products, truncation, and how to open: enough for linear models, and for showing what a family is made
of. A process knows it that has imported this module.
"""

from __future__ import annotations

from jmpc import families
from jmpc.families.family import Family, Form
from jmpc.ir.types import ARITH
from tests.families.dealer2.lowering import lower
from tests.families.dealer2.protocols import PROTOCOLS, reveal

DEALER2 = Family(
    name="dealer2",
    parties=3,
    forms={ARITH: Form(((0,), (1,), ()))},
    protocols=PROTOCOLS,
    view=lambda party: party,
    reveal=reveal,
    sent=(1, 1, 0),
    lower=lower,
)
families.register(DEALER2)
