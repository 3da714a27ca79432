"""A client by hand: it says to each party whatever a test wants, also what no honest client would."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jmpc import __version__, families
from jmpc.api import Secured
from jmpc.cluster import Identity
from jmpc.compiler import Flow
from jmpc.executors.engine import program_text
from jmpc.families import sharing
from jmpc.owner import dealt
from jmpc.party.program import output_widths
from jmpc.ring.element import Ring
from jmpc.runtime.contents import Contents, Leaf
from jmpc.runtime.control import ControlLink
from jmpc.runtime.requests import NEVER, PROTOCOL, REQUESTS, TICKET_BYTES
from jmpc.runtime.tls import Endpoint
from tests.service.three import LOOPBACK, Three

Answer = tuple[str, dict[str, Any]]
Tamper = Callable[[int, list[np.ndarray]], list[np.ndarray]]
WAIT_S = 60.0


def soon() -> float:
    return time.monotonic() + WAIT_S


@dataclass
class Call:
    """What a client says to join. tamper: given a party and its arrays, those that are sent."""

    flow: Flow
    inputs: dict[int, np.ndarray] = field(default_factory=dict)  # encoded, by input of the program
    label: str = "call"
    stored: Sequence[tuple[int, str, int]] = ()
    keep: Sequence[tuple[str, str, Sequence[int], int]] = ()
    leave: Sequence[tuple[str, str, Sequence[int], int]] = ()
    detached: bool = False
    tamper: Tamper = lambda party, arrays: arrays
    fields: Callable[[int, dict[str, Any]], dict[str, Any]] = lambda party, fields: fields


class RawClient:
    """A link to each party."""

    def __init__(self, three: Three, name: str, greet: bool = True) -> None:
        self.three, self.name = three, name
        identity = Identity.read(three.folder / f"client-{name}", three.roster)
        self.endpoint = Endpoint(identity.credentials, three.roster.refusal)
        self.links = [self.dial(party) for party in range(len(three.addresses))]
        if greet:
            self.answers("hello", self.hello())

    def dial(self, party: int) -> ControlLink:
        raw = socket.create_connection((LOOPBACK, self.three.addresses[party][1]))
        sock = self.endpoint.dial(raw, self.three.roster.uri(f"party/{party}"), soon())
        return ControlLink(sock, None, f"party {party}", REQUESTS)

    def hello(self) -> dict[str, Any]:
        return {"protocol": PROTOCOL, "version": __version__, "roster": self.three.roster.parties_hash, "party": -1}

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc: object) -> None:
        for link in self.links:
            link.close()

    def ask(self, kind: str, fields: dict[str, Any], body: bytes = b"") -> None:
        for link in self.links:
            link.send(kind, fields, soon(), body=body)

    def answer(self, party: int, *kinds: str) -> Answer:
        while True:
            found = self.links[party].receive((*kinds, "failed", "progress"), soon())
            if found[0] != "progress":
                return found

    def answers(self, kind: str, fields: dict[str, Any], answer: str = "", body: bytes = b"") -> list[Answer]:
        self.ask(kind, fields, body)
        return [self.answer(party, answer or kind) for party in range(len(self.links))]

    def load(self, flow: Flow) -> str:
        text = program_text(flow.share, flow.schedule).encode()
        found = self.answers("load", {"bytes": len(text)}, "loaded", text)
        assert [kind for kind, _ in found] == ["loaded"] * len(self.links), found
        return found[0][1]["program"]

    def join(
        self, call: Call, parties: Sequence[int] | None = None, program: str = "", ticket: bytes | None = None
    ) -> None:
        """Join at all parties, or at some. program: the hash, if all have it already."""
        program, ticket = program or self.load(call.flow), ticket or os.urandom(TICKET_BYTES)
        pieces = {n: dealt(call.flow, n, x) for n, x in call.inputs.items()}
        for party in range(len(self.links)) if parties is None else parties:
            arrays = call.tamper(party, [a for n in sorted(pieces) for a in pieces[n][party]])
            fields = {
                "label": call.label,
                "ticket": ticket,
                "program": program,
                "sent": sorted(pieces),
                "keys": [],
                "bytes": sum(a.nbytes for a in arrays),
                "stored": [list(row) for row in call.stored],
                "keep": [list(row) for row in call.keep],
                "leave": [list(row) for row in call.leave],
                "detached": call.detached,
            }
            self.links[party].send("join", call.fields(party, fields), soon(), arrays=arrays)

    def result(self, call: Call) -> list[Answer]:
        return [self.answer(party, "done") for party in range(len(self.links))]

    def run(self, call: Call) -> dict[int, np.ndarray]:
        """The outputs that come back, opened: ring elements, or bools."""
        self.join(call)
        found = self.result(call)
        failures = [fields["what"] + ": " + fields["why"] for kind, fields in found if kind == "failed"]
        assert not failures, failures
        held = [self.arrays(call.flow, party, fields["outputs"]) for party, (_, fields) in enumerate(found)]
        return {n: self._open(call.flow, n, [mine[n] for mine in held]) for n in held[0]}

    def arrays(self, flow: Flow, party: int, outputs: Sequence[int]) -> dict[int, list[np.ndarray]]:
        """What a party sends after `done`."""
        family, ring = families.of(flow.config), Ring(flow.config.k)
        widths = output_widths(flow.share)
        found = {}
        for n in outputs:
            t = flow.share.body.results[n].type
            specs = [family.spec(t, ring)] * widths[n][party] if t.secret else [(t.shape, ring.dtype)]
            found[n] = self.links[party].receive_arrays(specs, soon())
        return found

    def _open(self, flow: Flow, number: int, held: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        t = flow.share.body.results[number].type
        return sharing.opened([a for mine in held for a in mine], t, Ring(flow.config.k)) if t.secret else held[0][0]


def encoded(function: Secured, *args: Any) -> tuple[Flow, dict[int, np.ndarray]]:
    """A function compiled for arguments, and all its inputs as ring elements."""
    lowered = function.lower(*args)
    arrays = function.bind(args, {}).arrays()
    supplied = [o.supply([arrays[n] for n in o.arguments]) for o in lowered.owners.values()]
    return lowered.flow, {n: x for one in supplied for n, x in one.inputs.items()}


def of_owner(flow: Flow, inputs: dict[int, np.ndarray], owner: str) -> dict[int, np.ndarray]:
    """The inputs of one owner, and public ones."""
    return {n: x for n, x in inputs.items() if flow.share.inputs[n].owner in (owner, "")}


def contents(flow: Flow, outputs: Sequence[int], result: bool = False) -> str:
    """What is kept of some outputs."""
    config = flow.config
    leaves = [
        Leaf(flow.share.outputs[n].path, flow.share.outputs[n].dtype, flow.share.body.results[n].type) for n in outputs
    ]
    return Contents(config.protocol, config.k, config.f, tuple(leaves), result=result).text


def kept(flow: Flow, name: str, outputs: Sequence[int], result: bool = False) -> tuple[str, str, Sequence[int], int]:
    return name, contents(flow, outputs, result), list(outputs), NEVER


def numbers(x: np.ndarray, f: int = 18) -> np.ndarray:
    return x.astype(np.int64) / 2.0**f
