"""The local executor: three parties in this process, in lock step. A simulation: this process sees everything.

What goes in: three plans and what each party holds of the inputs. What comes out: what each holds of the outputs, and
the counted rounds and bytes. Messages are references to arrays; masks and segments are those of a real run, so the
results are the same bits as on the network from the same keys.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jmpc.config import AES
from jmpc.executors.masks import streams
from jmpc.executors.run import Counts, Run, Store
from jmpc.ir.plan import Exchange, Plan
from jmpc.ring.keys import MASK_KEY_BYTES, MaskKeys


class Hand:
    """Hands arrays from party to party, and counts them."""

    def __init__(self) -> None:
        self.counts = Counts(0, [0, 0, 0])

    def round(self, exchanges: Sequence[Exchange], stores: Sequence[Store]) -> None:
        self.counts.rounds += 1
        for sender, exchange in enumerate(exchanges):
            self.counts.bytes_sent[sender] += exchange.bytes_sent
            for out, neighbour, back in (
                (exchange.to_nxt, (sender + 1) % 3, exchanges[(sender + 1) % 3].from_prv),
                (exchange.to_prv, (sender - 1) % 3, exchanges[(sender - 1) % 3].from_nxt),
            ):
                for sent, got in zip(out, back, strict=True):
                    stores[neighbour][got.array] = stores[sender][sent.array]


def fresh_keys() -> list[MaskKeys]:
    """The keys of a session, from the operating system: one for each pair of parties."""
    pairs = [os.urandom(MASK_KEY_BYTES) for _ in range(3)]  # pair p: parties p and p + 1
    return [MaskKeys(pairs[p], pairs[p - 1]) for p in range(3)]


def run_local(
    plans: Sequence[Plan],
    inputs: Sequence[Sequence[Any]],
    keys: Sequence[MaskKeys] | None = None,
    prf: str = AES,
    inside: bool = False,
) -> tuple[list[list[np.ndarray]], Counts]:
    """Run three parties. keys: only tests pass them, to compare executors. prf, inside: as in `compile_plans` and
    `masks.streams`: what draws the masks, and whether the segments do."""
    keys = keys or fresh_keys()
    hand = Hand()
    run = Run(plans, [streams(p, k, prf, inside) for p, k in zip(plans, keys, strict=True)], hand)
    held = run(inputs)
    return [[np.asarray(a) for a in arrays] for arrays in held], hand.counts
