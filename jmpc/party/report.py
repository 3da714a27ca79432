"""What a program costs: rounds, bytes, seconds on the wire, memory; by op and by the user's line. Before it runs.

What goes in: the plans of all parties. What comes out: a `CostReport`, which prints as a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jmpc import families
from jmpc.config import NETWORKS, Network
from jmpc.errors import ConfigError
from jmpc.ir import ops
from jmpc.ir.ops.record import BOUNDED
from jmpc.ir.plan import Plan
from jmpc.ir.program import Program, walk
from jmpc.ir.types import ASSUMED
from jmpc.party.forecast import MEASURED, NO_WORK, Speed, forecast
from jmpc.party.memory import bytes_of, memory
from jmpc.party.program import input_type
from jmpc.ring.element import Ring
from jmpc.ring.keys import MASK_KEY_BYTES
from jmpc.roles import Role
from jmpc.sizes import size_text

Clear = Mapping[str, tuple[str, ...]]
NO_LINE = "(no line)"  # of what the text of a program says nothing about


@dataclass(frozen=True)
class CostReport:
    """rounds; bytes_sent, bytes_received: messages between the parties, by party; input_bytes: what each has
    of the inputs, shares and public values, when a run begins; upload_bytes: what clients send it of them with a call:
    it draws most summands from keys, and has what is stored; seconds: on the wire, for `network`; run_seconds: with
    the local work, as estimated for `speed`; by_op, by_line: bytes sent by all;
    assumed: the lines whose results are right only while values keep within the number format's contract; clear: by who
    computes it ("" for everybody), the lines of what is computed before anything is shared; memory: the most bytes that
    each party needs at once (`party/memory.py`); wire: if it was asked for, seconds on the wire by network profile."""

    rounds: int
    bytes_sent: tuple[int, ...]
    bytes_received: tuple[int, ...]
    input_bytes: tuple[int, ...]
    seconds: float
    network: Network
    by_op: dict[str, int]
    by_line: dict[str, int]
    assumed: tuple[str, ...] = ()
    clear: Clear = field(default_factory=dict[str, tuple[str, ...]])
    memory: tuple[int, ...] = ()
    run_seconds: float = 0.0
    speed: Speed = NO_WORK
    wire: Mapping[str, float] = field(default_factory=dict[str, float])
    upload_bytes: tuple[int, ...] = ()

    def __str__(self) -> str:
        wire = f"{1e3 * self.seconds:.2f} ms on the wire ({self.network.name})"
        if self.run_seconds:
            wire += f", about {1e3 * self.run_seconds:.3g} ms with local work"
        rounds = "1 round" if self.rounds == 1 else f"{self.rounds} rounds"
        lines = [f"{rounds}, {size_text(max(self.bytes_sent))} from the busiest party, {wire}"]
        for title, counts in (("sent by", self.bytes_sent), ("memory of", self.memory)):
            if counts:
                parties = ", ".join(str(party) for party in range(len(counts)))
                lines.append(f"{title} party {parties}: " + ", ".join(map(size_text, counts)))
        for title, table in (("by op", self.by_op), ("by line", self.by_line)):
            if table.keys() != {NO_LINE}:
                lines.append(f"{title} (all parties):")
                lines += [f"  {size_text(n):>10}  {name}" for name, n in sorted(table.items(), key=lambda kv: -kv[1])]
        if self.assumed:
            lines.append("rests on the number format's range (declare with jmpc.bounded, verify with check=True):")
            lines += [f"  {loc}" for loc in self.assumed]
        for owner, places in self.clear.items():
            lines.append(f"computed in the clear by {owner or 'everybody'}, at no cost:")
            lines += [f"  {place}" for place in places]
        return "\n".join(lines)


def cost_report(
    plans: Sequence[Plan],
    network: str | Network,
    program: Program | None = None,
    clear: Clear | None = None,
    speed: Speed = MEASURED,
) -> CostReport:
    """network: a profile by name, or a link of one's own.  program: the share level, for what rests on assumed bounds
    and for what clients send.  clear: what is computed outside the plans.

    Raises ConfigError for an unknown network profile."""
    profile = network if isinstance(network, Network) else NETWORKS.get(network)
    if profile is None:
        raise ConfigError(
            f"no network profile {network!r}",
            where="cost(network)",
            todo=f"use one of {sorted(NETWORKS)}, or a jmpc.config.Network(name, latency_s, bandwidth)",
        )
    counted = _Count()
    counted.plan(plans, 1)
    return CostReport(
        counted.rounds,
        tuple(counted.sent[p.party] for p in plans),
        tuple(counted.received[p.party] for p in plans),
        tuple(sum(map(bytes_of, p.input_specs)) for p in plans),
        forecast(plans, profile),
        profile,
        dict(counted.by_op),
        dict(counted.by_line),
        tuple(_assumed(program)) if program else (),
        dict(clear or {}),
        tuple(memory(p).peak for p in plans),
        forecast(plans, profile, speed),
        speed,
        upload_bytes=_uploads(program) if program else (),
    )


def _uploads(program: Program) -> tuple[int, ...]:
    """By party, the bytes of keys and arrays of inputs that are not stored (`owner.dealt_by_keys`)."""
    family, ring = families.of(program.config), Ring(program.config.k)
    found, keyed = [0] * family.parties, set[tuple[str, str]]()  # each owner has keys of its own
    for value, entry in zip(program.body.params, program.inputs, strict=True):
        t = input_type(value.type)
        form = family.form(t)
        drawn = range(form.summands - 1)
        for party, holds in enumerate(form.holds if entry.owner != Role.SECRET else ()):
            found[party] += bytes_of(family.spec(t, ring)) * sum(n not in drawn for n in holds)
            found[party] += MASK_KEY_BYTES * sum(n in drawn for n in holds) * ((entry.owner, t.form) not in keyed)
        keyed |= {(entry.owner, t.form)} if entry.owner != Role.SECRET else set()
    return tuple(found)


def _assumed(program: Program) -> list[str]:
    """Lines of the ops whose correctness needs bounds, where one of these is assumed."""
    need = [op for op in walk(program.body) if ops.has(op.name, BOUNDED)]
    found = [op.loc for op in need if any(v.type.origin == ASSUMED for v in op.inputs)]
    return list(dict.fromkeys(loc for loc in found if loc))


class _Count:
    def __init__(self) -> None:
        self.rounds = 0
        self.sent: Counter[int] = Counter()
        self.received: Counter[int] = Counter()
        self.by_op: Counter[str] = Counter()
        self.by_line: Counter[str] = Counter()

    def plan(self, plans: Sequence[Plan], times: int) -> None:
        for steps in zip(*(p.steps for p in plans), strict=True):
            if steps[0].is_round:
                self.rounds += times
            for party, step in enumerate(steps):
                for message in step.exchange.received:
                    self.received[party] += times * message.bytes
                for message in step.exchange.sent:
                    self.sent[party] += times * message.bytes
                    self.by_op[message.op] += times * message.bytes
                    self.by_line[message.loc or NO_LINE] += times * message.bytes
            for loops in zip(*(s.loops for s in steps), strict=True):
                self.plan([lp.body for lp in loops], times * loops[0].trip)
