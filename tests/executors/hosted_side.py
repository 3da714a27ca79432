"""A process of a party that has two: the head runs programs among three parties, and says what came of it; the follower
follows.

In: where the head listens, which process this is, and what to do. Out: lines of JSON, of the head.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jmpc
from jmpc.backends import pieces
from jmpc.errors import HostError, JMPCError, PeerError
from jmpc.executors.code_store import CodeStore
from jmpc.executors.engine import PartyEngine, program_text
from jmpc.executors.host_order import HostOrder
from jmpc.executors.hosted import Follower, HeadEngine
from jmpc.executors.hosts import Hosts, Word
from jmpc.executors.placement import Placement
from jmpc.executors.spread import OverHosts
from jmpc.runtime.memory import MemoryChannel, memory_channels
from tests.executors.programs import KEYS

OWN = 1  # the party that has two hosts
RNG = np.random.default_rng(7)
BIG = RNG.normal(size=(96, 96)).astype(np.float32)  # in parts
PROGRAMS: dict[str, tuple[Callable[..., Any], jmpc.Config]] = {
    "product and loop": (
        lambda x: lax.fori_loop(0, 2, lambda i, y: jnp.maximum(y @ x, 0.0) * 0.5, jnp.maximum(x @ x.T, 0.0)),
        jmpc.Config(),
    ),
    "masks inside": (lambda x: jnp.where(x > 0.25, x, -x).sum(0), jmpc.Config(prf="chacha20")),
}
PARTS: list[int] = []  # how many parts of an argument lie on this process, of how many there are
_CALL = OverHosts.__call__


def watched(self: OverHosts, *arguments: Any) -> Any:
    PARTS.extend(len(s.device_set) for s in self._shardings if not s.is_fully_replicated)
    return _CALL(self, *arguments)


def shared(name: str) -> tuple[str, list[list[np.ndarray]]]:
    """The text of a program, and what each party gets of its input."""
    body, config = PROGRAMS[name]
    function = jmpc.secure(body, config=config)
    lowered = function.lower(BIG)
    arrays = function.bind((BIG,), {}).arrays()
    inputs: dict[int, np.ndarray] = {}
    for owner in lowered.owners.values():
        inputs |= owner.supply([arrays[n] for n in owner.arguments]).inputs
    shares = pieces(lowered.flow, [inputs[n] for n in range(len(inputs))], None)
    return program_text(lowered.flow.share, lowered.flow.schedule), [list(mine) for mine in shares]


def run(engines: list[PartyEngine], text: str, shares: list[list[np.ndarray]], channels: Any) -> list[Any]:
    """What each party gets, or the error that it ends with."""

    def one(party: int) -> Any:
        try:
            key = engines[party].load(text)
            engines[party].compile(key)
            return engines[party].run(key, channels[party], KEYS[party], shares[party])
        except JMPCError as error:
            channels[party].close()
            return error

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(one, range(3)))


class Unplugged(MemoryChannel):
    """Loses its peers in the second round."""

    def exchange(self, round_no: int, sends: Any, receives: Any) -> Any:
        if round_no == 1:
            raise PeerError("party 2 was lost")
        return super().exchange(round_no, sends, receives)


def runs(hosts: Hosts, follower: int) -> None:
    """Programs on one host and on two; a run that a peer breaks off, and the next; a follower that is killed."""
    OverHosts.__call__ = watched  # type: ignore[method-assign]
    here = Placement.on(jax.local_devices()[:1])
    alone = [PartyEngine(party, here, CodeStore(folder=lambda: None)) for party in range(3)]
    several = HeadEngine(OWN, hosts)
    mixed = [several if party == OWN else alone[party] for party in range(3)]
    for name in PROGRAMS:
        text, shares = shared(name)
        expected = run(alone, text, shares, memory_channels())
        same(name, expected, run(mixed, text, shares, memory_channels()))
    channels = memory_channels()
    channels[OWN].__class__ = Unplugged
    failed(run(mixed, text, shares, channels)[OWN])
    same("after a run that broke off", expected, run(mixed, text, shares, memory_channels()))
    os.kill(follower, signal.SIGKILL)
    for _ in range(2):
        failed(run(mixed, text, shares, memory_channels())[OWN])


def stopped(hosts: Hosts, follower: int) -> None:
    """A follower that hangs."""
    hosts.say(Word.IDLE)
    os.kill(follower, signal.SIGSTOP)
    hosts.order = replace(hosts.order, deadline_s=2.0)
    for _ in range(2):
        try:
            hosts.say(Word.IDLE)
        except HostError as error:
            failed(error)


def ended(hosts: Hosts, follower: int) -> None:
    HeadEngine(OWN, hosts).close()


def same(name: str, expected: list[Any], got: list[Any]) -> None:
    pairs = [(x, y) for mine, others in zip(expected, got, strict=True) for x, y in zip(mine, others, strict=True)]
    differ = sum(not np.array_equal(x, y) for x, y in pairs)
    say(name=name, arrays=len(pairs), differ=differ, parts=max(PARTS))


def failed(error: JMPCError) -> None:
    say(error=type(error).__name__, what=error.what, where=error.where, why=error.why)


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    address, index, what = sys.argv[1:]
    hosts = Hosts.join(HostOrder(address, 2, int(index)))
    if int(index) == 0:
        {"runs": runs, "stopped": stopped, "ended": ended}[what](hosts, int(input()))
        sys.stdout.flush()
        os._exit(0)  # without waiting for a follower that is no more
    Follower(hosts).follow()
    say(followed="to the end")


if __name__ == "__main__":
    main()
