"""Inputs of a call as arrays, and as keys that a party draws them from: the same values, and no key too many."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jmpc
from jmpc import families
from jmpc.compiler import Flow
from jmpc.config import Config
from jmpc.errors import ArgumentError
from jmpc.executors.engine import PartyEngine, program_text
from jmpc.executors.sharing import Seeds, layout
from jmpc.families import sharing
from jmpc.ir.types import PUBLIC
from jmpc.owner import Dealing, dealt_by_keys
from jmpc.party.program import input_type
from jmpc.ring.element import Ring
from jmpc.service.inputs import Inputs
from jmpc.service.library import Ready
from jmpc.service.limits import Limits
from tests.families.dealer2 import DEALER2
from tests.service.raw_client import Call, RawClient, encoded, numbers, soon
from tests.service.three import Three

X, Y = np.array([1.5, -2.0], np.float32), np.array([[0.25, 4.0]], np.float32)
FLAGS = np.array([True, False, True])


@jmpc.secure(public=["scale"])
def mixed(x: Any, scale: Any, flags: Any, ys: Any) -> Any:
    return jnp.where(flags, x.sum() * scale, ys.sum())


@jmpc.secure
def relu_product(x: Any, y: Any) -> Any:
    return jnp.maximum(x * y, 0.0)


@jmpc.secure(config=Config(protocol=DEALER2.name))
def dealt(x: Any, y: Any) -> Any:
    return x + y


@jmpc.secure(config=Config(k=32, f=8))
def narrow(x: Any, flags: Any) -> Any:
    return jnp.where(flags[0], x, -x)


CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "numbers, bits, a public one": (mixed, (X, np.float32(2), FLAGS, Y)),
    "two holders of one summand each": (dealt, (X, X)),
    "32 bits": (narrow, (X, FLAGS)),
    "scalars and nothing": (relu_product, (np.float32(3), np.zeros((0,), np.float32))),
    "many words": (relu_product, (np.linspace(-5, 5, 70_001, dtype=np.float32), np.float32(0.5))),
}


def ready(flow: Flow, party: int) -> Ready:
    text = program_text(flow.share, flow.schedule)
    engine = PartyEngine(party)
    program = engine.load(text)
    return Ready(program, engine.programs[program], engine.placed[program])


def rows(dealing: Dealing, party: int) -> list[tuple[str, int, bytes]]:
    return [(form, n, key) for (form, n), key in dealing.keys[party].items()]


def reader(arrays: list[np.ndarray]) -> Callable[..., np.ndarray]:
    left = iter(arrays)

    def read(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        array = next(left)
        assert (array.shape, array.dtype) == (shape, dtype)
        return array

    return read


def taken(flow: Flow, dealing: Dealing, sent: list[int]) -> list[dict[int, list[np.ndarray]]]:
    """By party, the arrays of each input."""
    found = []
    for party, arrays in enumerate(dealing.arrays):
        size = sum(a.nbytes for a in arrays)
        inputs = Inputs(ready(flow, party), sent, rows(dealing, party), size)
        found.append(inputs.take(reader(list(arrays))))
        assert inputs.bytes == sum(a.nbytes for mine in found[-1].values() for a in mine)
    return found


@pytest.mark.parametrize("case", CASES)
def test_what_parties_draw_and_get_is_worth_the_inputs(case: str) -> None:
    function, arguments = CASES[case]
    flow, inputs = encoded(function, *arguments)
    family, ring = families.of(flow.config), Ring(flow.config.k)
    dealing = dealt_by_keys(flow, inputs)
    held = taken(flow, dealing, list(inputs))
    for n, x in inputs.items():
        t = input_type(flow.share.body.params[n].type)
        pieces = [mine[n] for mine in held]
        if t.visibility == PUBLIC:
            assert all(np.array_equal(got, x) for (got,) in pieces)
        else:
            summands = sharing.summands_of(pieces, family.form(t))  # which compares the copies
            assert np.array_equal(sharing.opened(summands, t, ring), x)
    sent = [
        16 * len(keys) + sum(a.nbytes for a in mine) for keys, mine in zip(dealing.keys, dealing.arrays, strict=True)
    ]
    assert function.lower(*arguments).cost().upload_bytes == tuple(sent)


def test_the_keys_of_each_owner_are_counted() -> None:
    function = jmpc.secure(lambda x, y: x * y, inputs={"x": "alice", "y": "bob"}, outputs="alice")
    flow, inputs = encoded(function, X, X)
    dealings = [dealt_by_keys(flow, {n: x}) for n, x in inputs.items()]
    sent = [
        sum(16 * len(d.keys[party]) + sum(a.nbytes for a in d.arrays[party]) for d in dealings) for party in range(3)
    ]
    assert function.lower(X, X).cost().upload_bytes == tuple(sent)


def test_of_three_parties_one_gets_keys_alone() -> None:
    flow, inputs = encoded(relu_product, X, X)
    dealing = dealt_by_keys(flow, inputs)
    assert [len(keys) for keys in dealing.keys] == [2, 1, 1]
    assert [len(arrays) for arrays in dealing.arrays] == [0, 2, 2]
    assert [sum(a.nbytes for a in arrays) for arrays in dealing.arrays] == [0, 32, 32]


def test_no_party_gets_the_key_of_a_summand_that_it_does_not_hold() -> None:
    for function, arguments in CASES.values():
        flow, inputs = encoded(function, *arguments)
        family = families.of(flow.config)
        for party, keys in enumerate(dealt_by_keys(flow, inputs).keys):
            assert all(n in family.forms[form].holds[party] for form, n in keys)


def test_keys_are_new_each_time_and_no_two_are_the_same() -> None:
    flow, inputs = encoded(mixed, X, np.float32(2), FLAGS, Y)
    found = [dealt_by_keys(flow, inputs).keys for _ in range(20)]
    each = [dict(item for keys in parties for item in keys.items()) for parties in found]
    assert all(len(keys) == 4 for keys in each)  # two summands of numbers, and two of bits
    assert len({key for keys in each for key in keys.values()}) == 80


@given(st.lists(st.tuples(st.sampled_from(["x", "flags"]), st.integers(0, 40)), min_size=1, max_size=12))
def test_no_word_of_a_stream_is_for_two_inputs(sizes: list[tuple[str, int]]) -> None:
    flow, _ = encoded(mixed, X, np.float32(2), FLAGS, Y)
    made = {"x": flow.share.body.params[0].type, "flags": flow.share.body.params[3].type}
    assert (input_type(made["x"]).form, input_type(made["flags"]).form) == ("arith", "bits")
    types = [input_type(made[name]).with_(shape=(n,)) for name, n in sizes]
    family, ring = families.of(flow.config), Ring(64)
    starts, words = layout(family, ring, types)
    used: set[tuple[str, int]] = set()
    for t, start in zip(types, starts, strict=True):
        ((count,), _) = family.spec(t, ring)
        mine = {(t.form, word) for word in range(start, start + count)}
        assert start % 8 == 0
        assert not mine & used
        assert all(word < words[t.form] for _, word in mine)
        used |= mine


def test_seeds_do_not_show_their_keys() -> None:
    seeds = Seeds({("arith", 0): b"k" * 16}, {"arith": 8})
    assert repr(seeds) == "Seeds(of [('arith', 0)])"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda keys: [*keys, ("arith", 1, bytes(16))], "keys"),  # party 2 has 2 and 0
        (lambda keys: [*keys, ("arith", 2, bytes(16))], "keys"),  # it holds it, but that one is not drawn
        (lambda keys: [*keys, ("bits", 0, bytes(16))], "keys"),  # no input is of this form
        (lambda keys: [*keys, ("nothing", 0, bytes(16))], "keys"),
        (lambda keys: [*keys, *keys], "keys"),
        (lambda keys: [], "bytes"),  # then an array has to follow
    ],
)
def test_keys_are_those_of_the_party_and_of_the_program(change: Callable[[Any], Any], where: str) -> None:
    flow, inputs = encoded(relu_product, X, X)
    dealing = dealt_by_keys(flow, inputs)
    size = sum(a.nbytes for a in dealing.arrays[2])
    with pytest.raises(ArgumentError) as caught:
        Inputs(ready(flow, 2), list(inputs), change(rows(dealing, 2)), size)
    assert caught.value.where == where


# At a service.


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Generator[Three]:
    with Three(tmp_path_factory.mktemp("three"), ["alice", "bob"], limits=Limits(held=7000)) as found:
        yield found


def by_keys(
    flow: Flow, inputs: dict[int, np.ndarray], change: Callable[[int, Any], Any] = lambda party, keys: keys
) -> Call:
    """A call whose inputs go as keys where they can."""
    dealing = dealt_by_keys(flow, inputs)

    def fields(party: int, said: dict[str, Any]) -> dict[str, Any]:
        keys = [[form, n, change(party, key)] for form, n, key in rows(dealing, party)]
        return {**said, "keys": keys, "bytes": sum(a.nbytes for a in dealing.arrays[party])}

    return Call(
        flow, inputs, label=os.urandom(8).hex(), tamper=lambda party, _: list(dealing.arrays[party]), fields=fields
    )


def test_a_call_by_keys_gives_what_it_gives_by_arrays(three: Three) -> None:
    flow, inputs = encoded(relu_product, X, X)
    with RawClient(three, "alice") as alice:
        one, other = alice.run(by_keys(flow, inputs))[0], alice.run(Call(flow, inputs))[0]
    np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-4)
    np.testing.assert_allclose(numbers(one), np.maximum(X * X, 0), atol=1e-4)


@pytest.mark.parametrize("party", [0, 1, 2])
def test_another_key_at_one_party_is_noticed(three: Three, party: int) -> None:
    flow, inputs = encoded(relu_product, X, X)

    def change(at: int, key: bytes) -> bytes:
        return bytes([key[0] ^ 1]) + key[1:] if at == party else key

    with RawClient(three, "alice") as alice:
        call = by_keys(flow, inputs, change)
        alice.join(call)
        said = [fields for _, fields in alice.result(call)]
        assert any("other shares of an input" in one.get("what", "") for one in said), said
        alice.run(by_keys(flow, inputs))


def test_what_is_drawn_takes_room_as_what_is_sent_does(three: Three) -> None:
    """Two calls that wait for others, of keys alone at party 0."""
    lonely = jmpc.secure(lambda x, y: x + y, inputs={"x": "alice", "y": "bob"}, outputs="alice")
    flow, inputs = encoded(lonely, np.ones(200, np.float32), np.ones(200, np.float32))
    mine = {0: inputs[0]}
    with RawClient(three, "alice") as first, RawClient(three, "alice") as second:
        first.join(by_keys(flow, mine), parties=[0])
        first.links[0].receive(("progress",), soon())  # it waits
        second.join(by_keys(flow, mine), parties=[0])
        kind, said = second.answer(0, "done")
    assert kind == "failed"
    assert "too much waits" in said["what"]
    assert "3,200 of them" in said["why"]


def test_nothing_is_drawn_for_a_join_that_is_refused(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    lonely = jmpc.secure(lambda x, y: x + y, inputs={"x": "alice", "y": "bob"}, outputs="alice")
    flow, inputs = encoded(lonely, np.ones(20, np.float32), np.ones(20, np.float32))
    call, drawn = by_keys(flow, {1: inputs[1]}), list[object]()
    monkeypatch.setattr(Seeds, "array", lambda *which: drawn.append(which))
    with RawClient(three, "alice") as alice:
        alice.join(call)
        said = [fields for _, fields in alice.result(call)]
    assert {one["what"] for one in said} == {"the inputs of this call are not those of the client"}
    assert drawn == []
