"""The channel over the network: two bulk links, driven by one poll loop in the caller's thread.

In: bound links to both peers, and a watch on the control links, over which a peer says that it gave up.
Out: rounds (see channel.Channel). This file makes no connection and reads no control message.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from jmpc.errors import DeadlineError, PeerError
from jmpc.runtime.channel import ArraySpec, Traffic, allocate, check_round, flat_bytes
from jmpc.runtime.failure import Place, party_name
from jmpc.runtime.links import BulkLink

_IN, _OUT = select.POLLIN, select.POLLOUT
_LAST_WORDS_S = 0.2  # a peer that gives up says why before it hangs up; its words may come a little later


class Watch(Protocol):
    """The control links of a session, seen while a round waits."""

    def fds(self) -> Sequence[int]:
        """The descriptors to poll."""
        ...

    def check(self, wait_s: float = 0.0) -> None:
        """Read what has come (waiting up to `wait_s` for it); raises if a peer or the driver gave up."""
        ...


class NoWatch:
    """No control links: for tests and benchmarks of the bulk path alone."""

    def fds(self) -> Sequence[int]:
        return ()

    def check(self, wait_s: float = 0.0) -> None: ...


class NetworkChannel:
    """A party's channel for one session; not thread-safe, and closed by its first error."""

    def __init__(self, party: int, nxt: BulkLink, prv: BulkLink, deadline_s: float, watch: Watch | None = None) -> None:
        self.party, self.traffic = party, Traffic()
        self.round_no = -1
        self._nxt, self._prv, self._deadline_s = nxt, prv, deadline_s
        self._watch: Watch = watch or NoWatch()
        self._polls: dict[tuple[int, int], select.poll] = {}
        self._closed = False

    def exchange(
        self,
        round_no: int,
        to_nxt: Sequence[np.ndarray],
        to_prv: Sequence[np.ndarray],
        from_nxt: Sequence[ArraySpec],
        from_prv: Sequence[ArraySpec],
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Send and receive one round."""
        if self._closed:
            raise PeerError("the channel is closed", where=self._place(round_no, ""))
        try:
            return self._exchange(round_no, to_nxt, to_prv, from_nxt, from_prv)
        except BaseException as exc:
            self._closed = True
            if type(exc) is PeerError:
                self._watch.check(wait_s=_LAST_WORDS_S)
            raise

    def close(self) -> None:
        """Use the links no more; their owner closes the sockets."""
        self._closed = True

    def _exchange(
        self,
        round_no: int,
        to_nxt: Sequence[np.ndarray],
        to_prv: Sequence[np.ndarray],
        from_nxt: Sequence[ArraySpec],
        from_prv: Sequence[ArraySpec],
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        check_round(self.party, self.round_no, round_no)
        self.round_no = round_no
        sources_nxt, sent_nxt = flat_bytes(to_nxt)
        sources_prv, sent_prv = flat_bytes(to_prv)
        got_nxt, targets_nxt, size_nxt = allocate(from_nxt)
        got_prv, targets_prv, size_prv = allocate(from_prv)
        if sent_nxt:
            self._nxt.begin_send(round_no, sources_nxt)
        if sent_prv:
            self._prv.begin_send(round_no, sources_prv)
        if size_nxt:
            self._nxt.begin_receive(round_no, targets_nxt)
        if size_prv:
            self._prv.begin_receive(round_no, targets_prv)
        nxt_wants = (_OUT if sent_nxt else 0) | (_IN if size_nxt else 0)
        prv_wants = (_OUT if sent_prv else 0) | (_IN if size_prv else 0)
        if nxt_wants or prv_wants:
            self._move(round_no, nxt_wants, prv_wants)
        count = self.traffic
        count.rounds += 1
        count.sent_nxt += sent_nxt
        count.sent_prv += sent_prv
        count.received_nxt += size_nxt
        count.received_prv += size_prv
        return got_nxt, got_prv

    def _move(self, round_no: int, nxt_wants: int, prv_wants: int) -> None:
        """Pump both links until nothing is wanted any more; sends are tried before the first poll."""
        nxt, prv = self._nxt, self._prv
        if nxt_wants & _OUT and nxt.pump_send():
            nxt_wants &= ~_OUT
        if prv_wants & _OUT and prv.pump_send():
            prv_wants &= ~_OUT
        deadline = time.monotonic() + self._deadline_s
        while nxt_wants or prv_wants:
            nxt_events, prv_events = self._wait(round_no, nxt_wants, prv_wants, deadline)
            if nxt_events:
                nxt_wants = _pump(nxt, nxt_wants, nxt_events)
            if prv_events:
                prv_wants = _pump(prv, prv_wants, prv_events)

    def _wait(self, round_no: int, nxt_wants: int, prv_wants: int, deadline: float) -> tuple[int, int]:
        poll = self._polls.get((nxt_wants, prv_wants)) or self._make_poll(nxt_wants, prv_wants)
        nxt_events = prv_events = 0
        ready = poll.poll(max(0, int((deadline - time.monotonic()) * 1000)))
        for fd, events in ready:
            if fd == self._nxt.fd:
                nxt_events = events
            elif fd == self._prv.fd:
                prv_events = events
            else:
                self._watch.check()
        if not ready and time.monotonic() >= deadline - 0.001:
            late = [party_name(link.peer) for link, wants in ((self._nxt, nxt_wants), (self._prv, prv_wants)) if wants]
            raise DeadlineError(
                f"{' and '.join(late)} did not answer in time",
                where=self._place(round_no, late[0]),
                why=f"no progress to the end of the round within {self._deadline_s:g} s",
            )
        return nxt_events, prv_events

    def _make_poll(self, nxt_wants: int, prv_wants: int) -> select.poll:
        """A link that wants nothing is not polled: the next round's data on it must not wake this one."""
        poll = select.poll()
        for link, wants in ((self._nxt, nxt_wants), (self._prv, prv_wants)):
            if wants:
                poll.register(link.fd, wants)
        for fd in self._watch.fds():
            poll.register(fd, _IN)
        self._polls[nxt_wants, prv_wants] = poll
        return poll

    def _place(self, round_no: int, peer: str) -> Place:
        return Place(party=self.party, phase="run", round_no=round_no, peer=peer)


def _pump(link: BulkLink, wants: int, events: int) -> int:
    """Move what `events` allow; an error or a hang-up is found by trying. Returns what is still wanted."""
    trouble = events & ~(_IN | _OUT)
    if wants & _IN and (events & _IN or trouble) and link.pump_receive():
        wants &= ~_IN
    if wants & _OUT and (events & _OUT or trouble) and link.pump_send():
        wants &= ~_OUT
    return wants
