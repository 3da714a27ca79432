"""Order and secret indices: ranks, permutations, one-hot vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.ops.attributes import FLAG, GROUPS, RESIDUE
from jmpc.ir.ops.operands import ARITH_ANY, ARITH_INT, ORDER
from jmpc.ir.ops.record import COMMON, OPENS, VALUE, Attrs, Frame, op
from jmpc.ir.program import Op
from jmpc.ir.types import ARITH, BITS, BOOL, INT, SECRET, Type, secret_places


def placed(frame: Frame, op: Op, *keys: np.ndarray) -> np.ndarray:
    """np.lexsort is stable, and counts its last key first."""
    return np.argsort(np.lexsort([key.astype(np.int8) if key.dtype == np.bool_ else key for key in keys[::-1]]), -1)


@op("rank", VALUE, (ARITH_ANY,), means=placed, more=ARITH_ANY)
def _rank(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The place of each element in the stable order of its row, the last axis; the first key counts first."""
    return (secret_places(key_rows("rank", types)),)


def key_rows(name: str, types: Sequence[Type]) -> tuple[int, ...]:
    """The shape of the keys."""
    shape = types[0].shape
    if not shape or any(t.shape != shape for t in types):
        raise ProgramError(f"{name}: keys of one shape with an axis are wanted, not {[t.shape for t in types]}")
    return shape


def _put(frame: Frame, op: Op, place: np.ndarray, x: np.ndarray) -> np.ndarray:
    found = np.empty_like(x)
    np.put_along_axis(found, place.astype(np.int64), x, -1)
    return found


@op("permute", COMMON, (ORDER, ARITH_ANY), means=_put, traits=(OPENS,))
def _permute(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """out[place[i]] = x[i] along the last axis; each row of `place` is a permutation."""
    place, x = types
    if not place.shape or place.shape != x.shape:
        raise ProgramError(f"permute: places {place.shape} of elements {x.shape}")
    return (x.with_(visibility=SECRET, owner="", form=BITS if x.kind == BOOL else ARITH),)


def hot(frame: Frame, op: Op, x: np.ndarray) -> np.ndarray:
    size: int = op.attrs["size"]
    residues: int = 1 << op.attrs["bits"]
    residue = x.astype(np.int64)[..., None] & (residues - 1)
    hit = residue == np.arange(size)
    return (hit | (residue == np.arange(residues - size, residues)) if op.attrs["wraps"] else hit).astype(np.int64)


def hot_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """[i mod 2^bits = v] for v below `size`, zeros for other residues; with `wraps`, also of i = v - size."""
    if attrs["size"] << attrs["wraps"] > 1 << attrs["bits"]:
        raise ProgramError(f"{attrs['size']} positions of {attrs['bits']} bits")
    return (Type((*types[0].shape, attrs["size"]), INT, 0, 1),)


op("one_hot", VALUE, (ARITH_INT,), {"size": GROUPS, "bits": RESIDUE, "wraps": FLAG}, means=hot)(hot_type)


def two_hot(frame: Frame, op: Op, x: np.ndarray) -> list[np.ndarray]:
    """Any carry is allowed, none too."""
    low: int = op.attrs["low"]
    bits: int = op.attrs["bits"]
    residue = x.astype(np.int64)[..., None] & ((1 << bits) - 1)
    found = [(residue & ((1 << low) - 1)) == np.arange(1 << low), (residue >> low) == np.arange(1 << (bits - low))]
    return [*found, np.zeros(x.shape)] if len(op.outputs) == 3 else found


@op("hot_digits", VALUE, (ARITH_INT,), {"low": RESIDUE, "bits": RESIDUE}, means=two_hot)
def two_hot_type(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """The one-hot vectors of the two digits of i mod 2^bits: its `low` lowest bits, and the others."""
    shape, low, high = types[0].shape, attrs["low"], attrs["bits"] - attrs["low"]
    if low < 1 or high < 1:
        raise ProgramError(f"two digits of {attrs['bits']} bits, one of them {low}")
    return tuple(Type((*shape, 1 << digit), INT, 0, 1) for digit in (low, high))
