"""The rank of every element of a short row, by comparing all pairs at once.

How this works. Of a pair i < j, j comes before i if its key is smaller, else i comes before j. A rank is how many come
before. The bits "j before i" become numbers, mod no more than places need, and are added up.

What comes out is opened when elements are moved, so it must be a permutation of each row whatever any secret is,
inside its bounds or not. It is, since the bits are those of a strict total order of all that a key can be: of a number,
its low `width` bits, which every element of the ring has, are compared as a signed number of `width` bits; of several
keys, the first that differs decides, and whether two differ is asked of the same bits; of equal keys, the position
decides. An order by the sign of a difference alone would not do: it goes round in a circle where the difference wraps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax import lax

from jmpc import _typed
from jmpc._types import Array, Pair
from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols.compare import msb, zero_test
from jmpc.families.replicated3.protocols.convert import bit_by_dabit, random_bit
from jmpc.families.replicated3.protocols.logic import and_planes, not_planes, xor_planes
from jmpc.families.replicated3.protocols.share import Group, each, on_second
from jmpc.families.replicated3.protocols.shuffle import position_group
from jmpc.families.replicated3.table import protocol
from jmpc.ir.ops.attributes import BLOCKS, WIDTHS
from jmpc.ir.ops.operands import SPLIT_OR_BIT
from jmpc.ir.ops.order import key_rows, placed
from jmpc.ir.ops.record import BOUNDED
from jmpc.ir.types import BOOL, Type, secret_places
from jmpc.ring import bits

Attrs = Mapping[str, Any]


def key_attrs(attrs: Attrs) -> list[dict[str, int]]:
    """Of each key, the attributes of its comparisons."""
    return [{"width": w, "drop": 0, "block": b} for w, b in zip(attrs["widths"], attrs["blocks"], strict=True)]


def _places_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """`rank` by comparing all pairs of a row: of a number its low bits count, as many as `widths` says, as a signed
    number of that width; `blocks` are those of its comparisons. Of bits both are 1."""
    shape = key_rows("pair_rank", types)
    sizes = [(1, 1) if t.kind == BOOL else None for t in types]
    given = list(zip(attrs["widths"], attrs["blocks"], strict=True))
    if 0 in shape or any(size not in (None, found) for size, found in zip(sizes, given, strict=True)):
        raise ProgramError(f"pair_rank: rows of keys are wanted, bits of width 1, not {shape} and {given}")
    return (secret_places(shape),)


def _ranked(frame: Any, op: Any, *keys: np.ndarray) -> np.ndarray:
    """Of a number, the low bits count, read as signed."""

    def low(x: np.ndarray, width: int) -> np.ndarray:
        spare = np.int64(64 - width)
        return x if x.dtype == np.bool_ else x.astype(np.int64) << spare >> spare

    return placed(frame, op, *(low(x, width) for x, width in zip(keys, op.attrs["widths"], strict=True)))


@protocol(
    "pair_rank",
    takes=(SPLIT_OR_BIT,),
    more=SPLIT_OR_BIT,
    attrs={"widths": WIDTHS, "blocks": BLOCKS},
    gives=_places_type,
    means=_ranked,
    traits=(BOUNDED,),
    source="rank by counting; comparison of residues mod 2^width, derived here",
)
def pair_rank(me: Me, held: list[Any], types: Sequence[Type], attrs: Attrs) -> Pair:
    """The place of every element in the stable order of its row, the first key first.

    Security: as `msb`, `zero_test` and `and`; the bit that is opened is the exclusive or with a fresh dabit.
    Needs: nothing, to be a permutation; to be the order, that keys fit their widths.  Error: none.
    Cost: that of the comparisons of all pairs, a round of ands for each key but the last, and one to open."""
    shape = types[0].shape
    n, batch = shape[-1], types[0].size // shape[-1]
    group = position_group(n, me.ring)
    if n == 1:
        return group.zeros(shape), group.zeros(shape)
    before: Pair | None = None
    for x, t, key in list(zip(held, types, key_attrs(attrs), strict=True))[::-1]:
        less, equal = _bits_compared(me, x, n, batch) if t.kind == BOOL else _compared(me, x, n, key, before)
        before = less if before is None else xor_planes(less, and_planes(me, equal, before))
    assert before is not None
    pairs = n * (n - 1) // 2
    wins = bit_by_dabit(me, before, *random_bit(me, (pairs, batch), group), (pairs, batch), group)
    here = _typed.broadcasted_iota(group.dtype, (n, batch), 0)
    public = on_second(me, here, lax.full_like(here, 0))
    return _placed(group, wins[0], public[0], shape), _placed(group, wins[1], public[1], shape)


# --- one key


def _rows(x: Array, n: int) -> Array:
    """Elements of rows first: (n, batch)."""
    return lax.transpose(lax.reshape(x, (x.size // n, n)), (1, 0))


def _firsts_and_seconds(n: int) -> tuple[np.ndarray, np.ndarray]:
    """i and j of all pairs i < j."""
    first, second = np.triu_indices(n, 1)
    return first.astype(np.int32), second.astype(np.int32)


def _taken(rows: Array, which: np.ndarray) -> Array:
    """Rows by number."""
    dims = lax.GatherDimensionNumbers((1,), (0,), (0,))
    return _typed.gather(rows, which[:, None], dims, (1, rows.shape[1]), "promise_in_bounds")


def _compared(me: Me, x: Array, n: int, key: Mapping[str, int], rest: Pair | None) -> tuple[Pair, Any]:
    """[x_j < x_i] for i < j, on residues mod 2^width read as signed: of numbers of equal signs the sign of the
    difference says it, of others that of x_j. And [x_j = x_i], if there is a rest of the keys to decide then."""
    first, second = _firsts_and_seconds(n)
    rows = _rows(me.ring.reduce(x), n)
    gap = me.ring.reduce(lax.sub(_taken(rows, second), _taken(rows, first)))
    found, signs = msb(me, [gap], (), key), msb(me, [rows], (), key)
    signs_i, signs_j = _of_pairs(signs, n, rows.shape[1])
    mixed = and_planes(me, xor_planes(signs_i, signs_j), xor_planes(signs_j, found))
    return xor_planes(found, mixed), zero_test(me, [gap], (), key) if rest else None


def _of_pairs(x: Pair, n: int, batch: int) -> tuple[Pair, Pair]:
    """Packed bits of the elements, (n, batch), at the first and at the second of every pair, packed."""
    elements = each(lambda part: bits.unpack(part, (n, batch), np.uint8), x)
    first, second = _firsts_and_seconds(n)
    return (
        each(lambda e: bits.pack(_taken(e, first)), elements),
        each(lambda e: bits.pack(_taken(e, second)), elements),
    )


def _bits_compared(me: Me, x: Pair, n: int, batch: int) -> tuple[Pair, Pair]:
    """The same of bits."""
    rows = each(lambda part: bits.pack(_rows(bits.unpack(part, (batch, n), np.uint8), n)), x)
    at_i, at_j = _of_pairs(rows, n, batch)
    return and_planes(me, not_planes(me, at_j), at_i), not_planes(me, xor_planes(at_i, at_j))


# --- counting


def _placed(group: Group, wins: Array, public: Array, shape: tuple[int, ...]) -> Array:
    """How many come before each element, of one component: of those behind it the pairs that it lost, and of those in
    front all but the pairs that it won."""
    n, batch = public.shape
    index = np.full((n, n), wins.shape[0], np.int32)
    index[_firsts_and_seconds(n)] = np.arange(wins.shape[0])
    padded = lax.concatenate([wins, group.zeros((1, batch))], 0)
    table = lax.reshape(_taken(padded, index.reshape(-1)), (n, n, batch))
    lost, won = (lax.reduce(table, group.dtype.type(0), lax.add, (axis,)) for axis in (1, 0))
    found = group.reduce(lax.add(lax.sub(lost, won), public))
    return lax.reshape(lax.transpose(found, (1, 0)), shape)
