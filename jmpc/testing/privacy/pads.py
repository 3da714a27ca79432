"""What masks a value depends on, and which of them hide it: a party program read without values.

What goes in: party programs, through `simulate.walk` on a `PadMachine`. What comes out: messages whose "arrays" are
`Abstract` values. Not here: what is concluded from them (`structural.py`).

A *pad* of a value is a set of masks such that the low bits of the value are a bijection of those masks, whatever the
rest: `m + f`, `m ^ f`, `(m - f) & (2^w - 1)` where f does not depend on m. A value is *sealed* by a pad if all of it is
a function of such bits and of constants: reduced, cut in bytes, sliced, moved. Then, given everything that does not
depend on the pad's masks, a sealed value has one distribution whatever the secrets are. Rules that are not listed keep
only what is sure: the union of what the operands depend on, and seals where but one operand is not a constant.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from jmpc import _jax
from jmpc.testing.simulator.lockstep import Machine, Masks
from jmpc.testing.simulator.tape import Function

Pads = frozenset[tuple[int, int]]  # (masks, low bits)
Seals = frozenset[int]  # sets of masks
MAX_CHOICES = 16
STEPS = 3


@dataclass(frozen=True, eq=False)
class Abstract:
    """A value without its elements. Sets of masks are bit sets. bits: no element has more.  public: made of constants
    and public inputs alone.  const: the value of every element, if it is known."""

    shape: tuple[int, ...]
    dtype: np.dtype
    deps: int = 0
    pads: Pads = frozenset()
    seals: Seals = frozenset()
    bits: int = 64
    public: bool = False
    const: int | None = None
    parts: tuple[Abstract, ...] = ()  # flat, side by side
    drawn: Any = None  # the name of the mask that it is, word for word

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def sealed(self) -> Abstract:
        """With the seals that follow from its pads."""
        whole = {masks for masks, low in self.pads if low >= self.bits}
        return replace(self, seals=self.seals | whole) if whole - self.seals else self


def width(dtype: np.dtype) -> int:
    return 8 * dtype.itemsize


def given(shape: tuple[int, ...], dtype: Any, public: bool = False) -> Abstract:
    """An input: a share, or a public value."""
    dtype = np.dtype(dtype)
    return Abstract(tuple(shape), dtype, bits=width(dtype), public=public)


@dataclass(frozen=True)
class Share:
    """The name of a component of an input's sharing. parties: that hold it."""

    input: int
    component: int
    parties: tuple[int, ...]


