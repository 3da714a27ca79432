"""Marker values through every error that can be provoked: nothing that a party writes holds them, or shares of them,
and what it says of two secrets is the same.

What goes in: nothing. What comes out: how many errors and files there were, and every place where a marker stands.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import jmpc
from jmpc.errors import PartyError
from jmpc.runtime.requests import NEVER
from jmpc.testing.faults.plan import FaultPlan
from tests.faults.processes import Processes
from tests.faults.scan import hits, needles, scan
from tests.service.raw_client import Call, RawClient, contents, encoded, kept, of_owner, soon

F = 18
MARKERS = (1234.56789, -987.654321, 31.41592653, -27.18281828)
OTHERS = (-4321.98765, 123.456789, -14.15926535, 82.81828459)
FAULTS = ("flip", "drop", "truncate", "splice", "replay", "reflect", "close")
# What several parties refuse at once: which of them is heard of first is chance.
RACES = {*FAULTS, "good", "kept", "shares 0", "shares 1", "shares 2"}

Said = list[tuple[str, Any, Any, Any, Any]]


@dataclass
class Counts:
    errors: int = 0
    files: int = 0
    words: int = 0
    wrong: list[str] = field(default_factory=list[str])


@jmpc.secure
def product(x: Any, y: Any) -> Any:
    return jnp.maximum(x @ y, 0.0)


@jmpc.secure(outputs=jmpc.SECRET)
def twice(x: Any) -> Any:
    return x * 2.0


@jmpc.secure(inputs={"x": "alice", "y": "bob"}, outputs="bob")
def for_bob(x: Any, y: Any) -> Any:
    return jnp.maximum(x @ y, 0.0)


class Canary:
    """One secret through all that may go wrong. shares: each word that was sent."""

    def __init__(self, house: Processes, numbers: tuple[float, ...]) -> None:
        self.house = house
        self.x = np.array(numbers, np.float64).astype(np.float32).reshape(2, 2)
        self.y = np.array(numbers[:2], np.float32).reshape(2, 1)
        self.shares: list[np.ndarray] = []
        self.said: Said = []

    def record(self, change: Callable[[int, list[np.ndarray]], list[np.ndarray]] | None = None) -> Any:
        def tamper(party: int, arrays: list[np.ndarray]) -> list[np.ndarray]:
            self.shares += [a.copy() for a in arrays]
            return change(party, arrays) if change else arrays

        return tamper

    def ask(self, name: str, client: RawClient, call: Call) -> None:
        """A call; its failures are kept, without what is another each time."""
        client.join(call)
        for party in range(3):
            kind, fields = client.answer(party, "done")
            if kind == "done":
                client.arrays(call.flow, party, fields["outputs"])
            else:
                self.said.append((name, party, fields["error"], fields["what"], fields["where"] + fields["why"]))

    def run(self, faults: Sequence[str]) -> None:
        alice, house = self.house.client, self.house
        flow, inputs = encoded(product, self.x, self.y)
        self.ask("good", alice, Call(flow, inputs, tamper=self.record()))
        self.ask("sizes", alice, Call(flow, inputs, tamper=self.record(lambda _, a: [b[:1] for b in a])))
        for at in range(3):
            change = self.record(lambda party, a, at=at: [b ^ np.uint64(party == at) for b in a])
            self.ask(f"shares {at}", alice, Call(flow, inputs, tamper=change))
        for kind in faults:
            house.injection.arm(FaultPlan.of(f"{kind}:1-0@2"))
            self.ask(kind, alice, Call(flow, inputs, tamper=self.record()))
            house.injection.disarm()
        self._wrong_fields(alice, flow, inputs)
        self._kept(alice)
        self._garbage(alice)
        house.wait()

    def _wrong_fields(self, alice: RawClient, flow: Any, inputs: Any) -> None:
        wrong: dict[str, Any] = {
            "program": "0" * 64,
            "sent": [0, 0],
            "stored": [[0, "nothing", 0, 0]],
            "keep": [["k", contents(flow, [0]), [0], NEVER]],
            "leave": [["l", contents(flow, [0], result=True), [0], NEVER]],
        }
        for name, value in wrong.items():
            call = Call(flow, inputs, tamper=self.record(), fields=lambda _, said, n=name, v=value: {**said, n: v})
            self.ask(name, alice, call)
        lonely, mine = encoded(for_bob, self.x, self.y)
        self.ask("lonely", alice, Call(lonely, of_owner(lonely, mine, "alice"), tamper=self.record()))

    def _kept(self, alice: RawClient) -> None:
        flow, inputs = encoded(twice, self.x)
        self.ask("kept", alice, Call(flow, inputs, keep=[kept(flow, "canary", [0])], tamper=self.record()))
        self.ask("kept badly", alice, Call(flow, inputs, keep=[kept(flow, "../up", [0])], tamper=self.record()))
        for kind, fields in [("describe", {"name": "nothing"}), ("fetch", {"name": "canary"})]:
            for party, (_, said) in enumerate(alice.answers(kind, fields, {"fetch": "result"}.get(kind, "described"))):
                self.said.append((kind, party, said.get("error"), said.get("what"), said.get("why")))

    def _garbage(self, alice: RawClient) -> None:
        """Words of the secret where a program, a chunk or a message should be."""
        raw = self.x.tobytes() + b" ".join(repr(float(v)).encode() for v in self.x.reshape(-1))
        for party, (kind, said) in enumerate(alice.answers("load", {"bytes": len(raw)}, "loaded", raw)):
            self.said.append(("load", party, said.get("error"), said.get("what"), said.get("why") if kind else ""))
        text = raw[16:]
        for party, (_, said) in enumerate(alice.answers("load", {"bytes": len(text)}, "loaded", text)):
            self.said.append(("load text", party, said.get("error"), said.get("what"), said.get("why")))
        for link in alice.links:
            link.send("chunk", {"part": 0, "bytes": len(raw)}, soon(), body=raw)
        for party, (_, said) in enumerate(alice.answers("commit", {"upload": b"u" * 16}, "stored")):
            self.said.append(("chunk", party, said.get("error"), said.get("what"), said.get("why")))
        for party in range(3):
            sock = alice.links[party]._sock
            sock.sendall(len(raw).to_bytes(4, "big") + raw)
            with suppress(PartyError):
                alice.links[party].receive(("failed",), soon())
            self.house.reconnect(party)


def differing(one: Said, other: Said) -> list[str]:
    """What was said of one secret and not of the other, but for what is chance."""
    sets = [{row for row in said if row[0] not in RACES} for said in (one, other)]
    return [f"said of one secret only: {row}" for row in sets[0] ^ sets[1]]


def run(folder: Path | None = None, faults: Sequence[str] = FAULTS) -> Counts:
    counts, cache = Counts(), os.environ.get("JMPC_CACHE_DIR")
    root = folder or Path(tempfile.mkdtemp())
    os.environ["JMPC_CACHE_DIR"] = str(root / "cache")
    try:
        with Processes(root, round_s=4.0, waiting_s=4.0) as house:
            told: list[Said] = []
            shares: list[np.ndarray] = []
            for numbers in (MARKERS, OTHERS):
                canary = Canary(house, numbers)
                canary.run(faults)
                told.append(canary.said)
                shares += canary.shares
            counts.errors = sum(map(len, told))
            counts.wrong += differing(told[0], told[1])
            house.errors.flush()
        wanted = needles((*MARKERS, *OTHERS), shares, F)
        counts.words = len(wanted)
        counts.wrong += [f"said: {needle!r}" for needle in hits(repr(told).encode(), wanted)]
        counts.files, found = scan([root], wanted)
        counts.wrong += found
    finally:
        os.environ.pop("JMPC_CACHE_DIR")
        if cache is not None:
            os.environ["JMPC_CACHE_DIR"] = cache
        if folder is None:
            shutil.rmtree(root)
    return counts
