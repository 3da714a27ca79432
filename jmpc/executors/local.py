"""The local executor: all parties in this process, in lock step. A simulation: this process sees everything.

What goes in: the plans of all parties and what each party holds of the inputs. What comes out: what each holds of the
outputs, and the counted rounds and bytes. Messages are references to arrays; masks and segments are those of a real
run, so the results are the same bits as on the network from the same keys.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jmpc import families
from jmpc.executors.code_store import SHARED, CodeStore
from jmpc.executors.masks import streams
from jmpc.executors.run import Counts, Run, Store
from jmpc.executors.segment import Placed
from jmpc.ir.plan import Exchange
from jmpc.ring.keys import MASK_KEY_BYTES, MaskKeys


class Hand:
    """Hands arrays from party to party, and counts them."""

    def __init__(self, parties: int) -> None:
        self.counts = Counts(0, [0] * parties)

    def round(self, exchanges: Sequence[Exchange], stores: Sequence[Store]) -> None:
        self.counts.rounds += 1
        for sender, exchange in enumerate(exchanges):
            self.counts.bytes_sent[sender] += exchange.bytes_sent
            for receiver, messages in exchange.sends.items():
                for sent, got in zip(messages, exchanges[receiver].receives[sender], strict=True):
                    stores[receiver][got.array] = stores[sender][sent.array]


def fresh_keys(parties: int) -> list[MaskKeys]:
    """The keys of a session, from the operating system: one for each pair of parties."""
    held: list[dict[int, bytes]] = [{} for _ in range(parties)]
    for p, q in families.pairs(parties):
        held[p][q] = held[q][p] = os.urandom(MASK_KEY_BYTES)
    return [MaskKeys(keys) for keys in held]


def run_local(
    placed: Placed,
    inputs: Sequence[Sequence[Any]],
    keys: Sequence[MaskKeys] | None = None,
    store: CodeStore = SHARED,
) -> tuple[list[list[np.ndarray]], Counts]:
    """Run all parties. keys: only tests pass them, to compare executors. store: of compiled code."""
    plans = placed.plans
    keys = keys or fresh_keys(len(plans))
    hand = Hand(len(plans))
    drawn = [streams(p, k, placed.prf, placed.inside) for p, k in zip(plans, keys, strict=True)]
    held = Run(placed, store.code(placed), drawn, hand)(inputs)
    return [[np.asarray(a) for a in arrays] for arrays in held], hand.counts
