"""What every channel must do, run on the one in memory and on the one over the network."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jmpc.errors import DeadlineError, FrameError, PeerError
from jmpc.runtime.channel import ALIGNMENT_BYTES, Channel, Traffic
from jmpc.runtime.memory import memory_channels

from .helpers import LONG_S, NetworkTrio, around, together, until


class MemoryTrio:
    def __init__(self, deadline_s: float) -> None:
        self.channels = memory_channels(deadline_s)

    def lose(self, party: int) -> None:
        self.channels[party].close()

    def close(self) -> None:
        for channel in self.channels:
            channel.close()


TRIOS = {"memory": MemoryTrio, "network": NetworkTrio}
CALM = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
U8 = np.dtype(np.uint8)
U64 = np.dtype(np.uint64)


@pytest.fixture(params=sorted(TRIOS))
def trio(request: pytest.FixtureRequest) -> Iterator[MemoryTrio | NetworkTrio]:
    made = TRIOS[request.param](LONG_S)
    yield made
    made.close()


@pytest.fixture(params=sorted(TRIOS))
def hasty(request: pytest.FixtureRequest) -> Iterator[MemoryTrio | NetworkTrio]:
    """A trio with a short deadline."""
    made = TRIOS[request.param](0.2)
    yield made
    made.close()


def specs(arrays: list[np.ndarray]) -> list[tuple[tuple[int, ...], np.dtype]]:
    return [(array.shape, array.dtype) for array in arrays]


def pieces(party: int, to: int, shapes: list[tuple[tuple[int, ...], str]]) -> list[np.ndarray]:
    """Arrays whose content says who sent them to whom."""
    made = []
    for index, (shape, dtype) in enumerate(shapes):
        size = int(np.prod(shape, dtype=np.int64))
        made.append((np.arange(size) * 7 + 31 * party + 5 * to + index).astype(dtype).reshape(shape))
    return made


def one_round(channel: Channel, round_no: int, nxt: list, prv: list) -> bool:
    """All parties send `nxt` shapes to the next and `prv` shapes to the previous party; True if all is right."""
    me = channel.party
    after, before = (me + 1) % 3, (me - 1) % 3
    got_nxt, got_prv = around(
        channel,
        round_no,
        pieces(me, after, nxt),
        pieces(me, before, prv),
        specs(pieces(after, me, prv)),
        specs(pieces(before, me, nxt)),
    )
    for got, wanted in ((got_nxt, pieces(after, me, prv)), (got_prv, pieces(before, me, nxt))):
        assert len(got) == len(wanted)
        for have, want in zip(got, wanted, strict=True):
            assert have.dtype == want.dtype
            assert have.shape == want.shape
            assert have.size == 0 or have.ctypes.data % ALIGNMENT_BYTES == 0
            np.testing.assert_array_equal(have, want)
    return True


shapes = st.lists(
    st.tuples(st.lists(st.integers(0, 5), max_size=3).map(tuple), st.sampled_from(["u1", "u2", "u4", "u8"])), max_size=4
)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=CALM)
@given(plan=st.lists(st.tuples(shapes, shapes), min_size=1, max_size=4))
def test_any_plan_delivers_every_array_in_order(trio: MemoryTrio | NetworkTrio, plan: list) -> None:
    first = max(channel.round_no for channel in trio.channels) + 1

    def party(channel: Channel) -> bool:
        return all(one_round(channel, first + index, nxt, prv) for index, (nxt, prv) in enumerate(plan))

    assert together([lambda c=c: party(c) for c in trio.channels]) == [True] * 3


def test_large_messages_both_ways_on_all_links_at_once(trio: MemoryTrio | NetworkTrio) -> None:
    """Far more than the sockets hold: a channel that sends before it reads would never end."""
    big = [((3_000_001,), "u1"), ((2, 300_000), "u8"), ((5,), "u4")]
    tasks = [lambda c=c: all(one_round(c, r, big, big[::-1]) for r in range(2)) for c in trio.channels]
    assert together(tasks) == [True] * 3


def test_traffic_counts_payload_and_rounds_exactly(trio: MemoryTrio | NetworkTrio) -> None:
    def party(channel: Channel) -> bool:
        one_round(channel, 0, [((3,), "u8"), ((5,), "u1")], [])
        one_round(channel, 1, [], [])
        return one_round(channel, 7, [((300_000,), "u8")], [((2,), "u2")])

    assert together([lambda c=c: party(c) for c in trio.channels]) == [True] * 3
    for channel in trio.channels:
        nxt, prv = (channel.party + 1) % 3, (channel.party - 1) % 3
        sent, received = Counter({nxt: 2_400_029, prv: 4}), Counter({nxt: 4, prv: 2_400_029})
        assert channel.traffic == Traffic(3, sent, received)
        assert channel.traffic.sent == 2_400_033


def test_one_direction_alone_and_a_strided_array(trio: MemoryTrio | NetworkTrio) -> None:
    source = np.arange(12, dtype=np.uint64).reshape(3, 4).T

    def party(channel: Channel) -> object:
        send = [source] if channel.party == 0 else []
        take = [(source.shape, U64)] if channel.party == 1 else []
        return around(channel, 0, send, [], [], take)[1]

    results = together([lambda c=c: party(c) for c in trio.channels])
    assert results[0] == results[2] == []
    np.testing.assert_array_equal(results[1][0], source)  # type: ignore[index]


def test_a_fast_party_may_run_ahead(trio: MemoryTrio | NetworkTrio) -> None:
    """Messages of later rounds wait; they are not mixed up with, nor do they disturb, the round at hand. Party 1 begins
    only when party 0 has sent all its messages."""
    ahead = threading.Event()

    def party(channel: Channel) -> object:
        if channel.party == 1:
            ahead.wait(LONG_S)
        for round_no in range(20):
            send = [np.full(3, round_no, np.uint64)] if channel.party == 0 else []
            take = [((3,), U64)] if channel.party == 1 else []
            got = around(channel, round_no, send, [], [], take)[1]
            if take:
                np.testing.assert_array_equal(got[0], np.full(3, round_no, np.uint64))
        if channel.party == 0:
            ahead.set()
        return True

    assert together([lambda c=c: party(c) for c in trio.channels]) == [True] * 3


def test_received_arrays_are_the_callers(trio: MemoryTrio | NetworkTrio) -> None:
    """They are writable, and later rounds do not touch them."""

    def party(channel: Channel) -> object:
        kept = [around(channel, r, [np.full(4, r, np.uint64)], [], [], [((4,), U64)])[1][0] for r in range(3)]
        return [int(array[0]) for array in kept] == [0, 1, 2] and all(array.flags.writeable for array in kept)

    assert together([lambda c=c: party(c) for c in trio.channels]) == [True] * 3


@pytest.mark.parametrize("round_no", [3, 2, -1, 2**32])
def test_round_numbers_must_grow(trio: MemoryTrio | NetworkTrio, round_no: int) -> None:
    channel = trio.channels[0]
    around(channel, 3, [], [], [], [])
    with pytest.raises(FrameError, match="must grow"):
        around(channel, round_no, [], [], [], [])
    with pytest.raises(PeerError, match="closed"):
        around(channel, 9, [], [], [], [])


def test_another_round_number_at_the_peer_is_refused(trio: MemoryTrio | NetworkTrio) -> None:
    def party(channel: Channel) -> object:
        round_no = 1 if channel.party == 0 else 0
        send = [np.zeros(1, U8)] if channel.party == 0 else []
        take = [((1,), U8)] if channel.party == 1 else []
        return around(channel, round_no, send, [], [], take)

    _, result, _ = together([lambda c=c: party(c) for c in trio.channels])
    assert isinstance(result, FrameError)
    assert "round" in str(result)
    assert "party 1, phase run, round 0, peer party 0" in str(result)


def test_another_length_at_the_peer_is_refused(trio: MemoryTrio | NetworkTrio) -> None:
    def party(channel: Channel) -> object:
        send = [np.zeros(9, U8)] if channel.party == 0 else []
        take = [((8,), U8)] if channel.party == 1 else []
        return around(channel, 0, send, [], [], take)

    _, result, _ = together([lambda c=c: party(c) for c in trio.channels])
    assert isinstance(result, FrameError)
    assert "length" in str(result)


@pytest.mark.parametrize("when", ["before they wait", "once they are in the round"])
def test_a_lost_peer_ends_a_waiting_round(trio: MemoryTrio | NetworkTrio, when: str) -> None:
    def lose() -> None:
        until(lambda: trio.channels[0].round_no == trio.channels[1].round_no == 0)
        trio.lose(2)

    if when == "before they wait":
        trio.lose(2)
    take = [((8,), U8)]
    results = together(
        [
            lambda: around(trio.channels[0], 0, [], [], [], take),
            lambda: around(trio.channels[1], 0, [], [], take, []),
            *([lose] if when != "before they wait" else []),
        ]
    )
    for party, result in enumerate(results[:2]):
        assert isinstance(result, PeerError)
        assert f"party {party}, phase run, round 0, peer party 2" in str(result)


def test_a_silent_peer_meets_the_deadline(hasty: MemoryTrio | NetworkTrio) -> None:
    with pytest.raises(DeadlineError, match="party 2 did not answer") as caught:
        around(hasty.channels[0], 5, [], [], [], [((8,), U8)])
    assert "party 0, phase run, round 5, peer party 2" in str(caught.value)


def test_a_channel_is_closed_by_its_first_error(hasty: MemoryTrio | NetworkTrio) -> None:
    channel = hasty.channels[0]
    with pytest.raises(DeadlineError):
        around(channel, 0, [], [], [], [((8,), U8)])
    with pytest.raises(PeerError, match="closed"):
        around(channel, 1, [], [], [], [])


def test_objects_cannot_travel(trio: MemoryTrio | NetworkTrio) -> None:
    with pytest.raises(TypeError, match="objects"):
        around(trio.channels[0], 0, [np.array([object()])], [], [], [])
