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

import numpy as np

from jmpc._types import Array
from jmpc.families.family import Form
from jmpc.ir.types import Type
from jmpc.ring import bits
from jmpc.ring.aligned import aligned_array
from jmpc.ring.element import Ring

Pieces = list[list[Array]]
Draw = Callable[[tuple[int, ...], np.dtype], Array]  # uniform words; leading axes, if more, are runs


def share(x: Array, t: Type, form: Form, ring: Ring, draw: Draw) -> Pieces:
    """What each party holds of ring elements, or of bools."""
    return share_bits(x, form, draw) if t.packed else share_numbers(x, form, form.ring(t, ring), draw)


def share_numbers(elements: Array, form: Form, ring: Ring, draw: Draw) -> Pieces:
    """Ring elements to summands that add up to them."""
    drawn = [_reduced(ring, draw(elements.shape, ring.dtype)) for _ in range(form.summands - 1)]
    return _dealt(form, [*drawn, _reduced(ring, _difference(elements, drawn))])


def share_bits(values: Array, form: Form, draw: Draw) -> Pieces:
    """Bools to packed bits, shared by exclusive or. Beyond the last bit the words hold shares of zero."""
    last = bits.pack_host(np.asarray(values, bool)) if _on_host(values) else bits.pack(values)
    shape, drawn = last.shape, list[Array]()
    for _ in range(form.summands - 1):
        drawn.append(draw(shape, bits.WORD))
        last = last ^ drawn[-1]
    return _dealt(form, [*drawn, last])


def opened(summands: Sequence[Array], t: Type, ring: Ring) -> Array:
    """The value that summands are worth: elements of `ring`, or bools."""
    total = summands[0]
    for more in summands[1:]:
        total = total ^ more if t.packed else total + more
    if not t.packed:
        return _reduced(ring, total)
    return bits.unpack_host(total, t.shape) if _on_host(total) else bits.unpack(total, t.shape, bool)


def summands_of(held: Sequence[Sequence[Array]], form: Form) -> list[Array]:
    """Each summand once, from what all parties hold. Raises ValueError where two copies of one differ."""
    found: dict[int, Array] = {}
    for mine, numbers in zip(held, form.holds, strict=True):
        for array, n in zip(mine, numbers, strict=True):
            if not np.array_equal(found.setdefault(n, array), array):
                raise ValueError("two parties hold different copies of a summand")
    return [found[n] for n in range(form.summands)]


def _dealt(form: Form, summands: Sequence[Array]) -> Pieces:
    return [[summands[n] for n in mine] for mine in form.holds]


def _difference(x: Array, drawn: Sequence[Array]) -> Array:
    """x minus what was drawn; on the host where XLA:CPU reads it without a copy."""
    if not drawn or not _on_host(drawn[0]):
        for part in drawn:
            x = x - part
        return x
    out = aligned_array(drawn[0].shape, drawn[0].dtype)
    np.subtract(x, drawn[0], out=out)
    for part in drawn[1:]:
        np.subtract(out, part, out=out)
    return out


def _reduced(ring: Ring, x: Array) -> Array:
    return ring.reduce_host(x) if _on_host(x) else ring.reduce(x)


def _on_host(x: Array) -> bool:
    """NumPy gives a scalar, not an array, where there is no axis."""
    return isinstance(x, np.ndarray | np.generic | bool)
