"""Names for what programs compute on, for annotations, and what tells a checker of types that anything is a tuple.

What comes out: `Array`, an array of JAX or what stands for one while JAX traces; `AnyArray`, one of those or of NumPy,
where host code and traced code are the same; `Pair`, what a party holds of a secret in replicated sharing. What is the
host's alone says `np.ndarray`. Not here: forms and element types of secrets (`ir/types.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import jax
import numpy as np

Array = jax.Array
AnyArray = Array | np.ndarray
Pair = tuple[Array, Array]


def is_tuple(x: object) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(x, tuple)


def as_sequence(x: Any) -> Sequence[Any]:
    """A tuple or a list as it is, and what is neither as a tuple of one."""
    return x if _is_sequence(x) else (x,)


def _is_sequence(x: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(x, tuple | list)
