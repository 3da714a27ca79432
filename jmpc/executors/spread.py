"""One party on several devices: its arrays in parts, one on each, and code that XLA divides among them.

What goes in: the shapes of a segment's arguments, and the devices. What comes out: how each argument lies, and
executables that put what they are given there first. What a segment computes does not depend on it, to the last bit:
all of it is integers. Small arrays lie whole on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jmpc import _typed

LEAST_BYTES = 1 << 16  # below this, moving parts costs more than it saves
AXIS = "part"


def laid_out(arguments: Sequence[jax.ShapeDtypeStruct], devices: Sequence[Any]) -> list[jax.ShapeDtypeStruct]:
    """The same arguments, each with how it lies: in parts along its longest axis that divides evenly, or whole."""
    mesh = Mesh(np.asarray(devices), (AXIS,))
    found: list[jax.ShapeDtypeStruct] = []
    for a in arguments:
        spec = parts(a.shape, a.dtype, len(devices))
        found.append(jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=NamedSharding(mesh, spec)))
    return found


def parts(shape: tuple[int, ...], dtype: Any, count: int) -> PartitionSpec:
    """How an array lies on `count` devices."""
    even = [axis for axis, size in enumerate(shape) if size and size % count == 0]
    if not even or math.prod(shape) * np.dtype(dtype).itemsize < LEAST_BYTES:
        return PartitionSpec()
    longest = max(even, key=lambda axis: shape[axis])
    return PartitionSpec(*([None] * longest), AXIS)


class Spread:
    """An executable whose arguments are put where they must lie."""

    def __init__(self, code: Callable[..., Any], arguments: Sequence[jax.ShapeDtypeStruct]) -> None:
        self._code, self._shardings = code, [a.sharding for a in arguments]

    def __call__(self, *arguments: Any) -> Any:
        return self._code(*_typed.device_put(list(arguments), self._shardings))


class OverHosts(Spread):
    """The same over the devices of several processes, each of which has the whole arguments, gives its own devices
    their parts, and gets the whole results."""

    def __call__(self, *arguments: Any) -> list[np.ndarray]:
        given = [_given(np.asarray(a), s) for a, s in zip(arguments, self._shardings, strict=True)]
        return [np.asarray(result) for result in self._code(*given)]


def _given(a: np.ndarray, sharding: Any) -> Any:
    return _typed.array_of_parts(a.shape, sharding, lambda index: a[index])


def whole(devices: Sequence[Any]) -> NamedSharding:
    """Of an array that lies whole on each of the devices."""
    return NamedSharding(Mesh(np.asarray(devices), (AXIS,)), PartitionSpec())
