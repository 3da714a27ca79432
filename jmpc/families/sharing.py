"""How values are shared and opened, by the forms of a family: the ends of a program, for users and for privacy checks.

What goes in: elements, a form, and where randomness comes from: users get a stream of their own for each array; the
privacy checks hand in words of theirs, so that what they look at is this very sharing, for thousands of runs at once or
for every word there is. What comes out: what each party holds, or a value again. All of it runs on the host in NumPy,
and traced.

Security: of n summands all but the last are drawn, so that any n - 1 of them are uniform and independent of the value;
no party of a family holds all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeVar, cast

import numpy as np

from jmpc._types import AnyArray, Array
from jmpc.families.family import Form
from jmpc.ir.types import Type
from jmpc.ring import bits
from jmpc.ring.aligned import aligned_array
from jmpc.ring.element import Ring

A = TypeVar("A", bound=AnyArray)  # of the host, or traced
Pieces = list[list[A]]
Draw = Callable[[tuple[int, ...], np.dtype], A]  # uniform words; leading axes, if more, are runs


def share(x: A, t: Type, form: Form, ring: Ring, draw: Draw[A]) -> Pieces[A]:
    """What each party holds of ring elements, or of bools."""
    return share_bits(x, form, draw) if t.packed else share_numbers(x, form, form.ring(t, ring), draw)


def drawn(words: A, t: Type, form: Form, ring: Ring) -> A:
    """A summand other than the last, of the words that `share` would draw for it."""
    return words if t.packed else _reduced(form.ring(t, ring), words)


def share_numbers(elements: A, form: Form, ring: Ring, draw: Draw[A]) -> Pieces[A]:
    """Ring elements to summands that add up to them."""
    drawn = [_reduced(ring, draw(elements.shape, ring.dtype)) for _ in range(form.summands - 1)]
    return _dealt(form, [*drawn, _reduced(ring, _difference(elements, drawn))])


def share_bits(values: A, form: Form, draw: Draw[A]) -> Pieces[A]:
    """Bools to packed bits, shared by exclusive or. Beyond the last bit the words hold shares of zero."""
    packed = bits.pack(values) if isinstance(values, Array) else bits.pack_host(np.asarray(values, bool))
    drawn = [draw(packed.shape, bits.WORD) for _ in range(form.summands - 1)]
    return _dealt(form, [*drawn, reduce(_exclusive_or, drawn, cast(A, packed))])


def opened(summands: Sequence[A], t: Type, ring: Ring) -> A:
    """The value that summands are worth: elements of `ring`, or bools."""
    if not t.packed:
        return _reduced(ring, reduce(_add, summands))
    total = reduce(_exclusive_or, summands)
    found = bits.unpack(total, t.shape, bool) if isinstance(total, Array) else bits.unpack_host(total, t.shape)
    return cast(A, found)


def summands_of(held: Sequence[Sequence[A]], form: Form) -> list[A]:
    """Each summand once, from what all parties hold. Raises ValueError where two copies of one differ."""
    found: dict[int, A] = {}
    for mine, numbers in zip(held, form.holds, strict=True):
        for array, n in zip(mine, numbers, strict=True):
            if not np.array_equal(found.setdefault(n, array), array):
                raise ValueError("two parties hold different copies of a summand")
    return [found[n] for n in range(form.summands)]


def _dealt(form: Form, summands: Sequence[A]) -> Pieces[A]:
    return [[summands[n] for n in mine] for mine in form.holds]


def _difference(x: A, drawn: Sequence[A]) -> A:
    """x minus what was drawn; on the host where XLA:CPU reads it without a copy."""
    if not drawn or isinstance(drawn[0], Array):
        return reduce(_subtract, drawn, x)
    out = aligned_array(drawn[0].shape, drawn[0].dtype)
    np.subtract(x, drawn[0], out=out)
    for part in drawn[1:]:
        np.subtract(out, part, out=out)
    return cast(A, out)


def _reduced(ring: Ring, x: A) -> A:
    """What is not JAX's is the host's: also a scalar, which NumPy gives where there is no axis."""
    return cast(A, ring.reduce(x) if isinstance(x, Array) else ring.reduce_host(x))


def _add(x: Any, y: Any) -> Any:
    return x + y


def _subtract(x: Any, y: Any) -> Any:
    return x - y


def _exclusive_or(x: Any, y: Any) -> Any:
    return x ^ y
