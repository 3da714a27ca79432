"""The words of a party program: `party`, `mask`, `exchange`, `verify`.

What goes in: local arrays of the party whose program is traced. What comes out: equations `mask`, `exchange` and
`verdict` in its jaxpr, each with a name that is the same at all parties: (op, n), the n-th use within an op. Nothing is
drawn or sent here; `cut.py` cuts the jaxpr at exchanges, executors draw, send and stop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jmpc import _jax, _typed
from jmpc._types import Array
from jmpc.ring.element import Ring
from jmpc.ring.product import DEFAULT_FORM

Spec = tuple[tuple[int, ...], np.dtype]


def _words(*, shape: tuple[int, ...], dtype: np.dtype, **_: Any) -> list[Any]:
    return [_jax.aval(shape, dtype)]


def _received(*_: Any, recvs: Sequence[tuple[int, tuple[int, ...], np.dtype]], **__: Any) -> list[Any]:
    return [_jax.aval(shape, dtype) for _, shape, dtype in recvs]


def _same_bits(bits: Any, **_: Any) -> list[Any]:
    return [_jax.aval(bits.shape, bits.dtype)]


mask_p = _jax.define("mask", _words)
exchange_p = _jax.define("exchange", _received)
verdict_p = _jax.define("verdict", _same_bits)


@dataclass
class Party:
    """Party `index`, while its program is traced. `op` names the op at hand. A peer is named by its party."""

    index: int
    ring: Ring
    product_form: str = DEFAULT_FORM
    op: int = 0
    _uses: Counter[Any] = field(default_factory=Counter[Any])
    _masks: dict[int, Array] = field(default_factory=dict[int, Array], repr=False)

    def mask(self, peer: int, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Pseudo-random words that this party and its peer can draw, and nobody else.

        Both draw in the same order within an op, so the same words. A word is never drawn twice.
        """
        pair = (min(self.index, peer), max(self.index, peer))
        n = self._uses[(self.op, pair)]
        self._uses[(self.op, pair)] += 1
        dtype = np.dtype(dtype or self.ring.dtype)
        (words,) = _typed.bind(mask_p, pair=pair, name=(self.op, n), shape=tuple(shape), dtype=dtype)
        self._masks[id(words)] = words
        return words

    def staged(self, array: Array) -> Array:
        """`array` as the result of a local equation, for what is sent or leaves the scope: executors hold no mask and
        no constant by itself."""
        return _typed.optimization_barrier(array) if id(array) in self._masks else _jax.staged(array)

    def verify(self, bits: Array) -> Array:
        """Have this party stop, and with it all others, unless every one of `bits` is set. They come back as they are:
        what must not go out before the verdict is made of them."""
        n = self._uses[(self.op, "verdict")]
        self._uses[(self.op, "verdict")] += 1
        (same,) = _typed.bind(verdict_p, self.staged(bits), name=(self.op, n))
        return same

    def exchange(self, sends: Mapping[int, Array], receives: Mapping[int, Spec]) -> dict[int, Array]:
        """Send and receive in one round, an array a peer. All parties call it, in the same order within an op.

        Returns what was received, by peer.
        """
        n = self._uses[(self.op, "exchange")]
        self._uses[(self.op, "exchange")] += 1
        got = _typed.bind(
            exchange_p,
            *(self.staged(a) for a in sends.values()),
            name=(self.op, n),
            sends=tuple(sends),
            recvs=tuple((peer, tuple(shape), np.dtype(dtype)) for peer, (shape, dtype) in receives.items()),
        )
        return dict(zip(receives, got, strict=True))


def spec(array: Array) -> Spec:
    return tuple(array.shape), np.dtype(array.dtype)
