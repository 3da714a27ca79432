"""What a linear op means in NumPy, which protocols are held to, is what parties compute on summands with JAX."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import jax
import numpy as np
import pytest

from jmpc.ir.ops import linear
from jmpc.ir.ops.record import OPS, Frame
from jmpc.ring.element import Ring

X, Y = np.arange(24).reshape(2, 3, 4), 7 - 3 * np.arange(24).reshape(2, 3, 4)
CASES: dict[str, list[tuple[dict[str, Any], tuple[np.ndarray, ...]]]] = {
    "reshape": [({"shape": (4, 6)}, (X,)), ({"shape": (24,)}, (X,)), ({"shape": ()}, (X[:1, :1, 0],))],
    "transpose": [({"perm": (2, 0, 1)}, (X,)), ({"perm": ()}, (np.array(3),))],
    "broadcast": [
        ({"shape": (5, 2, 3, 4), "dims": (1, 2, 3)}, (X,)),
        ({"shape": (3, 2, 4), "dims": (0, 2)}, (X[0, :, :],)),
        ({"shape": (2, 7), "dims": (0, 1)}, (X[:, :1, 0],)),
        ({"shape": (2, 2), "dims": ()}, (np.array(3),)),
    ],
    "slice": [
        ({"start": (0, 1, 0), "limit": (2, 3, 4), "strides": None}, (X,)),
        ({"start": (0, 0, 1), "limit": (1, 3, 4), "strides": (1, 2, 3)}, (X,)),
        ({"start": (1, 1, 1), "limit": (1, 1, 1), "strides": None}, (X,)),
    ],
    "rev": [({"axes": (0, 2)}, (X,)), ({"axes": ()}, (X,))],
    "take": [({"rows": (1, 1, 0)}, (X,)), ({"rows": ()}, (X,))],
    "concat": [({"axis": 1}, (X, Y[:, :1])), ({"axis": 0}, (X,))],
    "reduce_sum": [({"axes": (0,)}, (X,)), ({"axes": (0, 2)}, (X,)), ({"axes": ()}, (X,))],
    "neg": [({}, (X,))],
    "add": [({}, (X, Y))],
    "sub": [({}, (X, Y))],
}
FRAME = Frame(Ring(64), False)


def meant(name: str, attrs: dict[str, Any], arrays: tuple[np.ndarray, ...]) -> Any:
    return cast("Any", OPS[name].meaning)(FRAME, SimpleNamespace(name=name, attrs=attrs), *arrays)


@pytest.mark.parametrize("name", CASES)
def test_numpy_says_what_jax_computes(name: str) -> None:
    for attrs, arrays in CASES[name]:
        with jax.enable_x64(True):
            computed = np.asarray(linear.apply(name, attrs, *arrays))
        np.testing.assert_array_equal(meant(name, attrs, arrays), computed, strict=True)


def test_bits_are_moved_as_numbers_are() -> None:
    for name in ("reshape", "transpose", "broadcast", "slice", "rev", "take", "concat"):
        for attrs, arrays in CASES[name]:
            bits = tuple(x % 3 == 0 for x in arrays)
            np.testing.assert_array_equal(
                meant(name, attrs, bits), np.asarray(linear.apply(name, attrs, *bits)), strict=True
            )
