"""A program of which there is the text alone, not the function that it was made of: run at a cluster.

In: the text, arrays and names of stored values for its inputs, by their paths. Out: a `Job`, which gives the results
that this client learns, by path. What owners do before they share anything is no part of a text: inputs are given as
the text has them.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from jmpc import families
from jmpc.api import decode
from jmpc.backends import Kept
from jmpc.client.backend import Asked, ClusterBackend
from jmpc.client.cluster import Cluster
from jmpc.client.job import Job
from jmpc.client.places import Place, Stays
from jmpc.client.trees import paths_of, shortened, text_of
from jmpc.client.values import Held
from jmpc.compiler import Flow
from jmpc.errors import ArgumentError, ProgramError
from jmpc.executors.engine import program_text, read_program, text_hash
from jmpc.frontend.known import Known, Prelude
from jmpc.frontend.lower import Frontier
from jmpc.frontend.notes import Record
from jmpc.frontend.place import Place as Line
from jmpc.frontend.walk import Source
from jmpc.handle import Elsewhere
from jmpc.ir.types import BOOL, INT
from jmpc.owner import encode
from jmpc.party.build import build_plan
from jmpc.ring.product import DEFAULT_FORM
from jmpc.roles import Role
from jmpc.runtime.requests import NEVER

_NUMBER = re.compile(r"#(\d{1,6})")
_ITEM = re.compile(r"\['(?P<text>[^'\\]*)'\]|\[(?P<number>\d{1,6})\]")
_KINDS = {BOOL: "b", INT: "iu"}  # of arrays, for the kinds of inputs; the others take any number


@dataclass(frozen=True)
class Order:
    """What a call is given and asked for. inputs: arrays, one or a tree of them, by path or `#number` of inputs.
    stored: names of values, the same way.  keep: the name for what stays shared.  leave: names by receiver.  expires:
    of these, as parties count it.  label: by which several clients make one call."""

    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    stored: Mapping[str, str] = field(default_factory=dict[str, str])
    keep: str = ""
    leave: Mapping[str, str] = field(default_factory=dict[str, str])
    expires: int = NEVER
    label: str = ""


class Submission:
    """A program's text, read. hash: what it is approved by. Raises ProgramError for a text that is none."""

    def __init__(self, text: str) -> None:
        program, schedule = read_program(text)
        if program_text(program, schedule) != text:
            raise ProgramError(
                "the program's text is not as jmpc writes it",
                why="parties would have another hash for it",
                todo="have it written again, with this version of jmpc: function.lower(...).program_text",
            )
        self.hash, self.program = text_hash(text), program
        values = zip(program.inputs, program.body.params, strict=True)
        sources = [
            Source(Known(value.type.shape, None, given.owner), value.type, given.path) for given, value in values
        ]
        prelude = Prelude(lambda: Line(call=program.name))
        outputs: list[int | Known] = [*range(len(program.outputs))]
        frontier = Frontier(program, [], prelude, sources, outputs, Record(), {}, {}, 0)
        plans = [build_plan(program, schedule, party) for party in range(families.of(program.config).parties)]
        self.flow = Flow(frontier, {}, program, program.config, {DEFAULT_FORM: (schedule, plans)})

    def learned_by(self, client: str, order: Order) -> list[str]:
        """The paths of the results that come back to a client."""
        here = {Role.PUBLIC, Role.CALLER, client} - set(order.leave)
        return [output.path for output in self.program.outputs if output.receiver in here]

    def start(self, cluster: Cluster, order: Order) -> Job:
        """Raises ArgumentError, RangeError, NotStoredError for what does not fit, before anything is sent."""
        fed = self._fed(cluster.backend, order)
        asked = Asked(order.label, self._places(order))

        def work(job: Job) -> dict[str, Any]:
            heard = replace(asked, waker=job.waker, started=job.watch.started, heard=job.watch.heard)
            results, cluster.last_run = cluster.backend.call(self.flow, fed, heard)
            return self._learned(results)

        return Job(self.program.name, work)

    def _fed(self, backend: ClusterBackend, order: Order) -> list[Any]:
        fed: list[Any] = [None] * len(self.program.inputs)
        for which, tree in order.inputs.items():
            arrays = dict(zip(paths_of(tree), _leaves(tree), strict=True))
            for n, rest in self._named(which, "--input"):
                fed[n] = self._encoded(n, _part(arrays, rest, which))
        for which, name in order.stored.items():
            entry = backend.entry(name)
            leaves = entry.contents.leaves if entry.contents else ()
            numbers = {leaf.path: number for number, leaf in enumerate(leaves)}
            owners = entry.contents.owners if entry.contents else ()
            for n, rest in self._named(which, "--stored"):
                held = Held(name, entry.version, _part(numbers, rest, which), owners)
                fed[n] = Kept(weakref.ref(backend), held)
        self._check(backend, fed)
        return fed

    def _named(self, which: str, where: str) -> list[tuple[int, str]]:
        """The inputs that a path or number means, each with what of the path is left. Raises ArgumentError."""
        paths = [given.path for given in self.program.inputs]
        if number := _NUMBER.fullmatch(which):
            found = [(int(number[1]), "")] if int(number[1]) < len(paths) else []
        else:
            tails = [(n, path.removeprefix(which)) for n, path in enumerate(paths) if path.startswith(which)]
            found = [(n, rest) for n, rest in tails if not rest or rest[0] in "[."]
        if not found:
            has = ", ".join(f"#{n} {path}" for n, path in enumerate(paths[:20]))
            raise ArgumentError(
                f"{self.program.name} has no input {which!r}",
                where=where,
                why=f"its inputs are {has}{', ...' if len(paths) > 20 else ''}" if has else "it has no inputs at all",
                todo="name one of them by its path or number; jmpc inspect shows them all"
                if has
                else "call the function in Python: an owner alone computes all of it, and nothing of it is in the text",
            )
        if len(found) > 1 and not all(rest for _, rest in found):
            numbers = ", ".join(f"#{n}" for n, _ in found)
            raise ArgumentError(
                f"{which!r} means several inputs", where=where, why=f"it is the path of {numbers}", todo="give numbers"
            )
        return found

    def _encoded(self, number: int, array: np.ndarray) -> np.ndarray:
        source = self.flow.frontier.sources[number]
        t = source.type
        kinds = _KINDS.get(t.kind, "fiub")
        if t.secret or array.shape != t.shape or array.dtype.kind not in kinds:
            is_shared = "is shared already: name a stored value" if t.secret else f"is {t.kind}{list(t.shape)}"
            raise ArgumentError(
                f"what is given for {source.path} does not fit",
                where=f"#{number} {source.path}",
                why=f"the input {is_shared}, and this is {array.dtype}{list(array.shape)}",
                todo="--stored PATH=NAME" if t.secret else "give an array of that shape and kind",
            )
        return encode(array, source, self.program.config)

    def _check(self, backend: ClusterBackend, fed: Sequence[Any]) -> None:
        """All that this client must give is there, and nothing else."""
        for n, (given, x) in enumerate(zip(self.program.inputs, fed, strict=True)):
            is_shared = given.owner == Role.SECRET
            if x is None and (is_shared or backend.plays(given.owner)):
                raise ArgumentError(
                    f"nothing is given for {given.path}",
                    where=f"#{n} {given.path}",
                    todo=f"--stored {given.path}=NAME" if is_shared else f"--input {given.path}=FILE",
                )
            if isinstance(x, Kept) and not is_shared:
                raise ArgumentError(
                    f"{given.path} is no input that is shared already",
                    where=f"#{n} {given.path}",
                    todo=f"--input {given.path}=FILE",
                )

    def _places(self, order: Order) -> list[Place]:
        found: list[Place] = []
        wanted = {str(Role.SECRET): order.keep} if order.keep else {}
        for receiver, name in {**wanted, **order.leave}.items():
            numbers = [n for n, output in enumerate(self.program.outputs) if output.receiver == receiver]
            if not numbers:
                stays = receiver == Role.SECRET
                raise ArgumentError(
                    f"no result of {self.program.name} {'stays shared' if stays else f'is for {receiver}'}",
                    where="--keep" if stays else "--leave",
                    todo="jmpc inspect shows who learns what",
                )
            found.append(self._place(name, numbers, "" if receiver == Role.SECRET else receiver, order.expires))
        return found

    def _place(self, name: str, numbers: Sequence[int], receiver: str, expires: int) -> Place:
        """Results by their paths; one alone is no dict."""
        outputs = self.program.outputs
        keys = _keys(dict.fromkeys(outputs[n].path for n in numbers))
        tree: Any = dict.fromkeys(keys.values(), 0) if len(keys) > 1 else 0
        order = sorted(keys, key=lambda path: keys[path])  # as JAX has the keys of a dict
        paths = dict(zip(order, paths_of(tree), strict=True))
        rows = [
            Stays(n, shortened(paths[outputs[n].path]), outputs[n].dtype)
            for n in sorted(numbers, key=lambda n: (order.index(outputs[n].path), n))
        ]
        return Place(name, tuple(rows), text_of(tree), receiver, expires)

    def _learned(self, results: Sequence[Any]) -> dict[str, Any]:
        """The arrays that came back, by path; two of a complex one."""
        found = dict[str, Any]()
        for n, (output, x) in enumerate(zip(self.program.outputs, results, strict=True)):
            if isinstance(x, Kept | Elsewhere):
                continue
            t, dtype = self.program.body.results[n].type, np.dtype(output.dtype)
            if dtype.kind != "c":
                found[output.path] = np.asarray(decode(x, t, dtype, self.program.config))
                continue
            part = np.asarray(decode(x, t, np.dtype(np.float64), self.program.config))
            known = found.get(output.path)
            found[output.path] = (part if known is None else known + 1j * part).astype(dtype)
        return found


def _keys(paths: Iterable[str]) -> dict[str, Any]:
    """The keys of a dict with results at these paths: those of the function's own result, where that is one dict or one
    tuple, else the paths."""
    found = {path: _ITEM.fullmatch(path) for path in paths}
    if all(item and item["text"] is not None for item in found.values()):
        return {path: item["text"] for path, item in found.items() if item}
    if all(item and item["number"] is not None for item in found.values()):
        return {path: int(item["number"]) for path, item in found.items() if item}
    return {path: path for path in found}


def _leaves(tree: Any) -> Iterable[np.ndarray]:
    return jax.tree.leaves(tree)


def _part(found: Mapping[str, Any], rest: str, which: str) -> Any:
    """What lies at a path of a value or file; what it holds alone, where the input is one array."""
    if rest in found:
        return found[rest]
    if not rest and len(found) == 1:
        return next(iter(found.values()))
    raise ArgumentError(
        f"what is given for {which} has nothing at {rest or 'its top'}",
        where=f"{which}{rest}",
        why=f"it has {', '.join(found) or 'nothing'}",
        todo="give a value or file with an array of that name",
    )
