"""Who opens a result: of four clients the one that the program names, and only with the parts of all three parties."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

import jmpc
from jmpc.families import sharing
from jmpc.ring.element import Ring
from tests.service.raw_client import Call, RawClient, encoded, kept, numbers
from tests.service.three import Three

CLIENTS = ["alice", "bob", "carol", "dave"]
X = np.array([1.5, -2.0, 0.25, 3.0], np.float32)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RawClient]]:
    with Three(tmp_path_factory.mktemp("receivers"), CLIENTS) as three, ExitStack() as stack:
        yield {name: stack.enter_context(RawClient(three, name)) for name in CLIENTS}


def left_for(clients: dict[str, RawClient], supplier: str, receiver: str, name: str) -> Call:
    """A result that waits for its receiver. Who supplied the input is sent nothing."""
    function = jmpc.secure(lambda x: x * 3.0, inputs={"x": supplier}, outputs=receiver, owners=[receiver])
    flow, inputs = encoded(function, X)
    call = Call(flow, inputs, leave=[kept(flow, name, [0], result=True)])
    assert clients[supplier].run(call) == {}
    return call


def parts(receiver: RawClient, call: Call, name: str) -> list[list[np.ndarray]]:
    """What each party gives its receiver."""
    assert {kind for kind, _ in receiver.answers("fetch", {"name": name}, "result")} == {"result"}
    return [receiver.arrays(call.flow, party, [0])[0] for party in range(3)]


@pytest.mark.parametrize("receiver", CLIENTS)
def test_each_of_the_others_is_refused_by_each_party(clients: dict[str, RawClient], receiver: str) -> None:
    supplier, name = CLIENTS[CLIENTS.index(receiver) - 1], f"for {receiver}"
    call = left_for(clients, supplier, receiver, name)
    others = [client for client in CLIENTS if client != receiver]
    said = [answer for other in others for answer in clients[other].answers("fetch", {"name": name}, "result")]
    assert len(said) == 9
    assert {(kind, fields["error"]) for kind, fields in said} == {("failed", "RefusedError")}
    held = parts(clients[receiver], call, name)
    t, ring = call.flow.share.body.results[0].type, Ring(call.flow.config.k)
    np.testing.assert_allclose(numbers(sharing.opened([a for mine in held for a in mine], t, ring)), 3 * X, atol=1e-4)


def test_the_parts_of_two_parties_are_others_each_time(clients: dict[str, RawClient]) -> None:
    """They are masked anew: what one or two of the parties hold is no function of the result."""
    seen = []
    for number in range(20):
        name = f"again {number}"
        held = parts(clients["dave"], left_for(clients, "carol", "dave", name), name)
        arrays = [[a.view(np.uint64) for a in mine] for mine in held]
        alone = [np.concatenate(mine) for mine in arrays]
        sums = [sum(arrays[a] + arrays[b], np.zeros(4, np.uint64)) for a, b in itertools.combinations(range(3), 2)]
        seen.append([words.tobytes() for words in (*alone, *sums)])
    for of_runs in zip(*seen, strict=True):
        assert len(set(of_runs)) == len(of_runs)
