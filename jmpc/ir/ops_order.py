"""Infer rules of order and of secret indices: ranks, permutations, one-hot vectors."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.op_table import COMMON, SHARE, VALUE, Attrs, rule
from jmpc.ir.types import ARITH, BITS, BOOL, INT, SECRET, Type, secret_bits, secret_places


@rule(VALUE, "rank")
def _rank(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The place of each element in the stable order of its row, the last axis; the first key counts first."""
    return (secret_places(_rows("rank", types)),)


def _rows(name: str, types: Sequence[Type]) -> tuple[int, ...]:
    """The shape of the keys."""
    shape = types[0].shape
    if not shape or any(t.shape != shape for t in types):
        raise ProgramError(f"{name}: keys of one shape with an axis are wanted, not {[t.shape for t in types]}")
    return shape


@rule(SHARE, "pair_rank")
def _pair_rank(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """`rank` by comparing all pairs of a row: of a number its low bits count, as many as `widths` says, as a signed
    number of that width; `blocks` are those of its comparisons. Of bits both are 1."""
    shape = _rows("pair_rank", types)
    sizes = [(1, 1) if t.kind == BOOL else None for t in types]
    given = list(zip(attrs["widths"], attrs["blocks"], strict=True))
    if 0 in shape or any(size not in (None, found) for size, found in zip(sizes, given, strict=True)):
        raise ProgramError(f"pair_rank: rows of keys are wanted, bits of width 1, not {shape} and {given}")
    return (secret_places(shape),)


@rule(SHARE, "radix_rank")
def _radix_rank(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """`rank` of keys given as bits, lowest first: the first `width` of (bits, *shape). A bit in `turned` counts the
    other way."""
    (x,), width, turned = types, attrs["width"], attrs["turned"]
    if len(x.shape) < 2 or 0 in x.shape or width > x.shape[0]:
        raise ProgramError(f"radix_rank: bits of keys in rows are wanted, not {x.shape}")
    if len(set(turned)) < len(turned) or any(n >= width for n in turned):
        raise ProgramError(f"radix_rank: bits {turned} of {width} are turned")
    return (secret_places(x.shape[1:]),)


@rule(SHARE, "bit_words")
def _bit_words(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The `width` low bits of two's complement, lowest first, and zeros above them: (64, *shape), a word an element."""
    return (secret_bits((64, *types[0].shape)),)


@rule(COMMON, "permute")
def _permute(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """out[place[i]] = x[i] along the last axis; each row of `place` is a permutation."""
    place, x = types
    if not place.shape or place.shape != x.shape:
        raise ProgramError(f"permute: places {place.shape} of elements {x.shape}")
    return (x.with_(visibility=SECRET, owner="", form=BITS if x.kind == BOOL else ARITH),)


@rule(VALUE, "one_hot")
@rule(SHARE, "deal_one_hot")
def _one_hot(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """[i mod 2^bits = v] for v below `size`, zeros for other residues; with `wraps`, also of i = v - size."""
    if attrs["size"] << attrs["wraps"] > 1 << attrs["bits"]:
        raise ProgramError(f"{attrs['size']} positions of {attrs['bits']} bits")
    return (Type((*types[0].shape, attrs["size"]), INT, 0, 1),)


@rule(VALUE, "hot_digits")
def _hot_digits(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The one-hot vectors of the two digits of i mod 2^bits: its `low` lowest bits, and the others."""
    shape, low, high = types[0].shape, attrs["low"], attrs["bits"] - attrs["low"]
    if low < 1 or high < 1:
        raise ProgramError(f"two digits of {attrs['bits']} bits, one of them {low}")
    return tuple(Type((*shape, 1 << digit), INT, 0, 1) for digit in (low, high))


@rule(SHARE, "deal_hot_digits")
def _deal_hot_digits(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """As `hot_digits`, the high digit before the carry of the low one, and that carry."""
    return (*_hot_digits(types, attrs, config), Type(types[0].shape, INT, 0, 1))
