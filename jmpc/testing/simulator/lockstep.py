"""Run a share-level program at all parties in lock step, without XLA: what protocols are tested on.

What goes in: a program and what its inputs are worth. What comes out: what its results are worth, and what was sent.
The party programs are those that users run (`party/program.py`); here they are read equation by equation, in NumPy.
A round is counted by its definition: one more than the latest message that a value depends on, at any party. So
neither the schedule nor the plan is trusted.

    results, report = run(one_op("and", types, Config()), [x, y])
    report.cost                                      # rounds, and the bytes that each party sent
    report.seen[1]                                   # every message that party 1 received

`Masks` draws pseudo-random words; a subclass chooses them (`enumeration.py` goes through all of them). A `Machine` says
how an equation is computed; `batch.py` has one for thousands of runs at once.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from jmpc import _jax, families
from jmpc.executors.run import judge
from jmpc.families.protocol import Cost
from jmpc.ir.program import Program
from jmpc.ir.types import INT, PLAIN, Type
from jmpc.party.program import Traced, input_type, output_widths, trace_party
from jmpc.ring.element import Ring
from jmpc.roles import Role
from jmpc.testing.simulator import numpy_rules
from jmpc.testing.simulator.shares import Held, hold, opened, worth
from jmpc.testing.simulator.tape import Function, Tape

Array = np.ndarray


# --- three parties in lock step


@dataclass
class Sent:
    """One party's side of an exchange: the arrays by peer, the specs that it expects, and how deep it is."""

    name: Any
    arrays: dict[int, Array]
    wants: Sequence[tuple[int, tuple[int, ...], Any]]
    depth: int


@dataclass(frozen=True, repr=False)
class Message:
    """What went from one party to another. name: (path of loops, (op number, use)); depth: its round, from 1."""

    sender: int
    receiver: int
    name: Any
    depth: int
    array: Array


@dataclass
class Report:
    """What a run of so many parties sent, in order."""

    parties: int
    rounds: int = 0
    bytes_sent: list[int] = field(default_factory=list[int])
    messages: list[Message] = field(default_factory=list[Message])

    def __post_init__(self) -> None:
        self.bytes_sent = self.bytes_sent or [0] * self.parties

    @property
    def cost(self) -> Cost:
        return Cost(self.rounds, tuple(self.bytes_sent))

    def to(self, party: int) -> list[Message]:
        return [m for m in self.messages if m.receiver == party]

    @property
    def seen(self) -> list[list[Array]]:
        """Every array that each party received."""
        return [[m.array for m in self.to(party)] for party in range(self.parties)]


