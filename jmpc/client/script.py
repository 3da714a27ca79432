"""One script that each organisation runs: what it loads is loaded at its owner alone, and its calls are made together.

In: `jmpc.from_owner` in a script that `jmpc run SCRIPT --as NAME` runs; anywhere else the function loads here. Out: the
owner's arrays at the owner, and elsewhere their shapes, which the owner posts at the parties; of each secure call its
results at their receivers, and elsewhere an object that says who learned them.

Calls find each other by the script's text and by their number in it. So the script makes the same calls in the same
order everywhere: what it does may depend on public values alone.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import Any

import jax

from jmpc import backends
from jmpc.backends import RunStats
from jmpc.client import asking
from jmpc.client.backend import Asked, Through
from jmpc.client.cluster import Cluster
from jmpc.client.trees import paths_of, rebuilt, text_of
from jmpc.compiler import Flow
from jmpc.errors import ArgumentError, ConfigError, DeadlineError, HandshakeError
from jmpc.handle import Elsewhere
from jmpc.leaves import as_array
from jmpc.prefixes import check_owner
from jmpc.roles import Role
from jmpc.runtime.contents import MOST_LEAVES
from jmpc.runtime.requests import BOARD_CHARACTERS, MOST_WAIT_S
from jmpc.runtime.schema import Check, SchemaError, boolean, check_fields, integer, many, row, text

WAIT_S = 300.0
QUIET_S = 3.0  # others are waited for in silence for so long
_POSTED: dict[str, Check] = {
    "tree": text(BOARD_CHARACTERS),
    "leaves": many(row(text(400), text(20, r"\w+"), many(integer(0, 2**40), 32), boolean), MOST_LEAVES),
}
_running: list[Script] = []  # for threads that a script starts, which do not inherit its backend


def from_owner(owner: str, load: Callable[[], Any], like: Any = None) -> Any:
    """An argument that one owner brings. Under `jmpc run SCRIPT --as NAME`, `load()` runs where NAME is the owner, and
    elsewhere a tree of `jax.ShapeDtypeStruct` stands for what it gives. Anywhere else it runs here.

    like: a value of the same structure, where that has nodes other than dicts, lists, tuples and None. Raises
    DeadlineError where the owner does not run the same script.
    """
    check_owner("jmpc.from_owner", owner, "owner")
    backend = backends.chosen()
    script = backend.script if isinstance(backend, _Together) else _running[-1] if _running else None
    return script.brought(owner, load, like) if script else load()


class Script:
    """The run of one script at one organisation. label: under which organisations find each other.  wait_s: for how
    long they wait for one another.  say: is told whom the script waits for, once that takes `quiet_s`."""

    def __init__(
        self, cluster: Cluster, label: str, wait_s: float = WAIT_S, *, say: Callable[[str], None] = lambda _words: None,
        quiet_s: float = QUIET_S,
    ) -> None:  # fmt: skip
        self.cluster, self.label, self.wait_s = cluster, label, wait_s
        self.say, self.quiet_s = say, quiet_s
        self._seen: Counter[str] = Counter()
        self._stack = contextlib.ExitStack()
        self._posts: Any = None

    def __enter__(self) -> Script:
        self._posts = self._stack.enter_context(self.cluster.backend.pool.bundle())
        self._stack.enter_context(backends.use(_Together(self)))
        _running.append(self)
        self._stack.callback(_running.remove, self)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._posts is not None:
            self._posts.broken = True  # what was posted over these links goes with them
        self._stack.close()

    def brought(self, owner: str, load: Callable[[], Any], like: Any) -> Any:
        """What an owner brings: its own here, or the shapes that it posted."""
        number = self._seen[owner]
        self._seen[owner] += 1
        label = f"{self.label}/{number}"
        if owner != self.cluster.name:
            with _said(self, f"waiting for {owner} to run the same script, for up to {self.wait_s:g} s"):
                return self._shapes(owner, label, like)
        found = load()
        asking.ask(self._posts, "post", {"label": label, "text": _posted(owner, found)}, "posted")
        return found

    def _shapes(self, owner: str, label: str, like: Any) -> Any:
        until = time.monotonic() + self.wait_s
        while True:
            wait_s = min(MOST_WAIT_S, max(0, math.ceil(until - time.monotonic())))
            fields = {"label": label, "owner": owner, "wait_s": wait_s}
            with self.cluster.backend.pool.bundle() as bundle:
                try:
                    answers = asking.ask(bundle, "look", fields, "seen", wait_s=wait_s + bundle.deadline_s)
                    break
                except DeadlineError:
                    if time.monotonic() >= until or not bundle.sound:
                        raise
        if len({answer["text"] for answer in answers}) > 1:
            raise HandshakeError(
                f"{owner} told the parties different things", where="phase look", todo="run the script again at each"
            )
        return _placeholders(owner, answers[0]["text"], like)


@contextlib.contextmanager
def _said(script: Script, words: str) -> Generator[None]:
    """Say so where the block takes long."""
    timer = threading.Timer(script.quiet_s, script.say, [words])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _heard(script: Script, name: str) -> asking.On:
    """What says once that a call waits, where that takes long, by the parties' own words."""
    began, said = time.monotonic(), set[str]()

    def hear(_party: int, fields: dict[str, Any]) -> None:
        waits = fields["waits"]
        if waits and waits not in said and time.monotonic() - began >= script.quiet_s:
            said.add(waits)
            script.say(f"{name} waits {waits}")

    return hear


