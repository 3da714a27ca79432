"""The backend of secure calls that run at a cluster: this client's own work here, all else at the parties.

In: programs, and of their inputs those that this client supplies, or names of stored values. Out: the results that it
learns, handles on those that stay, and word of those that others learn.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import re
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from jmpc import families
from jmpc.api import Compiled, Lowered
from jmpc.backends import Kept, RunStats, check_place, opened
from jmpc.client import asking
from jmpc.client.links import Bundle
from jmpc.client.places import Place, of_nobody
from jmpc.client.pool import Pool
from jmpc.client.values import Entry, Held, Lease, entry_of, handles
from jmpc.client.waiting import Waker
from jmpc.compiler import Flow
from jmpc.errors import ArgumentError, ConfigError, HandshakeError, JMPCError, PeerError, RefusedError
from jmpc.executors.engine import program_text
from jmpc.handle import Elsewhere
from jmpc.ir.program import Program, Value
from jmpc.owner import Dealing, dealt_by_keys
from jmpc.ring.element import Ring
from jmpc.roles import Role
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import Place as Where
from jmpc.runtime.failure import party_name
from jmpc.runtime.messages import TEXT_BYTES
from jmpc.runtime.requests import MOST_CONSENTS, TICKET_BYTES

LOAD_S = 600.0
TEMPORARY_S = 7 * 86_400  # what nobody named goes then, where its handle's process ended without a word
FORGET = 64  # values that are deleted on the way to a call


@dataclass(frozen=True)
class Asked:
    """What a call asks for besides its results. label: by which clients find each other; empty where this one is alone.
    places: for results that do not come back.  detached: the run goes on if this client goes.  started, heard: called
    with the flow when the parties have the call, and with each word of progress."""

    label: str = ""
    places: Sequence[Place] = ()
    detached: bool = False
    waker: Waker | None = None
    started: Callable[[Flow], None] = field(default=lambda _flow: None)
    heard: asking.On = field(default=lambda _party, _fields: None)


class ClusterBackend:
    """me: this client's name."""

    name = "cluster"

    def __init__(self, pool: Pool, me: str, parties: int) -> None:
        self.pool, self.me, self.parties = pool, me, parties
        self._hashes: weakref.WeakKeyDictionary[Flow, str] = weakref.WeakKeyDictionary()
        self._loading = threading.Lock()
        self._gone: collections.deque[str] = collections.deque()

    def plays(self, owner: str) -> bool:
        """This client's work, and everybody's."""
        return owner in (Role.PUBLIC, Role.CALLER, self.me)

    def called(self, owner: str) -> str:
        """The name at the cluster of an owner of a program."""
        return self.me if owner == Role.CALLER else owner

    def program(self, flow: Flow) -> Program:
        """What the parties get of a program."""
        return flow.share

    def prepare(self, flow: Flow) -> str:
        """Have all parties know a program; its hash. Raises RefusedError where one does not run it for this client, and
        ArgumentError where others supply an input."""
        check_inputs(self, flow)
        return self.loaded(flow)

    def loaded(self, flow: Flow) -> str:
        """As `prepare`, of a call that others may have a part in."""
        with self._loading:
            if flow not in self._hashes:
                self._hashes[flow] = self._loaded(flow)
            return self._hashes[flow]

    def run(self, flow: Flow, fed: Sequence[Any]) -> tuple[list[Any], RunStats]:
        return self.call(flow, fed, Asked())

    def call(self, flow: Flow, fed: Sequence[Any], asked: Asked) -> tuple[list[Any], RunStats]:
        """Run a program with what this client has of its inputs."""
        if not asked.label:
            check_inputs(self, flow)
            check_receivers(self, flow, asked.places)
        program = self.loaded(flow)
        request = _Request(self, flow, fed, asked)
        dealing = request.dealing()
        if asked.waker is not None:
            asked.waker.check()
        try:
            with self.pool.bundle() as bundle:
                forgotten = self._forget(bundle)
                asking.tell(bundle, "join", request.fields(program, dealing), arrays=dealing.arrays)
                self._forgot(bundle, forgotten)
                asked.started(flow)
                done = asking.collect(
                    bundle, "join", "done", until=None, more={"progress": asked.heard}, quiet_s=LOAD_S,
                    take=request.take, waker=asked.waker,
                )  # fmt: skip
        except RefusedError:
            self._hashes.pop(flow, None)  # at the next call they are asked again, and say what their operators do
            raise
        return request.results(done), request.stats(done)

    def stored(self, name: str, like: Any = None) -> Any:
        """A stored value as a tree of handles. Raises NotStoredError, ArgumentError."""
        return handles(self.entry(name), self, like)

    def entry(self, name: str) -> Entry:
        """What the parties say of a value. Raises NotStoredError; PartyError where they disagree."""
        with self.pool.bundle() as bundle:
            return entry_of(asking.ask(bundle, "describe", {"name": name}, "described"))

    def forget(self) -> None:
        """Delete the values that no handle refers to any more. What cannot be deleted now goes when it expires."""
        with suppress(JMPCError):
            while self._gone:
                with self.pool.bundle() as bundle:
                    self._forgot(bundle, self._forget(bundle))

    def temporary(self, label: str) -> str:
        """The name of a value that nobody names: of a call that clients make together, the same for all of them."""
        token = hashlib.sha256(label.encode()).hexdigest()[:32] if label else secrets.token_hex(16)
        return f"temporary/{'together' if label else self.me}/{token}"

    def temporary_until(self) -> int:
        """When such a value goes where nobody says so."""
        return int(time.time()) + TEMPORARY_S

    def lease(self, name: str) -> Lease:
        """What goes with the last handle on a value, and the value with it."""
        lease = Lease()
        weakref.finalize(lease, self._gone.append, name).atexit = False  # it may run anywhere, so it takes a note
        return lease

    def _forget(self, bundle: Bundle) -> int:
        """Ask for what is to be deleted, without waiting for it; how many answers will come."""
        count = 0
        while self._gone and count < FORGET:
            with suppress(IndexError):  # another thread took it
                asking.tell(bundle, "delete", {"name": self._gone.popleft()})
                count += 1
        return count

    @staticmethod
    def _forgot(bundle: Bundle, count: int) -> None:
        for _ in range(count):
            until = time.monotonic() + bundle.deadline_s
            try:
                asking.collect(bundle, "delete", "deleted", until=until)
            except JMPCError:
                if bundle.broken:
                    raise

    def _loaded(self, flow: Flow) -> str:
        family = families.of(flow.config)
        if family.parties != self.parties:
            raise ConfigError(
                f"the family {family.name} is one of {family.parties} parties, and this cluster has {self.parties}",
                where="Config.protocol",
                todo=[
                    "use a family of as many parties, or another cluster",
                    f"on this machine, start as many: jmpc.processes(parties={family.parties})",
                ],
            )
        body = program_text(self.program(flow), flow.schedule).encode()
        program = hashlib.sha256(body).hexdigest()
        if len(body) > TEXT_BYTES:
            raise ArgumentError("the program's text is too long", why=f"the limit is {TEXT_BYTES} bytes")
        with self.pool.bundle() as bundle:
            answers = asking.ask(bundle, "load", {"bytes": len(body)}, "loaded", wait_s=LOAD_S, body=body)
        for party, fields in enumerate(answers):
            if fields["program"] != program:
                raise HandshakeError(
                    f"{party_name(party)} has another hash for the program",
                    where=Where(phase="load", peer=party_name(party)),
                    why="it was sent one text and read another",
                    todo="run the same version of jmpc as the parties",
                )
        if refusing := {party: fields["why"] for party, fields in enumerate(answers) if not fields["allowed"]}:
            raise _not_allowed(flow.share.name, program, refusing)
        return program