class Masks:
    """Pseudo-random words by (path, pair, name): the two ends of a pair draw the same. runs: of a batch."""

    def __init__(self, rng: np.random.Generator, runs: tuple[int, ...] = ()) -> None:
        self.rng, self.runs = rng, runs
        self.drawn: dict[Any, Array] = {}

    def __call__(self, path: Any, pair: tuple[int, int], name: Any, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        key = (path, pair, name)
        if key not in self.drawn:
            self.drawn[key] = self.make(key, (*self.runs, *shape), dtype)
        found = self.drawn[key]
        assert (found.shape, found.dtype) == ((*self.runs, *shape), dtype), "two parties draw different masks"
        return found

    def make(self, key: Any, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        return self.rng.integers(0, 1 << (8 * dtype.itemsize), shape, dtype)

    def known_to(self, party: int) -> list[Array]:
        return [a for (_, pair, _), a in self.drawn.items() if party in pair]


class Machine:
    """How a walk computes: here equation by equation, one run. `batch.py` has one for many runs at once."""

    runs: tuple[int, ...] = ()
    ahead = True  # constants take little room

    def __init__(self) -> None:
        self._tapes = WeakKeyDictionary[Traced, Tape]()

    def tape(self, traced: Traced) -> Tape:
        """What a party's scope does; its messages and loops are left to the walk. A loop's body is read once."""
        if traced not in self._tapes:
            self._tapes[traced] = Tape(traced.jaxpr, traced.consts, self.constant, self.walked, self.ahead)
        return self._tapes[traced]

    def constant(self, value: Any) -> Array:
        return np.asarray(value)

    def walked(self, eqn: Any) -> Function | None:
        """What computes an equation of a party's scope; None for one that the walk takes care of."""
        return None if eqn.primitive.name in WALKED else self.function(eqn)

    def function(self, eqn: Any) -> Function:
        """What computes an equation, found once for all its runs."""
        if eqn.primitive.name == "scan":
            return self._scan(_jax.scan_parts(eqn), [(v.aval.shape, v.aval.dtype) for v in eqn.outvars])
        body = _jax.body_of(eqn)
        return self.rule(eqn) if body is None else self.inlined(body)

    def rule(self, eqn: Any) -> Function:
        """Of an equation without a body."""
        return numpy_rules.function_of(eqn)

    def inlined(self, body: Any) -> Function:
        return Tape(*_jax.closed(body), self.constant, self.function, self.ahead).run

    def _scan(self, parts: Mapping[str, Any], outs: Sequence[tuple[tuple[int, ...], Any]]) -> Function:
        consts, carried, length, body = parts["consts"], parts["carry"], parts["length"], self.inlined(parts["body"])

        def scanned(*arrays: Array) -> list[Array]:
            fixed, carry, stacked = arrays[:consts], arrays[consts : consts + carried], arrays[consts + carried :]
            rows = list[Sequence[Array]]()
            for n in range(length)[:: -1 if parts["reverse"] else 1]:
                results = body(*fixed, *carry, *(self.row(stack, n) for stack in stacked))
                carry = results[:carried]
                rows.append(results[carried:])
            return [*carry, *self.stacks(rows, outs[carried:], parts["reverse"])]

        return scanned

    def judge(self, verdicts: Sequence[Array]) -> None:
        judge(verdicts)

    def steps(self, trip: int) -> int:
        return trip

    def row(self, stack: Array, n: int) -> Array:
        return stack[n]

    def stacks(self, rows: Sequence[Sequence[Array]], specs: Sequence[tuple[Any, Any]], reverse: bool) -> list[Array]:
        """What a loop collects: of each array its rows, in order."""
        rows = rows[::-1] if reverse else rows
        return [self.stack([row[n] for row in rows], *spec) for n, spec in enumerate(specs)]

    def stack(self, rows: Sequence[Array], shape: tuple[int, ...], dtype: Any) -> Array:
        return np.stack(rows) if rows else np.zeros(shape, dtype)


Walk = Generator[Sent, tuple[list[Array], int], tuple[list[Array], list[int]]]
WALKED = frozenset({"mask", "exchange", "verdict", "party_loop"})
ONE_RUN = Machine()


def walk(
    traced: Traced, inputs: Sequence[Array], depths: Sequence[int], masks: Masks, path: Any = (), on: Machine = ONE_RUN
) -> Walk:
    """One party's scope: yields what it sends, takes what it receives, returns its results and their depths."""
    tape = on.tape(traced)
    values, deep = tape.begun(inputs), [0] * len(tape.start)
    for number, depth in zip(tape.inputs, depths, strict=True):
        deep[number] = depth
    for eqn, function, reads, writes in tape.steps:
        given = [values[n] for n in reads]
        depth = max([deep[n] for n in reads], default=0)
        if function is not None:
            outs = function(*given)
        elif eqn.primitive.name == "mask":
            outs = [masks(path, **eqn.params)]
        elif eqn.primitive.name == "exchange":
            sent = dict(zip(eqn.params["sends"], given, strict=True))
            outs, depth = yield Sent((path, eqn.params["name"]), sent, eqn.params["recvs"], depth)
        elif eqn.primitive.name == "verdict":
            on.judge(given)
            outs = given
        else:
            outs, depth = yield from _loop(eqn.params, given, depth, masks, path, on)
        for number, out in zip(writes, outs, strict=True):
            values[number], deep[number] = out, depth
    on.judge([values[tape.of(v)] for v in traced.verdicts])
    return [values[n] for n in tape.results], [deep[n] for n in tape.results]


def _loop(
    p: dict[str, Any], values: list[Array], depth: int, masks: Masks, path: Any, on: Machine
) -> Generator[Sent, tuple[list[Array], int], tuple[list[Array], int]]:
    """Each iteration starts where the last one ended, as the executors run it."""
    consts, carried, trip = p["consts"], p["carry"], p["trip"]
    fixed, carry, stacked = values[:consts], values[consts : consts + carried], values[consts + carried :]
    rows = list[list[Array]]()
    for step in range(on.steps(trip)):
        n = trip - 1 - step if p["reverse"] else step
        inputs = [*fixed, *carry, *(on.row(s, n) for s in stacked)]
        inner = (*path, p["name"], step)
        results, depths = yield from walk(p["body"], inputs, [depth] * len(inputs), masks, inner, on)
        depth, carry = max([depth, *depths]), results[:carried]
        rows.append(results[carried:])
    return [*carry, *on.stacks(rows, p["out"][carried:], p["reverse"])], depth


def lock_step(walks: Sequence[Walk], report: Report, runs: tuple[int, ...] = ()) -> list[list[Array]]:
    """Drive all parties to their end, handing over messages."""
    done: list[list[Array]] = []
    answers: list[Any] = [None] * len(walks)
    while not done:
        sent = []
        for party, (one, answer) in enumerate(zip(walks, answers, strict=True)):
            try:
                sent.append(one.send(answer))
            except StopIteration as end:
                assert len(done) == party, f"a party ends before the others: party {party}, at {_meeting(sent)}"
                done.append(end.value[0])
        if done:
            assert len(done) == len(walks), f"a party ends before the others, who are at {_meeting(sent)}"
            break
        answers = _deliver(sent, report, runs)
    return done


def _deliver(sent: Sequence[Sent], report: Report, runs: tuple[int, ...]) -> list[tuple[list[Array], int]]:
    assert len({s.name for s in sent}) == 1, f"the parties meet at different exchanges: {_meeting(sent)}"
    depth = 1 + max(s.depth for s in sent)
    report.rounds = max(report.rounds, depth)
    answers, taken = [], 0
    for party, mine in enumerate(sent):
        got = []
        for other, shape, dtype in mine.wants:
            array = sent[other].arrays.get(party)
            at = f"from party {other} to party {party}, at {_meeting(sent)}"
            assert array is not None, f"a message is expected and not sent: {at}"
            found, expected = (array.shape, array.dtype), ((*runs, *shape), np.dtype(dtype))
            assert found == expected, f"a message is not what is expected: {found}, not {expected}, {at}"
            got.append(array)
            report.messages.append(Message(other, party, mine.name, depth, array))
            taken += 1
        report.bytes_sent[party] += sum(a.nbytes for a in mine.arrays.values())
        answers.append((got, depth))
    assert taken == sum(len(s.arrays) for s in sent), f"a message that nobody takes, at {_meeting(sent)}"
    return answers


def _meeting(sent: Sequence[Sent]) -> str:
    """The exchanges at which parties are, in words."""
    found = [f"exchange {use} of op {number}" for _, (number, use) in (s.name for s in sent)]
    return ", ".join(dict.fromkeys(found))


# --- programs


def traces(program: Program, protocols: Mapping[str, Any] | None = None) -> list[Traced]:
    """The programs of all parties. protocols: another table than the family's, say with a broken protocol in it."""
    family = families.of(program.config)
    family = family if protocols is None else replace(family, protocols=protocols)
    return [trace_party(program, party, family, "native") for party in range(family.parties)]


def run_traced(
    made: Sequence[Traced], held: Sequence[Sequence[Held]], masks: Masks, on: Machine | Sequence[Machine] = ONE_RUN
) -> tuple[list[list[Array]], Report]:
    """Run party programs on shares: held[input][party]. on: a machine, or one for each party. Comes out: flat results
    by party."""
    report, walks = Report(len(made)), []
    machines = [on] * len(made) if isinstance(on, Machine) else on
    for party, (traced, machine) in enumerate(zip(made, machines, strict=True)):
        flat = [a for one in held for a in one[party]]
        walks.append(walk(traced, flat, [0] * len(flat), masks, (), machine))
    return lock_step(walks, report, machines[0].runs), report


def run_held(
    program: Program, held: Sequence[Sequence[Held]], rng: np.random.Generator, made: Sequence[Traced] | None = None
) -> tuple[list[list[Array]], Report]:
    """Run on shares: held[input][party]. Comes out: flat results by party."""
    return run_traced(made or traces(program), held, Masks(rng))


def run(program: Program, values: Sequence[Array], seed: int = 0) -> tuple[list[Array], Report]:
    """Share the values, run, and say what the results are worth."""
    rng, ring, family = np.random.default_rng(seed), Ring(program.config.k), families.of(program.config)
    types = [input_type(p.type) for p in program.body.params]
    held = [hold(np.asarray(x), t, ring, rng, (), family) for x, t in zip(values, types, strict=True)]
    flat, report = run_held(program, held, rng)
    return results_of(program, flat), report


def _read(x: Array, t: Type, dtype: str) -> Array:
    """As the receiver reads it: of an integer, only the bits of its dtype left the parties."""
    return x.astype(dtype).astype(np.int64) if t.kind == INT and dtype.startswith(("int", "uint")) else x


def results_of(program: Program, flat: Sequence[Sequence[Array]]) -> list[Array]:
    """The results' worth, from what each party holds: a summand of a revealed one, the shares of one that is kept."""
    ring, family = Ring(program.config.k), families.of(program.config)
    found, at = [], [0] * len(flat)
    for widths, value, output in zip(output_widths(program), program.body.results, program.outputs, strict=True):
        t = value.type
        parts = [list(f[start : start + width]) for f, start, width in zip(flat, at, widths, strict=True)]
        if output.receiver == Role.SECRET or t.form == PLAIN:
            found.append(worth(parts, t, ring, family))
        else:
            found.append(_read(opened([a for mine in parts for a in mine], t, ring, family), t, output.dtype))
        at = [start + width for start, width in zip(at, widths, strict=True)]
    return found
