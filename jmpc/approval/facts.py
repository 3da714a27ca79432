"""What the text of a program says: who supplies what, who learns what, what is opened, and what it costs.

What goes in: a text as clients submit it (`executors/engine.program_text`): the share-level program and its schedule.
What comes out: `Facts`, quickly, of the program as it stands; `costs`, of the plans of all parties, which takes as long
as to compile without code. Nothing of the text runs, no module that it names is imported.

What an owner computes from its data before it shares anything is no part of a text, so no party can say what that is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from jmpc import families
from jmpc.config import NETWORKS, Config
from jmpc.errors import ProgramError
from jmpc.executors.engine import read_program, text_hash
from jmpc.ir import outside
from jmpc.ir.program import Block, Op, Program, Value, regions
from jmpc.ir.types import FIXED, Type
from jmpc.party.build import build_plan
from jmpc.party.forecast import forecast
from jmpc.party.report import CostReport, cost_report
from jmpc.roles import Role, name_fault, work_of

MOST_ELEMENTS = 1 << 28  # of one value: a text is a few characters of which a party makes arrays
MOST_OPS = 100_000


@dataclass(frozen=True, slots=True)
class Supplied:
    """An input. owner: a name, or a role: the caller, everybody (""), or `Role.SECRET`, which is shared already."""

    path: str
    owner: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A result. receiver: a name, the caller, or `Role.SECRET`: nobody, it stays shared."""

    path: str
    receiver: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """Ops that show all parties something that no mask hides. times: in one run, loops counted through."""

    op: str
    times: int
    what: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """An op from outside jmpc, of the module that declares it. digest: of the code that declares it."""

    op: str
    module: str
    digest: str


@dataclass(frozen=True, slots=True)
class Facts:
    """program: its hash.  bytes: of the text.  parties: that its family has.  ops: in the text."""

    program: str
    name: str
    config: Config
    bytes: int
    parties: int
    ops: int
    inputs: tuple[Supplied, ...]
    outputs: tuple[Told, ...]
    openings: tuple[Opening, ...]
    foreign: tuple[Foreign, ...]

    @property
    def owners(self) -> frozenset[str]:
        """Who supplies secrets: names, and `Role.CALLER`."""
        return frozenset(x.owner for x in self.inputs) - {Role.PUBLIC, Role.SECRET}

    @property
    def receivers(self) -> frozenset[str]:
        """Who learns results: names, and `Role.CALLER`."""
        return frozenset(x.receiver for x in self.outputs) - {Role.SECRET}

    @property
    def worked(self) -> dict[str, int]:
        """By who computes it first, how many inputs are not data as it was given; under "" by everybody. What is
        computed the text does not say, and only as its author says are others as they were given."""
        return dict(Counter(x.owner for x in self.inputs if x.path == work_of(x.owner)))

    @property
    def reads_stored(self) -> bool:
        """Whether it takes values that are shared already."""
        return any(x.owner == Role.SECRET for x in self.inputs)

    @property
    def keeps(self) -> bool:
        """Whether results stay shared."""
        return any(x.receiver == Role.SECRET for x in self.outputs)


def facts_of(text: str) -> Facts:
    """Raises ProgramError where the text is no program that parties would run."""
    program, _ = read_program(text)
    _check_sizes(program)
    family = families.of(program.config)
    counted = Counter[str]()
    for op, times in _run_through(program.body, 1):
        counted[op.name] += times if op.name in family.openings else 0
    names = [x.owner for x in program.inputs] + [x.receiver for x in program.outputs]
    for name in names:
        if name not in (Role.PUBLIC, Role.SECRET) and (why := name_fault(name)):
            raise ProgramError("the program names somebody who nobody can be", why=why)
    types = [value.type for value in program.body.results]
    return Facts(
        text_hash(text),
        program.name,
        program.config,
        len(text),
        family.parties,
        sum(1 for _ in _run_through(program.body, 1)),
        tuple(
            Supplied(entry.path, entry.owner, _kind(value.type), value.type.shape)
            for entry, value in zip(program.inputs, program.body.params, strict=True)
        ),
        tuple(Told(x.path, x.receiver, x.dtype, t.shape) for x, t in zip(program.outputs, types, strict=True)),
        tuple(Opening(op, times, family.protocols[op].opens) for op, times in sorted(counted.items()) if times),
        tuple(Foreign(op, o.module, o.digest) for op, o in outside.used(program).items()),
    )


def costs_of(text: str, network: str = "") -> CostReport:
    """What a run costs all parties. network: a profile, by default the one that the program was made for.

    Raises ProgramError, and ConfigError for another network."""
    program, schedule = read_program(text)
    _check_sizes(program)
    parties = range(families.of(program.config).parties)
    plans = [build_plan(program, schedule, party) for party in parties]
    report = cost_report(plans, network or program.config.network)
    return replace(report, wire={name: forecast(plans, profile) for name, profile in NETWORKS.items()})


def seconds_of(report: CostReport) -> dict[str, float]:
    """On the wire, for each network profile; of a report of `costs_of`."""
    return dict(report.wire)


def _kind(t: Type) -> str:
    return f"{t.kind}<{t.scale}>" if t.kind == FIXED else t.kind


def _run_through(block: Block, times: int) -> Iterator[tuple[Op, int]]:
    """Every op, and how often it runs."""
    for op in block.ops:
        yield op, times
        for _, region in regions(op):
            yield from _run_through(region, times * op.attrs.get("trip", 1))


def _check_sizes(program: Program) -> None:
    """Before anything is made of them. What a loop's body is given is no larger than what the loop is. Raises
    ProgramError."""
    count = 0
    for op, _ in _run_through(program.body, 1):
        count += 1
        _check_values(op.outputs)
    _check_values(program.body.params)
    if count > MOST_OPS:
        raise ProgramError(
            f"the program has {count} operations",
            why=f"a party takes {MOST_OPS} at most",
            todo="use loops of JAX (jax.lax.scan), or call several functions one after the other",
        )


def _check_values(values: tuple[Value, ...]) -> None:
    largest = max((value.type.size for value in values), default=0)
    if largest > MOST_ELEMENTS:
        raise ProgramError(
            f"the program has an array of {largest} elements",
            why=f"a party takes {MOST_ELEMENTS} at most",
            todo="go through the data in parts",
        )
