"""How operands of ops may look: kinds and forms, by name."""

from __future__ import annotations

from jmpc.ir.ops.record import Operand
from jmpc.ir.types import ARITH, BITS, BOOL, FIXED, FORMS, INT, KINDS, MASK, OPENED_BY, PLACES, PLAIN, SPLIT, SUM3

_NUMERIC = (FIXED, INT)
_ALL = tuple(form for form in FORMS if form not in OPENED_BY)
ANY = Operand(KINDS, _ALL)
NUMBER = Operand(_NUMERIC, (PLAIN, ARITH, SUM3, SPLIT))
INDEX = Operand((INT,), _ALL)  # any form here: the rule "index" refuses a secret one, by name
ARITH_NUMBER = Operand(_NUMERIC, (ARITH,))
ARITH_ANY = Operand(KINDS, (ARITH, BITS))
ARITH_FIXED = Operand((FIXED,), (ARITH,))
SUM3_NUMBER = Operand(_NUMERIC, (SUM3,))
SPLIT_FIXED = Operand((FIXED,), (SPLIT,))
SPLIT_NUMBER = Operand(_NUMERIC, (SPLIT,))
SPLIT_INT = Operand((INT,), (SPLIT,))
PLAIN_OR_ARITH = Operand(_NUMERIC, (PLAIN, ARITH))
BIT = Operand((BOOL,), (PLAIN, BITS))
SECRET_BIT = Operand((BOOL,), (BITS,))
ARITH_INT = Operand((INT,), (ARITH,))
PLAIN_BIT = Operand((BOOL,), (PLAIN,))
PLAIN_ANY = Operand(KINDS, (PLAIN,))
SPLIT_OR_BIT = Operand(KINDS, (SPLIT, BITS))
ORDER = Operand((INT,), (PLACES,))
MASK_BIT = Operand((BOOL,), (MASK,))
MASK_INT = Operand((INT,), (MASK,))