def _posted(owner: str, found: Any) -> str:
    """What an owner says of its arrays: their shapes and dtypes, as JAX takes them."""
    leaves = list[list[Any]]()
    for path, leaf in zip(paths_of(found), jax.tree.leaves(found), strict=True):
        array = as_array(leaf, f"what {owner} brings{path}", argument=False)
        weak = type(leaf) in (int, float, complex) or bool(getattr(leaf, "weak_type", False))
        leaves.append([path, str(jax.dtypes.canonicalize_dtype(array.dtype)), list(array.shape), weak])
    said = json.dumps({"tree": text_of(found), "leaves": leaves}, separators=(",", ":"))
    if len(said) > BOARD_CHARACTERS:
        raise ArgumentError(
            f"what {owner} brings has too many arrays to be told of",
            where="jmpc.from_owner",
            why=f"their shapes take {len(said)} characters, and {BOARD_CHARACTERS} are the most",
            todo="store it, cluster.put(..., name=NAME), and pass jmpc.stored(NAME)",
        )
    return said


def _placeholders(owner: str, said: str, like: Any) -> Any:
    try:
        fields = check_fields(json.loads(said), _POSTED, "what was posted")
        shapes = [
            jax.ShapeDtypeStruct(tuple(shape), jax.numpy.dtype(dtype), weak_type=weak)
            for _, dtype, shape, weak in fields["leaves"]
        ]
    except (SchemaError, ValueError, TypeError, RecursionError) as exc:
        raise HandshakeError(
            f"what {owner} says of its arrays cannot be read",
            where="jmpc.from_owner",
            todo="run the same version of jmpc at each organisation",
        ) from exc
    return rebuilt(f"what {owner} brings", fields["tree"], [path for path, *_ in fields["leaves"]], shapes, like)


class _Together(Through):
    """Each call under a label of its own, by those who have a part in it."""

    def __init__(self, script: Script) -> None:
        super().__init__(script.cluster.backend)
        self.script = script
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def prepare(self, flow: Flow) -> Any:
        return self.backend.loaded(flow) if self._part(flow) else None

    def run(self, flow: Flow, fed: Sequence[Any]) -> tuple[list[Any], RunStats]:
        with self._lock:
            label = f"{self.script.label}/call/{next(self._numbers)}"
        part = self._part(flow)
        heard = _heard(self.script, flow.share.name)
        if part == Role.CALLER:
            return self.backend.call(flow, fed, Asked(heard=heard))
        if part:
            return self.backend.call(flow, fed, Asked(label=label, heard=heard))
        others = [Elsewhere(output.receiver) for output in flow.share.outputs]
        return others, RunStats(0.0, 0, (0,) * self.backend.parties, self.name)

    def _part(self, flow: Flow) -> str:
        """This client's name where it has a part in a call, or `Role.CALLER` where it makes it alone; else nothing."""
        name, me = flow.share.name, self.backend.me
        if not flow.share.outputs:
            return ""  # all of it is somebody's own work
        sources = (source for source in flow.frontier.sources if not source.type.secret)
        roles = {source.known.owner for source in sources} | {output.receiver for output in flow.share.outputs}
        stays, named = Role.SECRET in roles, roles - {Role.PUBLIC, Role.SECRET}
        if Role.CALLER in named:
            if others := sorted(named - {Role.CALLER, me}):
                raise ConfigError(
                    f"{name} has a part of the caller, and each of {', '.join([me, *others])} would be it",
                    where="jmpc.secure",
                    why="the script runs at each organisation, and nobody else makes the call",
                    todo="name who supplies each argument, and who learns each result: inputs={...}, outputs=...",
                )
            return Role.CALLER
        if me not in named and (stays or not named):
            raise ConfigError(
                f"{me} has no part in {name}, and would not know what stays shared",
                where="jmpc.secure(inputs=..., outputs=...)",
                why="in a script that each organisation runs, a result stays with those who supply or learn something",
                todo=f"make {me} the owner of an argument or a receiver, such as of a scalar",
            )
        return me if me in named else ""