class PadMasks(Masks):
    """Gives each mask a bit of its own; one that is cut, a bit for each piece; and each component of an input. names:
    by bit.  cuts: where a mask of one axis is cut, by its name."""

    def __init__(self, cuts: Mapping[Any, frozenset[int]] | None = None) -> None:
        super().__init__(np.random.default_rng(0))
        self.cuts = dict(cuts or {})
        self.names: list[Any] = []

    def given(self, name: Share, shape: tuple[int, ...], dtype: Any) -> Abstract:
        """A component of an input: it hides nothing, and is known to those that hold it."""
        bit = 1 << len(self.names)
        self.names.append(name)
        return replace(given(shape, dtype), deps=bit)

    def make(self, key: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        if key not in self.cuts:
            return self._piece(key, tuple(shape), dtype)
        ends = [0, *sorted(self.cuts[key]), int(np.prod(shape))]
        pieces = tuple(self._piece(key, (b - a,), dtype) for a, b in itertools.pairwise(ends))
        return replace(joined(pieces, tuple(shape), dtype), drawn=key)

    def _piece(self, key: Any, shape: tuple[int, ...], dtype: np.dtype) -> Abstract:
        bit = 1 << len(self.names)
        self.names.append(key)
        full = width(dtype)
        return Abstract(shape, dtype, bit, frozenset({(bit, full)}), frozenset({bit}), full, drawn=key)


class DataDependent(Exception):
    """A step that depends on data: what runs, how often, or outside the program."""


class PadMachine(Machine):
    """A `simulate.Machine` on abstract values. A loop is walked for a few iterations: later ones repeat them. wanted:
    cuts that would keep more parts apart, by mask."""

    ahead = False

    def __init__(self) -> None:
        super().__init__()
        self.wanted: dict[Any, set[int]] = defaultdict(set)

    def constant(self, value: Any) -> Any:
        array = np.asarray(value)
        same = array.dtype.kind in "biu" and array.size > 0 and bool(np.all(array == array.flat[0]))
        const = int(array.flat[0]) if same else None
        bits = const.bit_length() if const is not None and const >= 0 else width(array.dtype)
        return Abstract(array.shape, array.dtype, bits=bits, public=True, const=const)

    def judge(self, verdicts: Sequence[Any]) -> None:
        """What a verdict is, nobody knows here."""

    def steps(self, trip: int) -> int:
        return min(trip, STEPS)

    def row(self, stack: Any, n: int) -> Any:
        return replace(stack, shape=stack.shape[1:], pads=frozenset())

    def stack(self, rows: Sequence[Any], shape: tuple[int, ...], dtype: Any) -> Any:
        return joined(rows, tuple(shape), np.dtype(dtype))

    def function(self, eqn: Any) -> Function:
        return partial(self._found, eqn)

    def _found(self, eqn: Any, *values: Any) -> Sequence[Any]:
        name = eqn.primitive.name
        outs = [(tuple(v.aval.shape), np.dtype(v.aval.dtype)) for v in eqn.outvars]
        if name == "optimization_barrier":
            return list(values)
        _refuse_control(eqn, values)
        if name == "scan":
            _refuse_inside(_jax.scan_parts(eqn)["body"])
        body = _jax.body_of(eqn)
        if body is not None:
            return self.inlined(body)(*values)
        if name in RULES:
            (spec,) = outs
            if name in (*ELEMENTWISE, "select_n"):
                values = tuple(_as_wide(spec[0], v) for v in values)
            found = RULES[name](eqn.params, *spec, *values).sealed()
            return [self._with_parts(name, eqn.params, found, values)]
        return [_any(*spec, values) for spec in outs]

    def _with_parts(self, name: str, params: Any, found: Abstract, values: Sequence[Abstract]) -> Abstract:
        """The result, part by part where an operand is."""
        private = [v.drawn for v in values if not v.public]
        drawn = private[0] if name in ELEMENTWISE and len(private) == 1 else None
        found = replace(found, drawn=drawn, parts=() if name != "concatenate" else found.parts)
        if name == "slice":
            self._want(values[0], (params["start_indices"][0], params["limit_indices"][0]) if found.shape else ())
            return _sliced(params, found, values[0])
        sizes = {tuple(p.shape[0] for p in v.parts) for v in values if v.parts}
        if name not in ELEMENTWISE or len(sizes) != 1:
            return found
        (pieces,) = sizes
        for v in values:
            self._want(v, itertools.accumulate(pieces))
        if any(v.pads and not v.parts for v in values):  # one mask would be that of several parts
            return found
        columns = [v.parts or [replace(v, shape=(n,)) for n in pieces] for v in values]
        parts = [RULES[name](params, p[0].shape, found.dtype, *p).sealed() for p in zip(*columns, strict=True)]
        return replace(found, parts=tuple(parts))

    def _want(self, x: Abstract, ends: Iterable[int]) -> None:
        """Cut the mask that x is, if it has one axis, at these places."""
        inside = [end for end in ends if len(x.shape) == 1 and 0 < end < x.shape[0]]
        if x.drawn is not None and inside:
            self.wanted[x.drawn].update(inside)


def _refuse_control(eqn: Any, values: Sequence[Abstract]) -> None:
    """`scan` runs as often as the program says; these may look at data, or leave the program."""
    name = eqn.primitive.name
    if name == "cond" and not values[0].public:
        raise DataDependent("cond on a value that is not public")
    if name == "while" and not all(v.public for v in values):
        raise DataDependent("while over values that are not public")
    if eqn.effects:
        raise DataDependent(f"{name} acts outside the program")


def _refuse_inside(body: Any) -> None:
    """Nothing of the kind in a loop of fixed length, whatever it looks at."""
    for eqn in _jax.closed(body)[0].eqns:
        name = eqn.primitive.name
        if name in ("while", "cond") or eqn.effects:
            raise DataDependent(f"{name} in a loop")
        inner = _jax.scan_parts(eqn)["body"] if name == "scan" else _jax.body_of(eqn)
        if inner is not None:
            _refuse_inside(inner)


# --- rules


def _any(shape: tuple[int, ...], dtype: np.dtype, values: Sequence[Abstract]) -> Abstract:
    """A function of the operands: it is sealed where all but one are public."""
    deps, private = 0, [v for v in values if not v.public]
    for v in values:
        deps |= v.deps
    seals = private[0].seals if len(private) == 1 else frozenset()
    return Abstract(shape, dtype, deps, seals=seals, bits=width(dtype), public=not private)


def _moved(params: Any, shape: tuple[int, ...], dtype: np.dtype, x: Abstract, *rest: Abstract) -> Abstract:
    """Elements in another place, each at most once."""
    return replace(x, shape=shape, dtype=dtype)


def _spread(params: Any, shape: tuple[int, ...], dtype: np.dtype, x: Abstract, *rest: Abstract) -> Abstract:
    """One word of a mask under two elements hides neither from who sees both."""
    out = replace(x, shape=shape)
    return out if out.size <= x.size else replace(out, pads=frozenset())


def _as_wide(shape: tuple[int, ...], x: Abstract) -> Abstract:
    """An operand as JAX takes it: along an axis of size 1 it is the same for all elements of the others."""
    wide = _spread({}, shape, x.dtype, x)
    return x if wide.size <= x.size else replace(wide, drawn=None, parts=())


def _sum(params: Any, shape: tuple[int, ...], dtype: np.dtype, x: Abstract, y: Abstract) -> Abstract:
    kept = {(m, low) for m, low in x.pads if not m & y.deps} | {(m, low) for m, low in y.pads if not m & x.deps}
    return replace(_any(shape, dtype, (x, y)), pads=frozenset(kept))


def _xor(params: Any, shape: tuple[int, ...], dtype: np.dtype, x: Abstract, y: Abstract) -> Abstract:
    return replace(_sum(params, shape, dtype, x, y), bits=max(x.bits, y.bits))


def _and(params: Any, shape: tuple[int, ...], dtype: np.dtype, x: Abstract, y: Abstract) -> Abstract:
    out = replace(_any(shape, dtype, (x, y)), bits=min(x.bits, y.bits))
    value, other = (x, y.const) if y.const is not None else (y, x.const)
    if other is None or other < 0 or other & (other + 1):  # not 2^w - 1
        return out
    w = other.bit_length()
    pads = frozenset((m, min(low, w)) for m, low in value.pads) if w else frozenset()
    return replace(out, pads=pads)


def _product(params: Any, shape: tuple[int, ...], dtype: np.dtype, x: Abstract, y: Abstract) -> Abstract:
    """Times an odd constant is a bijection of the low bits."""
    for value, other in ((x, y.const), (y, x.const)):
        if other is not None and other % 2:
            return replace(_any(shape, dtype, (x, y)), pads=value.pads)
    return _any(shape, dtype, (x, y))


def _turned(params: Any, shape: tuple[int, ...], dtype: np.dtype, x: Abstract) -> Abstract:
    """Negation, every bit flipped, or running sums, which tell the elements."""
    return replace(_any(shape, dtype, (x,)), pads=x.pads)


def _chosen(params: Any, shape: tuple[int, ...], dtype: np.dtype, which: Abstract, *cases: Abstract) -> Abstract:
    """One of several: what hides each of them, and does not decide, hides it."""
    kept = {m: min(low for c in cases for n, low in c.pads if n == m) for m, _ in cases[0].pads}
    pads = {(m, low) for m, low in kept.items() if not m & which.deps and all(_hides(c, m) for c in cases)}
    return replace(_any(shape, dtype, (which, *cases)), pads=frozenset(pads), bits=max(c.bits for c in cases))


def _hides(x: Abstract, masks: int) -> bool:
    return any(m == masks for m, _ in x.pads)


def _converted(params: Any, shape: tuple[int, ...], dtype: np.dtype, x: Abstract) -> Abstract:
    out = _any(shape, dtype, (x,))
    if dtype.kind not in "iu" or x.dtype.kind not in "iu":
        return out
    low = width(dtype)
    pads = frozenset((m, min(n, low)) for m, n in x.pads)
    unsigned = x.dtype.kind == "u"
    return replace(out, pads=pads, bits=min(x.bits, low) if unsigned else low, const=x.const)


def _bitcast(params: Any, shape: tuple[int, ...], dtype: np.dtype, x: Abstract) -> Abstract:
    """The bytes of a uniform word are uniform words."""
    whole = frozenset((m, width(dtype)) for m, low in x.pads if low == width(x.dtype))
    return replace(_any(shape, dtype, (x,)), pads=whole)


def _sliced(params: Any, found: Abstract, x: Abstract) -> Abstract:
    """Whole parts, if that is what is cut out."""
    if not x.parts or set(params["strides"] or (1,)) != {1}:
        return found
    start, stop, at, kept = params["start_indices"][0], params["limit_indices"][0], 0, []
    for part in x.parts:
        if start <= at and at + part.shape[0] <= stop:
            kept.append(part)
        at += part.shape[0]
    if sum(p.shape[0] for p in kept) != stop - start:
        return found
    return kept[0] if len(kept) == 1 else joined(kept, found.shape, found.dtype)


def _concatenated(params: Any, shape: tuple[int, ...], dtype: np.dtype, *parts: Abstract) -> Abstract:
    return joined(parts, shape, dtype)


def joined(parts: Sequence[Abstract], shape: tuple[int, ...], dtype: np.dtype) -> Abstract:
    """Parts side by side: each must have a pad of its own, on which no other part depends."""
    if not parts:
        return Abstract(shape, dtype, bits=0, public=True)
    out = replace(_any(shape, dtype, parts), bits=max(p.bits for p in parts))
    options = [[(m, low) for m, low in p.pads if not _others(parts, n) & m] for n, p in enumerate(parts)]
    pads = {(_union(m for m, _ in chosen), min(low for _, low in chosen)) for chosen in _choices(options)}
    sealed = [[m for m in p.seals if not _others(parts, n) & m] for n, p in enumerate(parts)]
    seals = frozenset(_union(chosen) for chosen in _choices(sealed))
    apart = tuple(q for p in parts for q in (p.parts or (p,))) if len(shape) == 1 and len(parts) > 1 else ()
    return replace(out, pads=frozenset(pads), seals=seals, parts=apart)


def _choices(options: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return list(itertools.islice(itertools.product(*options), MAX_CHOICES))


def _others(parts: Sequence[Abstract], n: int) -> int:
    return _union(p.deps for i, p in enumerate(parts) if i != n)


def _union(sets: Any) -> int:
    total = 0
    for one in sets:
        total |= one
    return total


ELEMENTWISE = ("add", "sub", "xor", "and", "mul", "neg", "not", "convert_element_type")
RULES: dict[str, Callable[..., Abstract]] = {
    "add": _sum,
    "sub": _sum,
    "xor": _xor,
    "and": _and,
    "mul": _product,
    "neg": _turned,
    "not": _turned,
    "cumsum": _turned,
    "select_n": _chosen,
    "reshape": _moved,
    "transpose": _moved,
    "rev": _moved,
    "squeeze": _moved,
    "expand_dims": _moved,
    "slice": _moved,
    "broadcast_in_dim": _spread,
    "convert_element_type": _converted,
    "bitcast_convert_type": _bitcast,
    "concatenate": _concatenated,
}
