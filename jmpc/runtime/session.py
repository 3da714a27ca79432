"""One session of one party: agree with all peers, make keys, run the engine, or give up together.

In: the control links to the peers and the driver, and what the driver asked for. Out: the engine's outputs
with the time and traffic they took, or a typed error that the peers were told of. This file talks
to the driver only to hear that it gave up; service.py does the rest.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jmpc.errors import HandshakeError, JMPCError, PartyError
from jmpc.ring.keys import MaskKeys
from jmpc.runtime.binding import Binder
from jmpc.runtime.channel import Traffic
from jmpc.runtime.control import ControlLink, wait_for
from jmpc.runtime.engine import Engine
from jmpc.runtime.failure import Place, completed, from_abort, from_engine, to_abort
from jmpc.runtime.handshake import Terms, require_equal, send_terms
from jmpc.runtime.keys import PairKeys, contribution, pair_keys
from jmpc.runtime.links import Staging
from jmpc.runtime.network import NetworkChannel

_ABORT_S = 1.0  # how long telling a peer of an abort may take


@dataclass
class Neighbourhood:
    """What a party keeps between sessions to reach the others."""

    party: int
    peers: dict[int, ControlLink]
    driver: ControlLink
    listener: socket.socket
    addresses: Sequence[tuple[str, int]]
    terms: Terms
    deadline_s: float
    bulk: dict[int, socket.socket] = field(default_factory=dict[int, socket.socket])
    staging: dict[int, Staging] = field(default_factory=dict[int, Staging])

    def __post_init__(self) -> None:
        self.staging = {peer: Staging() for peer in self.peers}

    def drop_bulk(self) -> None:
        """Close the bulk sockets: after a failure they may hold frames of a dead session."""
        for sock in self.bulk.values():
            sock.close()
        self.bulk.clear()


@dataclass(frozen=True)
class Outcome:
    """What a session gave: this party's outputs, the engine's time, the channel's counts."""

    outputs: list[np.ndarray] = field(repr=False)
    seconds: float
    traffic: Traffic


class Session:
    """One run of one program; also the watch on the control links while a round waits."""

    def __init__(self, here: Neighbourhood, epoch: int, session: bytes, program: str) -> None:
        self.epoch, self.phase, self.relayed = epoch, "input", False
        self._here = here
        self._terms = replace(here.terms, epoch=epoch, session=session, program=program)
        self._channel: NetworkChannel | None = None

    def run(self, engine: Engine, inputs: list[np.ndarray]) -> Outcome:
        """Handshake with all peers, then run the engine."""
        self._enter("handshake")
        keys = self._agree()
        here = self._here
        binder = Binder(here.party, self._terms.session, keys, here.bulk, time.monotonic() + here.deadline_s)
        links = binder.links(here.listener, here.addresses, here.staging)
        channel = self._channel = NetworkChannel(here.party, links, here.deadline_s, self)
        masks = MaskKeys({peer: pair.mask for peer, pair in keys.items()})
        self._enter("run")
        start = time.perf_counter()
        try:
            outputs = engine.run(self._terms.program, channel, masks, inputs)
        except JMPCError:
            raise
        except Exception as exc:
            raise from_engine(exc, Place(party=here.party, phase="run", round_no=self._round())) from exc
        finally:
            channel.close()
        return Outcome(outputs, time.perf_counter() - start, channel.traffic)

    def give_up(self, error: JMPCError) -> JMPCError:
        """End the session at the peers as well; returns the error with its place filled in."""
        done = completed(error, self._here.party, self.phase, self._round())
        for link in self._here.peers.values():
            if link.alive:
                try:
                    link.send("abort", to_abort(done, self.epoch), time.monotonic() + _ABORT_S)
                except PartyError:
                    link.alive = False  # It cannot be told; it will see the link end.
        self._here.drop_bulk()
        return done

    def fds(self) -> Sequence[int]:
        """The control links to poll while a round waits."""
        return [link.fd for link in self._watched()]

    def check(self, wait_s: float = 0.0) -> None:
        """Raise if a peer or the driver gave up or was lost; words of earlier sessions are dropped."""
        for link in wait_for(self._watched(), wait_s):
            self._read(link, ("abort",))

    def _watched(self) -> list[ControlLink]:
        return [link for link in (*self._here.peers.values(), self._here.driver) if link.alive]

    def _read(self, link: ControlLink, kinds: Sequence[str]) -> dict[str, Any] | None:
        """One message of this session; None if it was left over from an earlier one."""
        deadline = time.monotonic() + self._here.deadline_s
        kind, fields = link.receive(kinds, deadline)
        if fields["epoch"] < self.epoch:
            return None
        if kind == "abort" and fields["epoch"] == self.epoch:
            self.relayed = True
            raise from_abort(fields, self._here.party, link.peer)
        return fields

    def _agree(self) -> dict[int, PairKeys]:
        """Send an offer to every peer, compare theirs, derive the keys."""
        here = self._here
        mine = {peer: contribution() for peer in here.peers}
        for peer, link in here.peers.items():
            deadline = time.monotonic() + here.deadline_s
            send_terms(link, "offer", self._terms, deadline, contribution=mine[peer], bulk=peer in here.bulk)
        keys = dict[int, PairKeys]()
        for peer, link in here.peers.items():
            theirs = None
            while theirs is None:
                theirs = self._read(link, ("offer", "abort"))
            if "contribution" not in theirs:
                raise HandshakeError(f"{link.peer} disagrees on epoch", where=Place(peer=link.peer))
            require_equal(link, self._terms, theirs, "handshake")
            if not theirs["bulk"] and peer in here.bulk:
                here.bulk.pop(peer).close()  # A socket lives on only if both ends still have it.
            keys[peer] = pair_keys(
                here.party, peer, mine[peer], theirs["contribution"], self._terms.session, self._terms.program
            )
        return keys

    def _enter(self, phase: str) -> None:
        self.phase = phase
        for link in (*self._here.peers.values(), self._here.driver):
            link.phase = phase

    def _round(self) -> int | None:
        return self._channel.round_no if self._channel and self._channel.round_no >= 0 else None