def program_hash(program: str | Lowered | Compiled) -> str:
    """Of a program that a function was compiled to, or the hash itself. Raises ArgumentError for another text."""
    if isinstance(program, str):
        if re.fullmatch("[0-9a-f]{64}", program):
            return program
        raise ArgumentError(
            f"{program[:80]!r} is no hash of a program",
            where="programs",
            why="it has 64 digits from 0 to f",
            todo="give the hash, as `jmpc programs list` shows it, or the program: function.lower(...)",
        )
    lowered = program.lowered if isinstance(program, Compiled) else program
    return lowered.program_hash


def program_hashes(programs: Sequence[str | Lowered | Compiled]) -> list[str]:
    """Of programs that one client consents to at once. Raises ArgumentError for more than one value can have."""
    if len(programs) > MOST_CONSENTS:
        raise ArgumentError(
            "too many programs are named",
            where="programs",
            why=f"these are {len(programs):,}, and {MOST_CONSENTS:,} is the most that may read one value",
            todo="name those that are run; withdraw the consent to others: cluster.withdraw(NAME, PROGRAM)",
        )
    return [program_hash(program) for program in programs]


class Through:
    """A backend that makes its calls by that of a cluster, and says more of them."""

    name = ClusterBackend.name

    def __init__(self, backend: ClusterBackend) -> None:
        self.backend = backend

    def plays(self, owner: str) -> bool:
        return self.backend.plays(owner)

    def stored(self, name: str, like: Any = None) -> Any:
        return self.backend.stored(name, like)


