"""The three words of a party program: `party`, `mask`, `exchange`.

What goes in: local arrays of the party whose program is traced. What comes out: equations `mask` and `exchange` in
its jaxpr, each with a name that is the same at all parties: (op, n), the n-th use within an op. Nothing is drawn or
sent here; `rounds` cuts the jaxpr at exchanges, executors draw and send.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax import lax

from jmpc import _jax
from jmpc.ring.element import Ring

Array = Any
Spec = tuple[tuple[int, ...], np.dtype]

mask_p = _jax.define("mask", lambda *, pair, name, shape, dtype: [_jax.aval(shape, dtype)])
exchange_p = _jax.define(
    "exchange", lambda *arrays, name, sends, recvs: [_jax.aval(shape, dtype) for _, shape, dtype in recvs]
)

NXT, PRV = "nxt", "prv"


@dataclass
class Party:
    """Party `index` of three, while its program is traced. `op` names the op at hand."""

    index: int
    ring: Ring
    op: int = 0
    _uses: Counter[Any] = field(default_factory=Counter)
    _masks: dict[int, Array] = field(default_factory=dict, repr=False)

    def mask(self, neighbour: str, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Pseudo-random words that this party and its neighbour can draw, and nobody else.

        Both draw in the same order within an op, so the same words. A word is never drawn twice.
        """
        pair = self.index if neighbour == NXT else (self.index - 1) % 3
        n = self._uses[(self.op, pair)]
        self._uses[(self.op, pair)] += 1
        dtype = np.dtype(dtype or self.ring.dtype)
        (words,) = mask_p.bind(pair=pair, name=(self.op, n), shape=tuple(shape), dtype=dtype)
        self._masks[id(words)] = words
        return words

    def staged(self, array: Array) -> Array:
        """`array` as the result of a local equation, for what is sent or leaves the scope: executors hold no mask and
        no constant by itself."""
        return lax.optimization_barrier(array) if id(array) in self._masks else _jax.staged(array)

    def exchange(
        self,
        *,
        to_nxt: Array | None = None,
        to_prv: Array | None = None,
        from_nxt: Spec | None = None,
        from_prv: Spec | None = None,
    ) -> Any:
        """Send and receive in one round. All three parties call it, in the same order within an op.

        Returns what was received: nothing, an array, or (from_nxt, from_prv).
        """
        n = self._uses[(self.op, "exchange")]
        self._uses[(self.op, "exchange")] += 1
        arrays = [(side, a) for side, a in ((NXT, to_nxt), (PRV, to_prv)) if a is not None]
        specs = [(side, tuple(s[0]), np.dtype(s[1])) for side, s in ((NXT, from_nxt), (PRV, from_prv)) if s is not None]
        got = exchange_p.bind(
            *(self.staged(a) for _, a in arrays),
            name=(self.op, n),
            sends=tuple(side for side, _ in arrays),
            recvs=tuple(specs),
        )
        return None if not got else got[0] if len(got) == 1 else tuple(got)


def spec(array: Array) -> Spec:
    return tuple(array.shape), np.dtype(array.dtype)
