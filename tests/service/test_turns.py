"""Parties that run one session at a time: nobody asks them for two at once, whatever their clients do, so that two such
parties never wait for each other."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.executors.engine import PartyEngine
from jmpc.service.letters import HAS
from jmpc.service.limits import Limits
from jmpc.service.peers import PeerLink
from jmpc.service.turns import Turns
from jmpc.testing.faults.injection import Injection, Way
from jmpc.testing.faults.relay import Relay
from tests.service.raw_client import Call, RawClient, encoded, of_owner
from tests.service.test_service import X, assert_works, relu_call
from tests.service.three import Three

CLIENTS, CALLS = 3, 4


@jmpc.secure
def scaled(x: Any) -> Any:
    return jnp.maximum(x, 3) * 2


class Lone(PartyEngine):
    """As the engine of a party on several hosts: a run has it from its first segment to its last. most: runs that were
    asked for at once."""

    one_at_a_time = True

    def __init__(self, party: int) -> None:
        super().__init__(party)
        self._turn, self._counting = threading.Lock(), threading.Lock()
        self.now = self.most = 0
        self.go = threading.Event()
        self.go.set()

    def run_placed(self, *arguments: Any) -> list[np.ndarray]:
        with self._counting:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            with self._turn:
                assert self.go.wait(60)
                return super().run_placed(*arguments)
        finally:
            with self._counting:
                self.now -= 1


@pytest.mark.parametrize("lone", [(1, 2), (0, 2)])
def test_no_party_is_asked_for_two_runs_at_once(tmp_path: Path, lone: tuple[int, ...]) -> None:
    engines = {party: Lone(party) for party in lone}
    relay, draw, lock = Relay(Injection()), random.Random(5), threading.Lock()

    def delay(way: Way, round_no: int) -> None:
        with lock:
            pause = draw.random() ** 4 * 0.02
        threading.Event().wait(pause)

    relay.watch = delay
    inputs = np.random.default_rng(5).integers(-9, 9, (CLIENTS * CALLS, 6)).astype(np.int32)
    names = [f"client-{n}" for n in range(CLIENTS)]
    with Three(tmp_path, names, Limits(waiting_s=60.0), 30.0, relay=relay, engines=engines.get) as three:

        def some(client: int) -> list[np.ndarray]:
            with RawClient(three, names[client]) as raw:
                rows = inputs[client * CALLS : (client + 1) * CALLS]
                calls = [Call(*encoded(scaled, row), label=f"call {n}") for n, row in enumerate(rows)]
                return [next(iter(raw.run(call).values())).astype(np.uint32).view(np.int32) for call in calls]

        with ThreadPoolExecutor(CLIENTS) as pool:
            found = np.concatenate(list(pool.map(some, range(CLIENTS))))
        served = [len(events.named("session finished")) for events in three.events]
        relay.watch = None
    relay.close()
    np.testing.assert_array_equal(found, np.maximum(inputs, 3) * 2)
    assert served == [CLIENTS * CALLS] * 3
    assert {party: engine.most for party, engine in engines.items()} == dict.fromkeys(lone, 1)


def test_the_next_run_waits_for_one_that_failed_elsewhere_and_goes_on(tmp_path: Path) -> None:
    """Party 1 is lost while party 2 computes: nothing begins before party 2 is done with that, and then it does."""
    engines: dict[int, Lone] = {2: Lone(2)}
    with Three(tmp_path, ["alice", "bob"], Limits(waiting_s=60.0), 60.0, engines=engines.get) as three:
        with RawClient(three, "alice") as alice:
            program = alice.load(relu_call().flow)
            engines[2].go.clear()
            alice.join(relu_call(), program=program)
            while not engines[2].now:  # it computes: the end of party 1 no longer keeps it from that
                threading.Event().wait(0.01)
            three.stop(1, 0.0)
            three.events[0].wait("session failed")
        three.start(1)
        three.wait()
        with RawClient(three, "bob") as bob:
            bob.join(relu_call(label="bob"), program=bob.load(relu_call().flow))
            for events in three.events:
                events.wait("session waiting", clients="bob")
            threading.Event().wait(0.5)  # in which it could begin
            assert [said["clients"] for said in three.events[0].named("session started")] == ["alice"]
            engines[2].go.set()
            assert [bob.answer(party, "done")[0] for party in range(3)] == ["done"] * 3
            assert engines[2].most == 1


def test_whose_turn_does_not_come_hears_who_is_not_done(tmp_path: Path) -> None:
    engines: dict[int, Lone] = {2: Lone(2)}
    with Three(tmp_path, ["alice", "bob"], Limits(waiting_s=4.0), 60.0, engines=engines.get) as three:
        with RawClient(three, "alice") as alice, RawClient(three, "bob") as bob:
            program = alice.load(relu_call().flow)
            engines[2].go.clear()
            alice.join(relu_call(), program=program)
            while not engines[2].now:
                threading.Event().wait(0.01)
            bob.join(relu_call(label="bob"), program=program)
            said = [bob.answer(party, "done")[1] for party in range(3)]
            engines[2].go.set()
        assert said[0]["why"] == "party 2 has not said that the session before is over there"
        assert [one["relayed"] for one in said] == [False, True, True]


def link(peer: int) -> PeerLink:
    nothing: Any = None
    return PeerLink(peer, b"", nothing, nothing, nothing, 1)


def test_a_session_is_awaited_until_all_who_run_it_alone_are_done() -> None:
    one, two, again = link(1), link(2), link(1)
    turns = Turns()
    turns.begin(b"a", [])
    assert turns.free
    turns.begin(b"b", [one, two])
    turns.over(b"c", one)
    assert turns.awaited == {1, 2}
    turns.over(b"b", one)
    turns.over(b"b", one)
    assert turns.awaited == {2}
    turns.lost(two)
    assert turns.free
    turns.begin(b"d", [again])
    turns.lost(one)  # whose place it took
    turns.over(b"d", one)
    assert not turns.free
    turns.over(b"d", again)
    assert turns.free


def test_what_was_said_of_a_call_over_a_link_that_ended_begins_nothing(tmp_path: Path) -> None:
    """Party 1 gave the call up as its links ended: party 0 awaits nobody for it, and goes on with others."""
    engines: dict[int, Lone] = {1: Lone(1)}
    both = jmpc.secure(lambda x, y: x + y, inputs={"x": "alice", "y": "bob"}, outputs="alice")
    flow, inputs = encoded(both, X, X)
    limits = Limits(waiting_s=60.0)
    with Three(tmp_path, ["alice", "bob", "carol"], limits, 60.0, engines=engines.get) as three, ExitStack() as stack:
        alice, bob, carol = (stack.enter_context(RawClient(three, name)) for name in ("alice", "bob", "carol"))
        program = alice.load(flow)
        alice.join(Call(flow, of_owner(flow, inputs, "alice")), program=program)
        ticket, call = bytes(16), Call(flow, of_owner(flow, inputs, "bob"))
        bob.join(call, [1], bob.load(flow), ticket)
        three.events[1].wait("session waiting")
        zero, one, two = three.services
        assert zero is not None
        assert one is not None
        assert two is not None
        (session,) = one.jobs._made._kept
        while [other.jobs._letters.who(session, HAS) for other in (zero, two)] != [{1}, {1}]:
            threading.Event().wait(0.01)
        for other in (zero, two):
            other.peers._end(other.peers.link(1), "it was cut")
        three.events[1].wait("session failed")
        three.wait()
        bob.join(call, [0, 2], program, ticket)
        kind, said = bob.answer(0, "done")
        assert (kind, said["what"]) == ("failed", "party 2 aborted the session")
        kind, said = bob.answer(2, "done")
        assert (kind, said["what"]) == ("failed", "party 1 aborted the session")
        assert_works(carol)
