"""`jmpc.connect`: a cluster of parties that run elsewhere, as one of its clients uses it.

In: the cluster's file, the folder of this client's key. Out: a `Cluster`, at which secure functions run, and values are
stored, listed, deleted. It may be used from several threads, and not after a fork.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from jmpc import backends
from jmpc.api import Compiled, Lowered, Secured
from jmpc.arguments import name_of
from jmpc.backends import RunStats
from jmpc.client import asking, places
from jmpc.client.backend import Asked, ClusterBackend, Through, program_hashes
from jmpc.client.chunks import Arrays, Batches
from jmpc.client.forms import Value, value_of
from jmpc.client.job import Job
from jmpc.client.links import Dialler
from jmpc.client.listing import listed
from jmpc.client.places import Names
from jmpc.client.pool import Pool
from jmpc.client.states import said_of
from jmpc.client.stored import found
from jmpc.client.tables import columns_of, is_table
from jmpc.client.upload import Progress, Terms, Upload, unheard
from jmpc.client.values import Entry, check_name, opened_result, seconds_of, take_result
from jmpc.cluster import Identity, Roster
from jmpc.cluster import names as members
from jmpc.cluster.roster import FILE
from jmpc.compiler import Flow
from jmpc.config import Config
from jmpc.errors import ArgumentError, ConfigError
from jmpc.roles import Role
from jmpc.runtime.requests import UNCHANGED

Expires = dt.datetime | dt.timedelta | float | None
Program = str | Lowered | Compiled
PATIENCE_S = 60.0


def connect(cluster: str | Path, identity: str | Path) -> Cluster:
    """Connect to the parties of a cluster, with mutual TLS.

    cluster: its folder, or `cluster.toml` itself.  identity: who this client is: a name such as "hospital-a", whose
    folder `client-hospital-a` lies beside the file, or the path of that folder. Raises ConfigError for what is wrong
    with the files; PeerError for a party that cannot be reached, HandshakeError for one that disagrees.
    """
    return Cluster(*member_of(cluster, identity))


def member_of(cluster: str | Path, identity: str | Path) -> tuple[Roster, Identity]:
    """The roster of a cluster and one of its clients, as in `connect`. Raises ConfigError; nobody is dialled."""
    path = Path(cluster)
    path = path / FILE if path.is_dir() else path
    roster = Roster.read(path)
    return roster, _identity(path.parent, identity, roster)


def _identity(beside: Path, given: str | Path, roster: Roster) -> Identity:
    folder, name = Path(given), None
    if not folder.is_dir():
        try:
            name = members.member_name(str(given) if "/" in str(given) else members.CLIENT + str(given))
        except ValueError as exc:
            raise ConfigError(
                f"{str(given)!r} is no client, and no folder",
                where="jmpc.connect(identity=...)",
                why=str(exc),
                todo="give the client's name, or the path of the folder with its key",
            ) from exc
        roster.member(name)
        folder = beside / members.folder_of(name)
    identity = Identity.read(folder, roster, name=name)
    if not identity.name.startswith(members.CLIENT):
        raise ConfigError(
            f"{identity.name} is a party",
            where="jmpc.connect(identity=...)",
            why="a party runs what clients ask for, `jmpc party run`; it asks for nothing itself",
            todo="connect as a client: jmpc cluster add-client NAME",
        )
    return identity


@dataclass(frozen=True)
class Options:
    """What a call says besides its arguments; `Cluster.run` has the words."""

    keep: Names = None
    leave: Names = None
    expires: Expires = None
    label: str = ""
    detached: bool = False


class Cluster:
    """What `jmpc.connect` gives. name: this client's.  backend: for `jmpc.use`, in threads that a block does not reach.
    last_run: what the latest call cost."""

    def __init__(self, roster: Roster, identity: Identity) -> None:
        self.roster, self.name = roster, identity.name.removeprefix(members.CLIENT)
        self._pool = Pool(Dialler(roster, identity).open)
        self.backend = ClusterBackend(self._pool, self.name, len(roster.parties))
        self.last_run: RunStats | None = None
        self._lock = threading.Lock()
        self._blocks = 0
        self._entered = threading.local()
        with self._pool.bundle():
            pass  # It can be had, and is there for the first call.

    def __repr__(self) -> str:
        return f"<cluster {self.roster.name}, as {self.name}>"

    # A block in which secure calls run here. Its end ends the connections; a further call opens others.

    def __enter__(self) -> Cluster:
        with self._lock:
            self._blocks += 1
        stack = contextlib.ExitStack()
        stack.enter_context(backends.use(self.backend))
        self._stacks.append(stack)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stacks.pop().close()
        with self._lock:
            self._blocks -= 1
            last = not self._blocks
        if last:
            self.backend.forget()
            self._pool.rest()

    @property
    def _stacks(self) -> list[contextlib.ExitStack]:
        """Of the blocks that this thread is in."""
        if not hasattr(self._entered, "stacks"):
            self._entered.stacks = list[contextlib.ExitStack]()
        return self._entered.stacks

    def close(self) -> None:
        """End the connections, and make none again. Values that no handle refers to any more are deleted first."""
        self.backend.forget()
        self._pool.close()

    # Calls.

    def run(
        self, function: Any, *args: Any, keep: Names = None, leave: Names = None, expires: Expires = None,
        label: str = "", detached: bool = False, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Run a secure function here, on arrays of this client and on values that are stored.

        keep: the name under which what stays shared (`outputs=jmpc.SECRET`) is stored, or names by path:
        `{"['params']": "model"}`; without a name it goes with its last handle.  leave: the name under which a result
        waits for its receiver, or names by receiver.  expires: of what is so stored: a moment, or for how long.  label:
        under which several clients make one call, each with its own arguments: the same at all of them.  detached: the
        call goes on where this client's connection ends. Raises RefusedError for a program that a party's operator has
        not approved, and for data whose owner has not consented.
        """
        return self._run(function, args, kwargs, Options(keep, leave, expires, label, detached))

    def submit(
        self, function: Any, *args: Any, keep: Names = None, leave: Names = None, expires: Expires = None,
        label: str = "", detached: bool = False, **kwargs: Any,
    ) -> Job:  # fmt: skip
        """As `run`, without waiting: `await` what it returns, or ask it for its `progress` and its `result()`."""
        options = Options(keep, leave, expires, label, detached)
        secured, _ = _secured(function, args)
        return Job(secured.__name__, lambda job: self._run(function, args, kwargs, options, job))

    def _run(self, function: Any, args: Any, kwargs: Any, options: Options, job: Job | None = None) -> Any:
        secured, args = _secured(function, args)
        args, kwargs = found((args, kwargs), self.stored)
        call = secured.bind(args, kwargs)
        asked = Asked(label=options.label, detached=options.detached)
        if job is not None:
            asked = replace(asked, waker=job.waker, started=job.watch.started, heard=job.watch.heard)
        once = _Once(self.backend, asked)
        with backends.use(once):
            compiled = secured.compiled(call)
            once.asked = replace(asked, places=self._places(compiled.lowered, options))
            result = compiled.run(call)
        self.last_run = secured.last_run = compiled.last_run
        return result

    def _places(self, lowered: Lowered, options: Options) -> list[places.Place]:
        expires = seconds_of(options.expires, "expires=...")
        told = dict.fromkeys(output.receiver for output in lowered.flow.share.outputs)
        away = [r for r in told if r != Role.SECRET and not self.backend.plays(r)]
        away = away or [self.name] * (self.name in told)
        return [
            *places.kept(lowered, options.keep, expires),
            *places.left(lowered, options.leave, expires, away),
        ]

    # Stored values.

    def stored(self, name: str, like: Any = None) -> Any:
        """As `jmpc.stored`, at this cluster."""
        return self.backend.stored(name, like)

    def put(
        self, tree: Any, name: str, *, programs: Sequence[Program] = (), expires: Expires = None,
        config: Config | None = None, progress: Progress | None = None, patience_s: float = PATIENCE_S,
    ) -> Entry:  # fmt: skip
        """Store a value, shared among the parties: a pytree of arrays, a DataFrame, a table of Arrow. Afterwards this
        client need not be there for it to be used.

        name: at this cluster; what is there under it, if it is this client's, is replaced.  programs: those that may
        read it where this client has no part in the call: functions compiled, or hashes.  expires: a moment, or for how
        long.  config: that of the functions that will read it.  progress: called with the bytes that are sent, and all.
        patience_s: how long a party that is gone is waited for; then nothing is stored.
        """
        table = is_table(tree)
        value = value_of(columns_of(tree) if table else tree, self.name, config)
        return self._put(value, Arrays(value.arrays(), table), name, programs, expires, progress, patience_s)

    def put_rows(
        self, batches: Iterable[Any] | Callable[[], Iterable[Any]], name: str, *, rows: int | None = None,
        programs: Sequence[Program] = (), expires: Expires = None, config: Config | None = None,
        progress: Progress | None = None, patience_s: float = PATIENCE_S,
    ) -> Entry:  # fmt: skip
        """As `put`, of rows that come batch by batch and are never all in memory (columns of truth values are).

        batches: tables, or trees of arrays whose first axis counts rows, or a function that returns them from the first
        on, so that the upload can go on where a link was lost.  rows: how many in all; counted in a pass of its own
        where batches can be had again.
        """
        source = Batches(batches, rows)
        value = value_of(source.template, self.name, config)
        return self._put(value, source, name, programs, expires, progress, patience_s)

    def _put(
        self, value: Value, source: Arrays | Batches, name: str, programs: Sequence[Program], expires: Expires,
        progress: Progress | None, patience_s: float,
    ) -> Entry:  # fmt: skip
        check_name(name)
        terms = Terms(name, program_hashes(programs), seconds_of(expires, "put(expires=...)"), patience_s)
        contents = value.contents(self.name)
        Upload(self._pool, value.forms, contents, source, terms, progress or unheard).run()
        return self.describe(name)

    def list(self) -> list[Entry]:
        """All values of the cluster, by name."""
        with self._pool.bundle() as bundle:
            return listed(bundle)

    def describe(self, name: str) -> Entry:
        """One value, with its arrays' shapes. Raises NotStoredError."""
        return self.backend.entry(name)

    def delete(self, name: str) -> None:
        """Destroy a value at all parties. Raises NotStoredError, RefusedError."""
        with self._pool.bundle() as bundle:
            asking.ask(bundle, "delete", {"name": name}, "deleted")

    def expire(self, name: str, when: Expires) -> None:
        """Have a value destroyed at a moment, or after so long; None: never."""
        self._amend(name, expires=seconds_of(when, "expire(when)"))

    def consent(self, name: str, *programs: Program) -> None:
        """Let programs read what this client owns of a value, also where it has no part in the call."""
        self._amend(name, allow=program_hashes(programs))

    def withdraw(self, name: str, *programs: Program) -> None:
        """Take consents back. What runs already goes on."""
        self._amend(name, forbid=program_hashes(programs))

    def _amend(
        self, name: str, allow: Sequence[str] = (), forbid: Sequence[str] = (), expires: int = UNCHANGED
    ) -> None:
        fields = {"name": name, "allow": [*allow], "forbid": [*forbid], "expires": expires}
        with self._pool.bundle() as bundle:
            asking.ask(bundle, "amend", fields, "amended")

    def get(self, name: str, like: Any = None) -> Any:
        """A result that was left for this client: the arrays that the function returned. like: as in `jmpc.stored`."""
        with self._pool.bundle() as bundle:
            found = asking.ask(bundle, "fetch", {"name": name}, "result", take=take_result(name))
        return opened_result(name, found, like)

    def status(self) -> list[dict[str, Any]]:
        """What each party says of itself."""
        with self._pool.bundle() as bundle:
            answers = asking.ask(bundle, "status", {}, "state")
        return [said_of(answer["text"]) for answer in answers]


class _Once(Through):
    """The backend of one call, with what that call asks for."""

    def __init__(self, backend: ClusterBackend, asked: Asked) -> None:
        super().__init__(backend)
        self.asked = asked

    def prepare(self, flow: Flow) -> str:
        return self.backend.loaded(flow) if self.asked.label else self.backend.prepare(flow)

    def run(self, flow: Flow, fed: Sequence[Any]) -> tuple[list[Any], RunStats]:
        return self.backend.call(flow, fed, self.asked)


def _secured(function: Any, args: tuple[Any, ...]) -> tuple[Secured, tuple[Any, ...]]:
    """A secure function, and what it is called with; also of a method, or a partial one with no keywords."""
    if isinstance(function, functools.partial) and not function.keywords:
        bound = cast("functools.partial[Any]", function)
        return _secured(bound.func, (*bound.args, *args))
    if isinstance(function, Secured):
        return function, args
    raise ArgumentError(
        f"{name_of(cast(Any, function))} is no secure function",
        where="Cluster.run(function, ...)",
        why="what runs at the parties is the program of one function of jmpc.secure",
        todo="make it one: jmpc.secure(function, inputs=..., outputs=...); or call several in a block: with cluster",
    )
