"""What every channel must do (`jmpc/runtime/channel.py`), as rules that any channel can be put to.

What goes in: a function that connects parties by the channel. What comes out: nothing, or an AssertionError that names
the rule that does not hold.

    class Connected:                        # of one session
        channels: list[Channel]             # of each party, in order
        def lose(self, party): ...          # end a party as a crash would
        def close(self): ...

    check_channels(connect)                 # connect(deadline_s) -> Connected

The rules hold for any number of parties from two on; each connects anew. Those of deadlines wait for a short one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jmpc.errors import DeadlineError, FrameError, PartyError, PeerError
from jmpc.runtime.channel import ALIGNMENT_BYTES, ArraySpec, Channel
from jmpc.testing.conformance.rules import Rules, together

LONG_S = 30.0  # for what happens soon, but on a busy machine not at once: no rule waits for it to pass
SHORT_S = 0.2
# The same ones each time; and none is made smaller, since each that fails may wait for a deadline.
SOME_PLANS = settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
U8, U64 = np.dtype(np.uint8), np.dtype(np.uint64)
Shapes = Sequence[tuple[tuple[int, ...], str]]  # shape and dtype of each array of a message
Flows = Mapping[tuple[int, int], Shapes]  # by sender and receiver


class Connected(Protocol):
    """The channels of one session, and its end."""

    @property
    def channels(self) -> Sequence[Channel]: ...

    def lose(self, party: int) -> None:
        """End a party as a crash would; nothing of it answers any more."""
        ...

    def close(self) -> None: ...


Connect = Callable[[float], Connected]  # of the deadline in seconds for a peer within one round
CHANNELS: Rules[Connect] = Rules("a channel")


def check_channels(connect: Connect, only: Sequence[str] | None = None) -> None:
    """Put a channel to every rule of channels, or to those that `only` names. connect: connects parties for one
    session, two or more, given the deadline in seconds for a peer within one round. Raises AssertionError."""
    CHANNELS.run(connect, only)


@contextlib.contextmanager
def _open(connect: Connect, deadline_s: float | None = None) -> Generator[Connected]:
    connected = connect(LONG_S if deadline_s is None else deadline_s)
    try:
        yield connected
    finally:
        connected.close()


# --- one round


def _arrays(sender: int, receiver: int, shapes: Shapes) -> list[np.ndarray]:
    """Arrays whose content says who sent them to whom."""
    made = []
    for number, (shape, dtype) in enumerate(shapes):
        size = int(np.prod(shape, dtype=np.int64))
        made.append((np.arange(size) * 7 + 31 * sender + 5 * receiver + number).astype(dtype).reshape(shape))
    return made


def _specs(shapes: Shapes) -> list[ArraySpec]:
    return [(shape, np.dtype(dtype)) for shape, dtype in shapes]


def _round(channel: Channel, round_no: int, flows: Flows) -> bool:
    """One party's part in a round; True if all that came is right."""
    me = channel.party
    sends = {to: _arrays(me, to, shapes) for (sender, to), shapes in flows.items() if sender == me}
    wants = {sender: shapes for (sender, to), shapes in flows.items() if to == me}
    got = channel.exchange(round_no, sends, {peer: _specs(shapes) for peer, shapes in wants.items()})
    assert set(got) == set(wants), f"arrays from {sorted(got)}, and {sorted(wants)} were to send"
    for peer, shapes in wants.items():
        _compare(got[peer], _arrays(peer, me, shapes))
    return True