def check_inputs(backend: ClusterBackend, flow: Flow) -> None:
    """Raises ArgumentError for an input of another client, where this one makes a call alone."""
    for source in flow.frontier.sources:
        if not source.type.secret and not backend.plays(source.known.owner):
            raise ArgumentError(
                f"{source.path} is {source.known.owner}'s to supply, and this is {backend.me}",
                where=source.place,
                why="a client shares its own data alone",
                todo=[
                    f"have {source.known.owner} store it, cluster.put(..., name=NAME), and pass jmpc.stored(NAME)",
                    "or make the call at both with the same label: cluster.run(..., label=LABEL), "
                    "or one script at each: `jmpc run SCRIPT --as NAME`",
                ],
            )


def check_receivers(backend: ClusterBackend, flow: Flow, places: Sequence[Place]) -> None:
    """Raises ArgumentError for a result that another client learns and that is not left for it, where this one makes a
    call alone."""
    left = {place.receiver for place in places}
    for output in flow.share.outputs:
        receiver = output.receiver
        if receiver != Role.SECRET and not backend.plays(receiver) and receiver not in left:
            raise ArgumentError(
                f"{receiver} learns a result of {flow.share.name}, and is not here to take it",
                where=output.path,
                why=f"this is {backend.me}, and it makes the call alone",
                todo=[
                    f"leave it there: cluster.run(..., leave={{{receiver!r}: NAME}}), and {receiver} gets it by "
                    "cluster.get(NAME)",
                    "or make the call at both with the same label: cluster.run(..., label=LABEL)",
                ],
            )


def _not_allowed(name: str, program: str, refusing: dict[int, str]) -> RefusedError:
    parties = [str(party) for party in refusing]
    who = f"party {parties[0]}" if len(parties) == 1 else f"parties {', '.join(parties[:-1])} and {parties[-1]}"
    said = list(dict.fromkeys(why for why in refusing.values() if why))
    why = said[0] if len(said) == 1 else "; ".join(f"party {party}: {why}" for party, why in refusing.items())
    todo = [
        f"the operator of {who} looks at what it does, who supplies what and who learns what: jmpc inspect {program}",
        f"and then types, in the party's folder or with --config: jmpc programs approve {program}",
    ]
    runs = "does not run" if len(parties) == 1 else "do not run"
    return RefusedError(
        f"{who} {runs} the program {name} for this client", where=f"program {program}", why=why, todo=todo
    )


