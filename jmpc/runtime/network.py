"""The channel over the network: a bulk link to each peer, all driven by one poll loop in the caller's thread.

In: bound links to all peers, and a watch on the control links, over which a peer says that it gave up.
Out: rounds (see channel.Channel). This file makes no connection and reads no control message.
"""

from __future__ import annotations

import select
import time
from collections.abc import Mapping, Sequence
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

    def __init__(
        self, party: int, links: Mapping[int, BulkLink], deadline_s: float, watch: Watch | None = None
    ) -> None:
        self.party, self.traffic = party, Traffic()
        self.round_no = -1
        self._links, self._deadline_s = dict(links), deadline_s
        self._by_fd = {link.fd: peer for peer, link in links.items()}
        self._watch: Watch = watch or NoWatch()
        self._polls: dict[tuple[tuple[int, int], ...], select.poll] = {}
        self._closed = False

    def exchange(
        self,
        round_no: int,
        sends: Mapping[int, Sequence[np.ndarray]],
        receives: Mapping[int, Sequence[ArraySpec]],
    ) -> dict[int, list[np.ndarray]]:
        """Send and receive one round."""
        if self._closed:
            raise PeerError("the channel is closed", where=self._place(round_no, ""))
        try:
            return self._exchange(round_no, sends, receives)
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
        sends: Mapping[int, Sequence[np.ndarray]],
        receives: Mapping[int, Sequence[ArraySpec]],
    ) -> dict[int, list[np.ndarray]]:
        check_round(self.party, self.round_no, round_no)
        self.round_no = round_no
        links, count = self._links, self.traffic
        wants: dict[int, int] = {}
        sent: list[tuple[int, int]] = []
        received: list[tuple[int, int]] = []
        got: dict[int, list[np.ndarray]] = {}
        for peer, arrays in sends.items():
            sources, size = flat_bytes(arrays)
            if size:
                links[peer].begin_send(round_no, sources)
                wants[peer] = _OUT
                sent.append((peer, size))
        for peer, specs in receives.items():
            got[peer], targets, size = allocate(specs)
            if size:
                links[peer].begin_receive(round_no, targets)
                wants[peer] = wants.get(peer, 0) | _IN
                received.append((peer, size))
        if wants:
            self._move(round_no, wants)
        count.rounds += 1
        for peer, size in sent:
            count.sent_to[peer] += size
        for peer, size in received:
            count.received_from[peer] += size
        return got

    def _move(self, round_no: int, wants: dict[int, int]) -> None:
        """Pump all links until nothing is wanted any more; sends are tried before the first poll."""
        links = self._links
        for peer, want in list(wants.items()):
            if want & _OUT and links[peer].pump_send():
                _settle(wants, peer, want & ~_OUT)
        deadline = time.monotonic() + self._deadline_s
        while wants:
            key = tuple(wants.items())
            poll = self._polls.get(key) or self._make_poll(key)
            ready = poll.poll(max(0, int((deadline - time.monotonic()) * 1000)))
            for fd, events in ready:
                peer = self._by_fd.get(fd)
                if peer is None:
                    self._watch.check()
                else:
                    _settle(wants, peer, _pump(links[peer], wants[peer], events))
            if not ready and time.monotonic() >= deadline - 0.001:
                raise self._late(round_no, wants)

    def _late(self, round_no: int, wants: Mapping[int, int]) -> DeadlineError:
        late = [party_name(self._links[peer].peer) for peer in wants]
        return DeadlineError(
            f"{' and '.join(late)} did not answer in time",
            where=self._place(round_no, late[0]),
            why=f"no progress to the end of the round within {self._deadline_s:g} s",
        )

    def _make_poll(self, wants: tuple[tuple[int, int], ...]) -> select.poll:
        """A link that wants nothing is not polled: the next round's data on it must not wake this one."""
        poll = select.poll()
        for peer, events in wants:
            poll.register(self._links[peer].fd, events)
        for fd in self._watch.fds():
            poll.register(fd, _IN)
        self._polls[wants] = poll
        return poll

    def _place(self, round_no: int, peer: str) -> Place:
        return Place(party=self.party, phase="run", round_no=round_no, peer=peer)


def _settle(wants: dict[int, int], peer: int, left: int) -> None:
    if left:
        wants[peer] = left
    else:
        del wants[peer]


def _pump(link: BulkLink, wants: int, events: int) -> int:
    """Move what `events` allow; an error or a hang-up is found by trying. Returns what is still wanted."""
    trouble = events & ~(_IN | _OUT)
    if wants & _IN and (events & _IN or trouble) and link.pump_receive():
        wants &= ~_IN
    if wants & _OUT and (events & _OUT or trouble) and link.pump_send():
        wants &= ~_OUT
    return wants
