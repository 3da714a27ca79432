"""One party a thread, over channels: the same bits and counts as the local executor, from the same keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

import jmpc
from jmpc import backends
from jmpc.compiler import Flow
from jmpc.errors import ProgramError
from jmpc.executors.engine import PartyEngine, program_text
from jmpc.executors.local import run_local
from jmpc.executors.run import Counts
from jmpc.ring.bits import unpack_host
from jmpc.runtime.memory import MemoryChannel, memory_channels
from tests.executors.programs import KEYS, PROGRAMS

NAMES = ("mlp", "product, k=32", "product, chacha20", "argmax", "bools", "sort", "loop")
Held = list[list[np.ndarray]]


class Recorder(backends.LocalBackend):
    """The local backend, with fixed keys; keeps what went in, what came out and what it cost."""

    flow: Flow
    inputs: Sequence[Sequence[Any]]
    held: Held
    counts: Counts

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[Held, Counts]:
        self.flow, self.inputs = flow, inputs
        self.held, self.counts = run_local(flow.placed(self.placement), inputs, KEYS)
        return self.held, self.counts


@pytest.fixture(scope="module", autouse=True)
def no_disk_cache() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JMPC_CACHE_DIR", "")
        yield


@cache
def recorded(name: str) -> Recorder:
    function, args, config = PROGRAMS[name]
    recorder = Recorder()
    with backends.use(recorder):
        got = jmpc.secure(function, config=config)(*args)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(function(*args)), strict=True):
        np.testing.assert_allclose(np.asarray(x, float), np.asarray(y, float), atol=0.1 if config.k == 32 else 1e-3)
    return recorder


@cache
def over_channels(name: str) -> tuple[Held, list[MemoryChannel]]:
    """Three engines, each in a thread, with the text that parties agree on."""
    one = recorded(name)
    text, channels = program_text(one.flow.share, one.flow.schedule), memory_channels(200.0)  # the others may compile

    def play(party: int) -> list[np.ndarray]:
        engine = PartyEngine(party)
        key = engine.load(text)
        engine.compile(key)
        return engine.run(key, channels[party], KEYS[party], [np.asarray(a) for a in one.inputs[party]])

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(play, range(3))), channels


@pytest.mark.parametrize("name", NAMES)
def test_every_party_holds_the_same_bits_as_in_the_local_executor(name: str) -> None:
    held, _ = over_channels(name)
    for found, expected in zip(held, recorded(name).held, strict=True):
        assert len(found) == len(expected) > 0
        for a, b in zip(found, expected, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_stated_before_is_what_was_sent(name: str) -> None:
    function, args, config = PROGRAMS[name]
    stated = jmpc.secure(function, config=config).lower(*args).cost()
    counts, (_, channels) = recorded(name).counts, over_channels(name)
    assert (counts.rounds, tuple(counts.bytes_sent)) == (stated.rounds, stated.bytes_sent)
    for party, channel in enumerate(channels):
        traffic = channel.traffic
        assert traffic.rounds == stated.rounds
        assert traffic.sent == stated.bytes_sent[party]
        assert traffic.received_from.total() == stated.bytes_received[party]
    assert sum(stated.bytes_sent) == sum(stated.bytes_received) == sum(stated.by_op.values())
    assert sum(stated.by_line.values()) == sum(stated.bytes_sent)


def test_three_processes_send_what_was_stated() -> None:
    with jmpc.processes():
        for name in ("product, k=32", "loop"):
            function, args, config = PROGRAMS[name]
            secure = jmpc.secure(function, config=config)
            secure(*args)
            stated, ran = secure.lower(*args).cost(), secure.last_run
            assert ran is not None
            assert (ran.executor, ran.rounds, ran.bytes_sent) == ("processes", stated.rounds, stated.bytes_sent)


def test_other_keys_give_other_bits_and_the_same_result() -> None:
    one = recorded("bools")
    held, _ = run_local(one.flow.placed(one.placement), one.inputs)
    for found, before in zip(zip(*held, strict=True), zip(*one.held, strict=True), strict=True):
        assert not np.array_equal(found[0], before[0])
        shown, wanted = (np.bitwise_xor.reduce(np.array(summands)) for summands in (found, before))
        np.testing.assert_array_equal(unpack_host(shown, (21,)), unpack_host(wanted, (21,)))


def test_pieces_that_do_not_fit_the_program_are_refused() -> None:
    one = recorded("bools")
    engine = PartyEngine(0)
    key = engine.load(program_text(one.flow.share, one.flow.schedule))
    pieces = [np.asarray(a) for a in one.inputs[0]]
    for bad in (pieces[:1], [*pieces, pieces[0]], [pieces[0], pieces[1].astype(np.uint32)], [pieces[0], pieces[1][:1]]):
        with pytest.raises(ProgramError, match="do not fit"):
            engine.run(key, None, KEYS[0], bad)


def test_a_party_that_the_family_does_not_have_refuses_the_program() -> None:
    one = recorded("bools")
    with pytest.raises(ProgramError, match=r"not for party 3(.|\n)*of 3 parties"):
        PartyEngine(3).load(program_text(one.flow.share, one.flow.schedule))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.partition("\nschedule ")[0],
        lambda text: text + "]",
        lambda text: text.replace("\nschedule [[", "\nschedule [[[-1,0,1],"),
        lambda text: text.replace("\nschedule ", "\nschedule {}"),
        lambda text: text.replace("msb", "is_negative", 1),
        lambda text: "program\n" + text,
    ],
)
def test_a_spoilt_text_is_refused(spoil: Any) -> None:
    one = recorded("bools")
    text = program_text(one.flow.share, one.flow.schedule)
    assert spoil(text) != text
    with pytest.raises(ProgramError):
        PartyEngine(1).load(spoil(text))
