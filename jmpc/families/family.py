"""What a family of protocols is to everything outside of its folder.

A family says how many parties there are, how they hold a secret value (its forms), what a receiver gets of one, which
protocol carries out each share-level op, and how value-level ops are lowered to these. The rest of jmpc knows parties
by number and speaks of peers; how they are arranged is the family's own affair.

A secret is the sum of summands; a form says which party holds which (`sharing.py` shares and opens by it). Numbers add
mod 2^k, packed bits by exclusive or. A linear op acts on each summand alone, so no protocol is needed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jmpc._types import Array
from jmpc.errors import ProgramError
from jmpc.families.protocol import Entry, Held
from jmpc.ir.program import Program
from jmpc.ir.types import PLAIN, Type
from jmpc.ring import bits
from jmpc.ring.element import Ring

Spec = tuple[tuple[int, ...], np.dtype]


class Party(Protocol):
    """The party whose program is traced (party/exchange.py): what protocols are made of.

    product_form: how ring products are computed on its device.
    """

    index: int
    ring: Ring
    product_form: str

    def mask(self, peer: int, shape: tuple[int, ...], dtype: Any = None) -> Array: ...
    def exchange(self, sends: Mapping[int, Array], receives: Mapping[int, Spec]) -> dict[int, Array]: ...
    def staged(self, array: Array) -> Array: ...
    def verify(self, bits: Array) -> Array: ...


@dataclass(frozen=True)
class Form:
    """holds: by party, the summands that it holds, in order.  public: the summand that is all of a public value in this
    form; the others are zero then.  ring: in which numbers of a type are shared; that of the program by default."""

    holds: tuple[tuple[int, ...], ...]
    public: int = 0
    ring: Callable[[Type, Ring], Ring] = lambda t, ring: ring

    @property
    def summands(self) -> int:
        return 1 + max(n for mine in self.holds for n in mine)


@dataclass(frozen=True, repr=False)
class Family:
    """name: what `Config.protocol` says.

    view: a traced party as the family's protocols want it.
    reveal: (view, what it holds, type) -> the summands that a party sends to a receiver, masked so that with those of
        the others they are worth the value and say nothing more.  sent: by party, how many.
    lower: a value-level program to a share-level one.
    """

    name: str
    parties: int
    forms: Mapping[str, Form]
    protocols: Mapping[str, Entry]
    view: Callable[[Party], Any]
    reveal: Callable[[Any, Held, Type], list[Array]]
    sent: tuple[int, ...]
    lower: Callable[[Program], Program]

    def __repr__(self) -> str:
        return f"<family {self.name}>"

    @property
    def fault(self) -> str:
        """What does not fit together in it, or ""."""
        if not self.name or self.parties < 1:
            return "it has no name, or no party"
        if len(self.sent) != self.parties:
            return f"`sent` is of {len(self.sent)} parties, and it has {self.parties}"
        for name, form in self.forms.items():
            if len(form.holds) != self.parties:
                return f"the form {name} is of {len(form.holds)} parties, and it has {self.parties}"
            held = {n for mine in form.holds for n in mine}
            if held != set(range(len(held))) or form.public not in held:
                return f"the summands of the form {name} are {sorted(held)}, and {form.public} is a public value's"
        return ""

    @property
    def openings(self) -> frozenset[str]:
        """The ops whose protocols show all parties something that no mask hides."""
        return frozenset(op for op, entry in self.protocols.items() if entry.opens)

    def form(self, t: Type) -> Form:
        """How parties hold a value of type `t`: a public one each for itself. Raises ProgramError where they have no
        way to."""
        if t.form != PLAIN and t.form not in self.forms:
            raise ProgramError(
                f"the family {self.name} has no way to hold a secret {t.kind}",
                why=f"it would be of form {t.form}, and the family's forms are {', '.join(self.forms)}",
                todo="use another family: Config.protocol",
            )
        return Form(((0,),) * self.parties) if t.form == PLAIN else self.forms[t.form]

    def specs(self, t: Type, ring: Ring, party: int) -> list[Spec]:
        """Shapes and dtypes of the arrays that a party holds of a value of type `t`."""
        return [self.spec(t, ring)] * len(self.form(t).holds[party])

    def spec(self, t: Type, ring: Ring) -> Spec:
        """Of one summand."""
        return ((bits.words(t.size),), bits.WORD) if t.packed else (t.shape, self.form(t).ring(t, ring).dtype)


FAMILIES: dict[str, Family] = {}
