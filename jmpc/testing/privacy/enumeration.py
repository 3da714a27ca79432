"""Every input share and every mask word of a protocol on a tiny ring, laid out as the elements of one large array.

What goes in: a program over arrays of one shape, elementwise, so that each element is a run of its own. What comes out:
`Enumeration`: how many runs there are, what each party holds in each, and a `Masks` that hands out every combination of
mask words. Not here: what is compared (`exact.py`).

How runs are counted. Each component of an input share and each mask word is a digit of a number: k bits of a ring
element, one bit of a packed word. Run n reads its digits off the bits of n. A mask word of which the program reads only
the low bits (all uses are an `and` with a constant) counts those. Bits that are in storage but not in the digit are
noise: a view that depended on them would not come out the same for all inputs, so they are not taken on trust. Two
words of 64 bits that a run draws unpacked stand for an order of two things, one bit, since protocols sort them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmpc import _jax, families
from jmpc.ir.program import Program
from jmpc.ir.types import ARITH, MASK, SUM3, Type
from jmpc.party.program import Traced, input_type
from jmpc.ring.bits import LANES, WORD
from jmpc.ring.element import Ring
from jmpc.testing.privacy.run_layout import count, is_packed, placed
from jmpc.testing.simulator.lockstep import Masks, traces
from jmpc.testing.simulator.shares import Held

Array = np.ndarray
Shape = tuple[int, ...]
MAX_BITS = 23
ORDERS = np.array([[1 << 20, 1 << 60], [1 << 60, 1 << 20]], np.uint64)


@dataclass(frozen=True)
class Digit:
    """Bits start .. start + bits - 1 of a run's number."""

    start: int
    bits: int

    def of(self, runs: Array) -> Array:
        return (runs >> self.start) & ((1 << self.bits) - 1)


