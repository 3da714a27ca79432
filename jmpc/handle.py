"""What stands for a result that is not in this process: a handle on one that stays shared among the parties, or one
that somebody else learned.

What goes in: what a run kept, or told others. What comes out: an object with a shape and a dtype. A handle is an
argument of later calls; neither has a value here: nothing in it can be opened, printed or stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np

from jmpc.config import Config
from jmpc.errors import ArgumentError
from jmpc.ir.types import Type


class Closed(ABC):
    """An array that is not here, and refuses all that would look at its elements."""

    @abstractmethod
    def refusal(self) -> ArgumentError:
        """Why it cannot be looked at."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self.refusal()

    __array__ = __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = __reduce__ = _refuse
    __float__ = __int__ = __index__ = __complex__ = __round__ = __trunc__ = __floor__ = __ceil__ = _refuse
    __neg__ = __pos__ = __abs__ = __invert__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __sub__ = __mul__ = __matmul__ = __truediv__ = __floordiv__ = __mod__ = __divmod__ = __pow__ = _refuse
    __radd__ = __rsub__ = __rmul__ = __rmatmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = _refuse
    __rdivmod__ = __rpow__ = __lshift__ = __rshift__ = __and__ = __or__ = __xor__ = _refuse
    __rlshift__ = __rrshift__ = __rand__ = __ror__ = __rxor__ = _refuse

    def __eq__(self, other: object) -> bool:
        """Whether it is the same object. What an array would compare, its elements, is not here to compare."""
        return other is self or self._refuse()

    __hash__ = object.__hash__  # by identity, as it compares


@dataclass(frozen=True, eq=False)
class SecretArray(Closed):
    """A result that stays shared among the parties: an argument for the next secure call. It has a shape and a dtype,
    and no value here. When the last reference goes, the parties forget the shares, unless they are stored under a name.
    type: what is known of it, which depends on the function that made it and on shapes, not on other handles: a loop
    over handles compiles once for the handle that it starts with, and once for its own."""

    shape: tuple[int, ...]
    dtype: Any
    type: Type = field(repr=False)
    kept: Any = field(repr=False)
    config: Config = field(repr=False)

    def __repr__(self) -> str:
        return f"SecretArray({np.dtype(self.dtype).name}{list(self.shape)})"

    def refusal(self) -> ArgumentError:
        return ArgumentError(
            "a secret handle has no value in this process",
            why="its shares are with the parties",
            todo=[
                "to compute with it, make it an argument of a secure function",
                "to learn it, pass it to one that names a receiver: jmpc.secure(lambda x: x, outputs=...)(handle)",
            ],
        )

    def check_format(self, config: Config, path: str) -> None:
        """Raises ArgumentError where a program of `config` would read other numbers than were shared, or shares that
        parties hold in another way."""
        mine, theirs = ((c.k, c.f) for c in (self.config, config))
        if self.config.protocol != config.protocol:
            what = "by another family of protocols"
            why = f"it is shared by {self.config.protocol}; the function is for {config.protocol}"
        elif mine != theirs:
            what = "in another number format"
            why = f"it has k={mine[0]}, f={mine[1]}; the function has k={theirs[0]}, f={theirs[1]}"
        else:
            return
        todo = "give both functions the same jmpc.Config"
        raise ArgumentError(f"{path} was shared {what}", where=path, why=why, todo=todo)


@dataclass(frozen=True, eq=False)
class Elsewhere(Closed):
    """A result that another client of a cluster learned, and this process did not. receiver: who did.  name: under
    which it waits for them at the parties, where they were not there to take it.  own: as it was shared, where it is no
    more than an input that this process supplied: of a result for several, it is one of them that knows it already."""

    receiver: str
    name: str = ""
    own: Any = field(default=None, repr=False)
    shape: tuple[int, ...] = ()
    dtype: Any = None

    def of(self, spec: Any) -> Elsewhere:
        """The same, with the shape and the dtype of the result that it stands for."""
        return replace(self, own=None, shape=tuple(spec.shape), dtype=spec.dtype)

    def __repr__(self) -> str:
        waits = f", as {self.name!r}" if self.name else ""
        return f"Elsewhere({np.dtype(self.dtype).name}{list(self.shape)}, learned by {self.receiver!r}{waits})"

    def refusal(self) -> ArgumentError:
        there = f"there: cluster.get({self.name!r})" if self.name else "there, in the same script"
        return ArgumentError(
            f"this result is not here: {self.receiver} learns it",
            why="secure(outputs=...) names its receiver, and this process is another client of the cluster",
            todo=[f"use it {there}", "or name this client as a receiver too: outputs={..., ...}"],
        )
