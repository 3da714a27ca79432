"""A channel that breaks one rule is found by that rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from jmpc.errors import DeadlineError, FrameError, PartyError
from jmpc.runtime.failure import Place
from jmpc.runtime.memory import MemoryChannel, memory_channels
from jmpc.testing import check_channels
from jmpc.testing.conformance import channels
from jmpc.testing.conformance.channels import CHANNELS
from jmpc.testing.conformance.rules import HANGS_S, Rules, together


class Wrapped:
    """A channel in memory with one fault."""

    def __init__(self, inner: MemoryChannel) -> None:
        self.inner, self.party, self.traffic = inner, inner.party, inner.traffic

    @property
    def round_no(self) -> int:
        return self.inner.round_no

    def exchange(self, round_no: int, sends: Mapping[int, Any], receives: Mapping[int, Any]) -> Any:
        return self.inner.exchange(round_no, sends, receives)

    def close(self) -> None:
        self.inner.close()


class Shifted(Wrapped):
    """Arrays that start anywhere."""

    def exchange(self, round_no, sends, receives):
        got = super().exchange(round_no, sends, receives)
        return {peer: [_moved(a) for a in arrays] for peer, arrays in got.items()}


def _moved(array: np.ndarray) -> np.ndarray:
    room = np.zeros(array.nbytes + 128, np.uint8)
    start = -room.ctypes.data % 64 + 8
    moved = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


class Reversed(Wrapped):
    """Arrays of a message in another order."""

    def exchange(self, round_no, sends, receives):
        got = super().exchange(round_no, sends, receives)
        return {peer: arrays[::-1] for peer, arrays in got.items()}


class Flat(Wrapped):
    """The memory of an array, whatever its strides."""

    def exchange(self, round_no, sends, receives):
        sends = {peer: [np.asarray(a).ravel("K").reshape(a.shape) for a in arrays] for peer, arrays in sends.items()}
        return super().exchange(round_no, sends, receives)


class Frozen(Wrapped):
    """Arrays that nobody may write to."""

    def exchange(self, round_no, sends, receives):
        got = super().exchange(round_no, sends, receives)
        for arrays in got.values():
            for array in arrays:
                array.flags.writeable = False
        return got


class OneBuffer(Wrapped):
    """The arrays of the round before, written over."""

    kept: np.ndarray | None = None

    def exchange(self, round_no, sends, receives):
        got = super().exchange(round_no, sends, receives)
        for peer, arrays in got.items():
            for n, array in enumerate(arrays):
                if self.kept is None or self.kept.shape != array.shape:
                    self.kept = array
                self.kept[...] = array
                got[peer][n] = self.kept
        return got


class Uncounted(Wrapped):
    """A round without bytes is none."""

    def exchange(self, round_no, sends, receives):
        got = super().exchange(round_no, sends, receives)
        if not any(map(len, (*sends.values(), *receives.values()))):
            self.traffic.rounds -= 1
        return got


class Renumbered(Wrapped):
    """Numbers of rounds are its own affair."""

    mine = -1

    @property
    def round_no(self) -> int:
        return self.mine

    def exchange(self, round_no, sends, receives):
        self.mine += 1
        return super().exchange(self.mine, sends, receives)


class Pickling(Wrapped):
    """Whatever is sent goes as text."""

    def exchange(self, round_no, sends, receives):
        sends = {p: [a.astype("S") if a.dtype.hasobject else a for a in arrays] for p, arrays in sends.items()}
        return super().exchange(round_no, sends, receives)


class Nameless(Wrapped):
    """Errors that name no peer."""

    def exchange(self, round_no, sends, receives):
        try:
            return super().exchange(round_no, sends, receives)
        except PartyError as error:
            where = Place(party=error.party, phase=error.phase, round_no=error.round)
            raise type(error)(error.what, where=where) from error


class Impatient(Wrapped):
    """Takes a lost peer for a late one."""

    def exchange(self, round_no, sends, receives):
        try:
            return super().exchange(round_no, sends, receives)
        except FrameError:
            raise
        except PartyError as error:
            raise DeadlineError(error.what, where=error.where) from error


class Untiring(Wrapped):
    """Goes on after an error."""

    failed = False

    def exchange(self, round_no, sends, receives):
        if self.failed:
            return {peer: [] for peer in receives}
        try:
            return super().exchange(round_no, sends, receives)
        except PartyError:
            self.failed = True
            raise


BROKEN: dict[type[Wrapped], str] = {
    Shifted: "any_plan_delivers_every_array_in_order",
    Reversed: "any_plan_delivers_every_array_in_order",
    Flat: "one_direction_alone_and_an_array_that_is_not_contiguous",
    Frozen: "received_arrays_are_the_callers",
    OneBuffer: "received_arrays_are_the_callers",
    Uncounted: "traffic_counts_payload_and_rounds_exactly",
    Renumbered: "round_numbers_must_grow",
    Pickling: "objects_cannot_travel",
    Nameless: "a_silent_peer_meets_the_deadline",
    Impatient: "a_lost_peer_ends_a_round_that_waits_for_it",
    Untiring: "a_channel_is_closed_by_its_first_error",
}


class Trio:
    """Channels of one kind."""

    def __init__(self, kind: Callable[[MemoryChannel], Wrapped], deadline_s: float) -> None:
        self.channels: Sequence[Wrapped] = [kind(c) for c in memory_channels(deadline_s)]

    def lose(self, party: int) -> None:
        self.channels[party].close()

    def close(self) -> None:
        for channel in self.channels:
            channel.close()


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_channel_that_breaks_a_rule_is_found(kind: type[Wrapped], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "LONG_S", 1.0)
    with pytest.raises(AssertionError, match=f"not what a channel must do: {BROKEN[kind]}\n  rule: "):
        check_channels(lambda deadline_s: Trio(kind, deadline_s), only=[BROKEN[kind]])


def test_every_rule_has_its_words() -> None:
    assert all(check.__doc__ for check in CHANNELS.checks.values())


def test_a_task_that_hangs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from jmpc.testing.conformance import rules

    assert HANGS_S > channels.LONG_S
    release = threading.Event()
    monkeypatch.setattr(rules, "HANGS_S", 0.05)
    with pytest.raises(AssertionError, match="hangs"):
        together([release.wait])
    release.set()


def test_a_rule_that_fails_says_what_it_asks_for() -> None:
    some: Rules[int] = Rules("a number")

    @some.rule
    def is_even(number: int) -> None:
        """It can be halved."""
        assert number % 2 == 0, f"{number} is odd"

    some.run(2)
    with pytest.raises(
        AssertionError, match=r"not what a number must do: is_even\n  rule: It can be halved.\n.*3 is odd"
    ):
        some.run(3)