def _compare(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> None:
    assert len(got) == len(wanted), f"{len(got)} arrays, and {len(wanted)} were sent"
    for have, want in zip(got, wanted, strict=True):
        assert (have.shape, have.dtype) == (want.shape, want.dtype), "another shape or dtype than was sent"
        assert have.size == 0 or have.ctypes.data % ALIGNMENT_BYTES == 0, f"not aligned to {ALIGNMENT_BYTES} bytes"
        np.testing.assert_array_equal(have, want)


def _all(connected: Connected, task: Callable[[Channel], object]) -> list[object]:
    """What each party's task gave, run at once."""
    return together([lambda c=c: task(c) for c in connected.channels])


def _right(ends: Sequence[object]) -> None:
    """Every party was content."""
    for party, end in enumerate(ends):
        if isinstance(end, BaseException):
            raise AssertionError(f"party {party}: {type(end).__name__}: {end}") from end
        assert end is True, f"party {party} is not content"


def _ways(connected: Connected) -> list[tuple[int, int]]:
    parties = range(len(connected.channels))
    return [(a, b) for a in parties for b in parties if a != b]


def _one_way(connected: Connected, task: Callable[[Channel], object], party: int) -> object:
    """The end of one party, the others doing their part."""
    return _all(connected, task)[party]


def _names(end: object, kind: type[PartyError], party: int, round_no: int, peer: int) -> None:
    """The error is of this kind, and names its place."""
    assert isinstance(end, kind), f"{end!r}, and not a {kind.__name__}"
    found = (end.party, end.phase, end.round, end.peer)
    wanted = (party, "run", round_no, peer)
    assert found == wanted, f"the error names party, phase, round, peer {found}, not {wanted}"


# --- what arrives


_SHAPE = st.lists(st.integers(0, 5), max_size=3).map(tuple)
_MESSAGE = st.lists(st.tuples(_SHAPE, st.sampled_from(["u1", "u2", "u4", "u8"])), max_size=4)


@CHANNELS.rule
def any_plan_delivers_every_array_in_order(connect: Connect) -> None:
    """Whatever is exchanged, in any directions, arrives as it was sent, aligned, round by round."""
    with _open(connect) as connected:
        ways = _ways(connected)
    rounds = st.lists(st.fixed_dictionaries(dict.fromkeys(ways, _MESSAGE)), min_size=1, max_size=4)

    @SOME_PLANS
    @given(plan=rounds)
    def delivered(plan: list[dict[tuple[int, int], Any]]) -> None:
        with _open(connect) as connected:
            _right(_all(connected, lambda c: all(_round(c, n, flows) for n, flows in enumerate(plan))))

    delivered()


@CHANNELS.rule
def large_messages_flow_both_ways_on_all_links_at_once(connect: Connect) -> None:
    """Far more than sockets hold: a channel that sends all before it reads would never end."""
    big: Shapes = [((3_000_001,), "u1"), ((2, 300_000), "u8"), ((5,), "u4")]
    with _open(connect) as connected:
        flows = {way: big if way[0] < way[1] else big[::-1] for way in _ways(connected)}
        _right(_all(connected, lambda c: all(_round(c, n, flows) for n in range(2))))


@CHANNELS.rule
def one_direction_alone_and_an_array_that_is_not_contiguous(connect: Connect) -> None:
    """A round in which one party sends and nobody answers; what is sent may be a view with strides."""
    source = np.arange(12, dtype=np.uint64).reshape(3, 4).T

    def party(channel: Channel) -> object:
        sends = {1: [source]} if channel.party == 0 else {}
        got = channel.exchange(0, sends, {0: [(source.shape, U64)]} if channel.party == 1 else {})
        if channel.party == 1:
            np.testing.assert_array_equal(got[0][0], source)
        return True

    with _open(connect) as connected:
        _right(_all(connected, party))


@CHANNELS.rule
def a_fast_party_may_run_ahead(connect: Connect) -> None:
    """Messages of later rounds wait, and do not disturb the round at hand."""
    ahead = threading.Event()

    def party(channel: Channel) -> object:
        if channel.party == 1:
            assert ahead.wait(LONG_S), "party 0 does not get ahead of who has not begun"
        for n in range(20):
            sends = {1: [np.full(3, n, np.uint64)]} if channel.party == 0 else {}
            got = channel.exchange(n, sends, {0: [((3,), U64)]} if channel.party == 1 else {})
            if channel.party == 1:
                np.testing.assert_array_equal(got[0][0], np.full(3, n, np.uint64))
        if channel.party == 0:
            ahead.set()
        return True

    with _open(connect) as connected:
        _right(_all(connected, party))


@CHANNELS.rule
def received_arrays_are_the_callers(connect: Connect) -> None:
    """They may be written to, and later rounds do not touch them."""

    def party(channel: Channel) -> object:
        kept = []
        for n in range(4):
            sends = {1: [np.full(4, n, np.uint64)]} if channel.party == 0 else {}
            got = channel.exchange(n, sends, {0: [((4,), U64)]} if channel.party == 1 else {})
            kept += got[0] if channel.party == 1 else []
        for n, array in enumerate(kept):
            assert array.flags.writeable, "not writable"
            np.testing.assert_array_equal(array, np.full(4, n, np.uint64))
        return True

    with _open(connect) as connected:
        _right(_all(connected, party))


@CHANNELS.rule
def sent_arrays_are_the_callers_again(connect: Connect) -> None:
    """Once a round is over its sender may write over what it sent: the peer has what was sent."""
    written = threading.Event()

    def party(channel: Channel) -> object:
        array = np.full(4, 7, np.uint64)
        if channel.party == 1:
            assert written.wait(LONG_S), "party 0 does not end a round in which it only sends"
        sends = {1: [array]} if channel.party == 0 else {}
        got = channel.exchange(0, sends, {0: [((4,), U64)]} if channel.party == 1 else {})
        array[:] = 9
        if channel.party == 0:
            written.set()
        if channel.party == 1:
            np.testing.assert_array_equal(got[0][0], np.full(4, 7, np.uint64))
        return True

    with _open(connect) as connected:
        _right(_all(connected, party))


@CHANNELS.rule
def traffic_counts_payload_and_rounds_exactly(connect: Connect) -> None:
    """`traffic` counts the calls of exchange, and by peer the bytes of the arrays alone."""
    with _open(connect) as connected:
        ways = _ways(connected)
        up: Shapes = [((3,), "u8"), ((5,), "u1")]
        plan: list[tuple[int, Flows]] = [
            (0, {way: up for way in ways if way[0] < way[1]}),
            (1, {}),
            (7, {way: [((300_000,), "u8")] if way[0] < way[1] else [((2,), "u2")] for way in ways}),
        ]
        _right(_all(connected, lambda c: all(_round(c, n, flows) for n, flows in plan)))
        for me, channel in enumerate(connected.channels):
            sizes = {peer: (2_400_029, 4) if me < peer else (4, 2_400_029) for sender, peer in ways if sender == me}
            traffic = channel.traffic
            assert traffic.rounds == len(plan), f"{traffic.rounds} rounds, not {len(plan)}"
            assert traffic.sent_to == Counter({p: sent for p, (sent, _) in sizes.items()}), "bytes sent are miscounted"
            assert traffic.received_from == Counter({p: got for p, (_, got) in sizes.items()}), "bytes received are"
            assert traffic.sent == sum(sent for sent, _ in sizes.values())


# --- what is refused


@CHANNELS.rule
def round_numbers_must_grow(connect: Connect) -> None:
    """A round that is not later than the last one, or too large for a frame, is a FrameError."""
    for round_no in (3, 2, -1, 2**32):
        with _open(connect) as connected:
            channel = connected.channels[0]
            channel.exchange(3, {}, {})
            _raises(FrameError, lambda c=channel, n=round_no: c.exchange(n, {}, {}))
            _raises(PeerError, lambda c=channel: c.exchange(9, {}, {}))


@CHANNELS.rule
def another_round_number_at_the_peer_is_refused(connect: Connect) -> None:
    """What was sent in another round is a FrameError at its receiver, which names party, round and peer."""

    def party(channel: Channel) -> object:
        sends = {1: [np.zeros(1, U8)]} if channel.party == 0 else {}
        return channel.exchange(1 - min(channel.party, 1), sends, {0: [((1,), U8)]} if channel.party == 1 else {})

    with _open(connect) as connected:
        _names(_one_way(connected, party, 1), FrameError, 1, 0, 0)


@CHANNELS.rule
def another_length_at_the_peer_is_refused(connect: Connect) -> None:
    """A message that is longer or shorter than what its receiver expects is a FrameError there."""
    for sent, expected in ((9, 8), (8, 9)):

        def party(channel: Channel, sent: int = sent, expected: int = expected) -> object:
            sends = {1: [np.zeros(sent, U8)]} if channel.party == 0 else {}
            return channel.exchange(0, sends, {0: [((expected,), U8)]} if channel.party == 1 else {})

        with _open(connect) as connected:
            _names(_one_way(connected, party, 1), FrameError, 1, 0, 0)


@CHANNELS.rule
def objects_cannot_travel(connect: Connect) -> None:
    """An array of Python objects is a TypeError: nothing is pickled."""
    with _open(connect) as connected:
        _raises(TypeError, lambda: connected.channels[0].exchange(0, {1: [np.array([object()])]}, {}))


# --- how it ends


@CHANNELS.rule
def a_lost_peer_ends_a_round_that_waits_for_it(connect: Connect) -> None:
    """Whoever waits for a party that is gone gets a PeerError, before the deadline, that names it."""
    for early in (True, False):
        with _open(connect) as connected:
            last, others = len(connected.channels) - 1, connected.channels[:-1]

            def lose(connected: Connected = connected, last: int = last) -> bool:
                end = time.monotonic() + LONG_S
                while any(c.round_no < 0 for c in connected.channels[:-1]) and time.monotonic() < end:
                    time.sleep(0.005)
                connected.lose(last)
                return True

            if early:
                connected.lose(last)
            waits = [lambda c=c, p=last: c.exchange(0, {}, {p: [((8,), U8)]}) for c in others]
            ends = together([*waits, *([] if early else [lose])])
            for party, end in enumerate(ends[: len(others)]):
                _names(end, PeerError, party, 0, last)


@CHANNELS.rule
def a_silent_peer_meets_the_deadline(connect: Connect) -> None:
    """A peer that sends nothing is a DeadlineError, which names it and the round."""
    with _open(connect, SHORT_S) as connected:
        last = len(connected.channels) - 1
        end = _raises(DeadlineError, lambda: connected.channels[0].exchange(5, {}, {last: [((8,), U8)]}))
        _names(end, DeadlineError, 0, 5, last)


@CHANNELS.rule
def a_channel_is_closed_by_its_first_error(connect: Connect) -> None:
    """After an error every call is a PeerError: nothing goes on in a session that failed."""
    with _open(connect, SHORT_S) as connected:
        channel = connected.channels[0]
        _raises(DeadlineError, lambda: channel.exchange(0, {}, {1: [((8,), U8)]}))
        _raises(PeerError, lambda: channel.exchange(1, {}, {}))


def _raises(kind: type[Exception], call: Callable[[], object]) -> Exception:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} is raised")