class _Request:
    """One call: what of it goes to the parties, and what comes back."""

    def __init__(self, backend: ClusterBackend, flow: Flow, fed: Sequence[Any], asked: Asked) -> None:
        self._backend, self._flow, self._fed, self._asked = backend, flow, fed, asked
        self._family, self._ring = families.of(flow.config), Ring(flow.config.k)
        for x in fed:
            if isinstance(x, Kept):
                check_place(x, backend)
        self._places = list(asked.places)
        self._temporary = of_nobody(
            flow, self._places, lambda: backend.temporary(asked.label), backend.temporary_until()
        )
        left = {one.number for place in self._places for one in place.outputs}
        self._mine = [n for n, o in enumerate(flow.share.outputs) if backend.plays(o.receiver) and n not in left]

    @property
    def _sent(self) -> list[int]:
        return [n for n, x in enumerate(self._fed) if x is not None and not isinstance(x, Kept)]

    @property
    def _stored(self) -> dict[int, Held]:
        return {n: x.pieces for n, x in enumerate(self._fed) if isinstance(x, Kept)}

    @property
    def _owners(self) -> list[str]:
        """Whose data the results depend on; this client, where nobody's is in it."""
        found = {owner for held in self._stored.values() for owner in held.owners}
        for source in self._flow.frontier.sources:
            if not source.type.secret and source.known.owner != Role.PUBLIC:
                found.add(self._backend.called(source.known.owner))
        return sorted(found) or [self._backend.me]

    def dealing(self) -> Dealing:
        """What each party gets of the inputs that this client sends."""
        return dealt_by_keys(self._flow, {n: self._fed[n] for n in self._sent})

    def fields(self, program: str, dealing: Dealing) -> list[dict[str, Any]]:
        """By party."""
        asked, owners = self._asked, self._owners
        rows = [(place, place.row(self._flow, owners)) for place in [*self._places, *self._temporary]]
        common = {
            "label": asked.label or f"alone/{secrets.token_hex(16)}",
            "ticket": secrets.token_bytes(TICKET_BYTES),
            "program": program,
            "sent": self._sent,
            "stored": [[n, held.name, held.number, held.version] for n, held in self._stored.items()],
            "keep": [row for place, row in rows if not place.receiver],
            "leave": [row for place, row in rows if place.receiver],
            "detached": asked.detached,
        }
        keys = [[[form, n, key] for (form, n), key in mine.items()] for mine in dealing.keys]
        sizes = [sum(array.nbytes for array in mine) for mine in dealing.arrays]
        return [{**common, "keys": mine, "bytes": size} for mine, size in zip(keys, sizes, strict=True)]

    def take(self, party: int, link: ControlLink, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[int, Any]]:
        """Read what follows `done`: this party's arrays of each output that this client learns."""
        numbers: list[int] = fields["outputs"]
        if sorted(numbers) != self._mine:
            raise PeerError(
                f"{link.peer} sends other results than this client learns",
                where=Where(phase="output", peer=link.peer),
                todo="run the same version of jmpc as the parties",
            )
        link.phase = "output"
        found = dict[int, Any]()
        for number in numbers:
            t = self._result(number).type
            one = self._family.spec(t, self._ring)
            specs = [one] * self._family.sent[party] if t.secret else self._family.specs(t, self._ring, party)
            found[number] = link.receive_arrays(specs, time.monotonic() + LOAD_S)
        return fields, found

    def results(self, done: Sequence[tuple[dict[str, Any], dict[int, Any]]]) -> list[Any]:
        """What stands for each output of the program here."""
        kept, waiting = (
            self._handles(done[0][0]["version"]),
            {o.number: p for p in self._places if p.receiver for o in p.outputs},
        )
        found = list[Any]()
        for n, output in enumerate(self._flow.share.outputs):
            if n in self._mine:
                found.append(opened(self._flow, n, [arrays[n] for _, arrays in done]))
            elif n in kept:
                found.append(kept[n])
            else:
                name = waiting[n].name if n in waiting else ""
                found.append(Elsewhere(output.receiver, name, self._own(self._result(n))))
        return found

    def stats(self, done: Sequence[tuple[dict[str, Any], Any]]) -> RunStats:
        said = [fields for fields, _ in done]
        return RunStats(
            max(one["seconds"] for one in said),
            max(one["rounds"] for one in said),
            tuple(one["sent"] for one in said),
            self._backend.name,
        )

    def _handles(self, version: int) -> dict[int, Kept]:
        found, owners = dict[int, Kept](), tuple(self._owners)
        for place in itertools.chain(self._places, self._temporary):
            lease = self._backend.lease(place.name) if place in self._temporary else None
            for number, one in enumerate(place.outputs if not place.receiver else ()):
                held = Held(place.name, version, number, owners, lease)
                found[one.number] = Kept(weakref.ref(self._backend), held)
        return found

    def _result(self, number: int) -> Value:
        return self._flow.share.body.results[number]

    def _own(self, value: Value) -> Any:
        """An output for somebody else that is but an input of this client: it knows it, as it was shared."""
        made = {v: op for op in self._flow.share.body.ops for v in op.outputs}
        while value in made and made[value].name in ("share", "bound"):
            value = made[value].inputs[0]
        numbers = {v: n for n, v in enumerate(self._flow.share.body.params)}
        own = self._fed[numbers[value]] if value in numbers else None
        return None if isinstance(own, Kept) else own