class Enumeration:
    """All runs of `program_at((runs,))`. tied: by number of an input of bits, that of the input which is the same bit
    as a number (a random bit in both forms, of which no party knows the value). orders: inputs of two elements a run,
    which are the numbers 0 and 1 in either order."""

    def __init__(
        self,
        program_at: Callable[[Shape], Program],
        protocols: Mapping[str, Any] | None = None,
        tied: Mapping[int, int] | None = None,
        orders: Sequence[int] = (),
    ) -> None:
        self.tied, self.orders = dict(tied or {}), tuple(orders)
        small = program_at((LANES,))
        self.ring, self.family = Ring(small.config.k), families.of(small.config)
        self._total = 0
        self.inputs = [self._input(n, input_type(p.type)) for n, p in enumerate(small.body.params)]
        self.masks = {key: self._mask(*found) for key, found in sorted(_masks(traces(small, protocols)).items())}
        if self._total > MAX_BITS:
            raise ValueError(f"2^{self._total} runs are too many: take a narrower ring, or compose of checked parts")
        self.count = max(1 << self._total, LANES)
        self.program_at, self.protocols = program_at, protocols
        self._set(np.arange(self.count, dtype=np.int32), np.random.default_rng(0))

    def _set(self, runs: Array, noise: np.random.Generator | None) -> None:
        self.runs, self.count, self.noise = runs, runs.size, noise
        self.program = self.program_at((self.count,))
        self.made = traces(self.program, self.protocols)
        self.types = [input_type(p.type) for p in self.program.body.params]

    def only(self, runs: Array) -> Enumeration:
        """Just these runs, by number, without noise."""
        found = copy.copy(self)
        found._set(runs, None)
        return found

    def sample(self, count: int) -> Array:
        """Numbers of some runs."""
        return np.random.default_rng(1).integers(0, max(1 << self._total, LANES), count, np.int32)

    def _take(self, bits: int) -> Digit:
        self._total += bits
        return Digit(self._total - bits, bits)

    def _input(self, n: int, t: Type) -> list[list[Digit]]:
        """By component, the digits of a run. The last component of a tied input or an order follows from the others;
        an order has one digit more, which says what it is."""
        derived = n in self.tied.values() or n in self.orders
        bits = 1 if t.packed else self.ring.k
        free = [
            [self._take(bits) for _ in range(t.size // LANES)] for _ in range(self.family.form(t).summands - derived)
        ]
        return [*free, [self._take(1)]] if n in self.orders else free

    def _mask(self, shape: Shape, dtype: np.dtype, used: int) -> list[Digit]:
        """One digit for each word that one run draws. Raises ValueError where runs share words."""
        number = count(shape, dtype, LANES)
        if is_packed(shape, dtype, LANES):
            return [self._take(1) for _ in range(number)]
        if dtype == WORD:
            if number != 2:
                raise ValueError("an order of more than two things is not enumerated")
            return [self._take(1)]
        return [self._take(min(used, self.ring.k)) for _ in range(number)]

    # --- what is held

    def components(self, n: int) -> list[list[Array]]:
        """Every component of input `n`: its elements in each run."""
        found = [[d.of(self.runs) for d in part] for part in self.inputs[n]]
        whole = (1 << self.ring.k) - 1
        for bits, number in self.tied.items():
            if n == number:
                value = [a ^ b ^ c for a, b, c in zip(*self.components(bits), strict=True)]
                found.append([(v - a - b) & whole for v, a, b in zip(value, *found, strict=True)])
        if n in self.orders:
            first, second, ((turned,)) = found[0], found[1], found[2]
            value = (turned, 1 - turned)
            found[2] = [(v - a - b) & whole for v, a, b in zip(value, first, second, strict=True)]
        return found

    def worth(self, n: int) -> list[Array]:
        """The value of each element of input `n` in each run: a bit, or a signed number."""
        elements = zip(*self.components(n), strict=True)
        if self.types[n].packed:
            return [np.bitwise_xor.reduce(parts) for parts in elements]
        values = [np.add.reduce(parts) & ((1 << self.ring.k) - 1) for parts in elements]
        return [v - ((v >> (self.ring.k - 1)) << self.ring.k) for v in values]

    def held(self, n: int) -> list[Held]:
        """What each party holds of input `n`, as the programs take it."""
        t = self.types[n]
        shape, dtype = self.family.spec(t, self.ring)
        stored = [placed(part, shape, dtype, self.count) for part in self.components(n)]
        if not t.packed and t.form in (ARITH, MASK, SUM3):
            stored = [self._noisy(x, self.ring.k) for x in stored]
        return [[stored[c] for c in mine] for mine in self.family.form(t).holds]

    def _noisy(self, elements: Array, bits: int) -> Array:
        if self.noise is None or bits >= 8 * elements.dtype.itemsize:
            return elements
        high = self.noise.integers(0, 1 << (8 * elements.dtype.itemsize), elements.shape, elements.dtype)
        return elements | (high << elements.dtype.type(bits))

    def own(self, n: int, party: int) -> list[Array]:
        found = self.components(n)
        return [x for c in self.family.form(self.types[n]).holds[party] for x in found[c]]

    def hidden(self, n: int, party: int) -> list[Array]:
        """What `party` does not hold of input `n`; nothing of a random one, which is averaged over."""
        if n in self.tied or n in self.tied.values():
            return []
        mine = self.family.form(self.types[n]).holds[party]
        return [x for c, part in enumerate(self.components(n)) if c not in mine for x in part]

    # --- masks

    def drawn_by(self, party: int) -> list[Array]:
        keys = [key for key in self.masks if party in key[:2]]
        return [d.of(self.runs) for key in keys for d in self.masks[key]]

    def words(self) -> Masks:
        return _Every(self)


class _Every(Masks):
    """Each combination of mask words in one element."""

    def __init__(self, every: Enumeration) -> None:
        super().__init__(np.random.default_rng(0))
        self.every = every

    def make(self, key: Any, shape: Shape, dtype: np.dtype) -> Array:
        path, pair, name = key
        assert path == (), "a loop is enumerated by its body"
        every = self.every
        digits = every.masks[(*pair, *name)]
        found = [d.of(every.runs) for d in digits]
        if dtype != WORD:
            found = [every._noisy(x.astype(dtype), d.bits) for x, d in zip(found, digits, strict=True)]
        elif not is_packed(shape, dtype, every.count):
            found = list(ORDERS[found[0]].T)
        return placed(found, shape, dtype, every.count)


def _masks(made: Sequence[Traced]) -> dict[Any, tuple[Shape, np.dtype, int]]:
    """Shape, dtype and low bits in use of every mask that some party reads, by (party, party, op, use)."""
    found: dict[Any, tuple[Shape, np.dtype, int]] = {}
    for traced in made:
        for eqn in traced.jaxpr.eqns:
            if eqn.primitive.name == "mask":
                p = eqn.params
                key, used = (*p["pair"], *p["name"]), _bits_in_use(traced.jaxpr, eqn.outvars[0])
                found[key] = (p["shape"], p["dtype"], max(used, found.get(key, ((), None, 0))[2]))
    return found


def _bits_in_use(jaxpr: Any, mask: Any) -> int:
    """The low bits that are left after each use of `mask`, if each is an `and` with a constant."""
    widths = [0]
    for eqn, other in _uses(jaxpr, mask):
        value = constant_of(jaxpr, other) if eqn is not None and eqn.primitive.name == "and" else None
        widths.append(8 * mask.aval.dtype.itemsize if value is None else value.bit_length())
    return max(widths)


def _uses(jaxpr: Any, var: Any) -> Iterator[tuple[Any, Any]]:
    """(equation, the other operand), or (None, None) for a result of the program."""
    for eqn in jaxpr.eqns:
        if any(a is var for a in eqn.invars):
            yield eqn, next((a for a in eqn.invars if a is not var), None)
    if any(a is var for a in jaxpr.outvars):
        yield None, None


def constant_of(jaxpr: Any, atom: Any) -> int | None:
    """The value of an atom that is one constant in all its elements."""
    if isinstance(atom, _jax.Literal):
        return int(atom.val) if np.ndim(atom.val) == 0 else None
    for eqn in jaxpr.eqns:
        if atom is not None and any(v is atom for v in eqn.outvars):
            spreads = eqn.primitive.name in ("broadcast_in_dim", "reshape", "convert_element_type")
            return constant_of(jaxpr, eqn.invars[0]) if spreads else None
    return None
