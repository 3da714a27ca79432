"""Cut one party's trace at its exchanges: a `Plan` of segments and rounds.

What goes in: a traced scope and the joint schedule. What comes out: the plan, with the place of every mask in its
key's stream. Raises ProgramError where the schedule does not fit the trace (it came from another program).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax import lax

from jmpc import _jax
from jmpc.errors import ProgramError
from jmpc.ir.plan import Exchange, Loop, MaskRange, Message, Plan, Segment, Spec, Step
from jmpc.party.fingerprint import array_text, key_of
from jmpc.party.memory import scratch
from jmpc.party.program import Traced
from jmpc.party.schedule import MaskName, Schedule, is_sync, mask_table, mask_words, place, ready_slot

ALIGN = 8  # words of 64 bits: each segment's masks start on a cache line


def make_plan(traced: Traced, schedule: Schedule) -> Plan:
    return Cutter(traced, schedule).plan()


@dataclass
class Layout:
    """Where each mask lies in its key's stream, in words; by peer, where each loop's masks start, and how many words
    there are."""

    start: dict[MaskName, int] = field(default_factory=dict[MaskName, int])
    loops: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    words: dict[int, int] = field(default_factory=dict[int, int])


class Cutter:
    def __init__(self, traced: Traced, schedule: Schedule) -> None:
        self.traced, self.schedule = traced, schedule
        # Counted on from this party: parties that are alike in what they do have equal segments then.
        self.peers = [(traced.party + step) % traced.parties for step in range(1, traced.parties)]
        self.eqns = traced.live
        self._check_fits()
        self._check_order()
        self.masks = mask_table(self.eqns)
        self.numbers: dict[Any, int] = {}
        self.texts: dict[int, str] = {}  # of parameters, which the copies of an equation share
        self.consts: dict[Any, Any] = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
        self.bodies: dict[int, Plan] = {
            e.params["name"]: make_plan(e.params["body"], schedule.loops[e.params["name"]][1])
            for e in self.eqns
            if e.primitive.name == "party_loop"
        }
        self.syncs: dict[int, list[Any]] = defaultdict(list)
        for eqn in self.eqns:
            if is_sync(eqn):
                self.syncs[self._slot(eqn)].append(eqn)
        self.layout = self._layout()

    def _check_fits(self) -> None:
        """The schedule names the exchanges and loops of this trace and no others, in no more slots than they can take;
        else a plan has steps without end, or a mask
        without a place."""
        found, syncs = self.schedule, [e for e in self.eqns if is_sync(e)]
        exchanges = {e.params["name"] for e in syncs if e.primitive.name == "exchange"}
        loops = {e.params["name"] for e in syncs if e.primitive.name == "party_loop"}
        late = any(slot > found.slots for slot, _ in found.masks.values())
        if exchanges != set(found.exchanges) or loops != set(found.loops) or found.slots > len(syncs) or late:
            raise ProgramError("the schedule is that of another program", todo="compile the program again")

    def _check_order(self) -> None:
        """Every exchange and loop comes after what it sends or takes."""
        ready = dict.fromkeys((*self.traced.jaxpr.invars, *self.traced.jaxpr.constvars), 0)
        for eqn in self.eqns:
            at = ready_slot(eqn, ready)
            if is_sync(eqn):
                slot = self._slot(eqn)
                if slot <= at:
                    raise ProgramError("the schedule sends a value before it exists", todo="compile the program again")
                at = slot
            ready.update((v, at) for v in eqn.outvars)

    def _slot(self, eqn: Any) -> int:
        name = eqn.params["name"]
        table = self.schedule.exchanges if eqn.primitive.name == "exchange" else self.schedule.loops
        found = table[name]
        return found if isinstance(found, int) else found[0]

    def number(self, var: Any) -> int:
        return self.numbers.setdefault(var, len(self.numbers))

    # --- masks

    def _peer(self, name: MaskName) -> int:
        """The other end of a mask of this party."""
        return name[0] + name[1] - self.traced.party

    def _layout(self) -> Layout:
        """Masks of one slot lie together, in the order of their names; then come the loops of that slot."""
        layout = Layout()
        by_slot: dict[tuple[int, int], list[MaskName]] = defaultdict(list)
        for name in sorted(self.schedule.masks):
            if self.traced.party in name[:2]:
                by_slot[self._peer(name), self.schedule.masks[name][0]].append(name)
        for peer in self.peers:
            at = 0
            for slot in range(self.schedule.slots + 1):
                for name in by_slot[peer, slot]:
                    layout.start[name] = at
                    at += self.schedule.masks[name][1]
                at = -(-at // ALIGN) * ALIGN
                for op, (loop_slot, _) in sorted(self.schedule.loops.items()):
                    if loop_slot == slot:
                        layout.loops[op, peer] = at
                        at += self._trip(op) * self.bodies[op].mask_words[peer]
            layout.words[peer] = at
        return layout

    def _trip(self, op: int) -> int:
        return next(e.params["trip"] for e in self.eqns if e.primitive.name == "party_loop" and e.params["name"] == op)

    def _home(self, var: Any) -> int:
        """The slot in which some party first uses a mask."""
        name, eqn = self.masks[var]
        slot, words = self.schedule.masks.get(name, (0, -1))
        if words != mask_words(eqn.params):
            raise ProgramError("the schedule has another mask here", todo="compile the program again")
        return slot

    # --- steps

    def plan(self) -> Plan:
        by_slot: dict[int, list[Any]] = defaultdict(list)
        for eqn, slot in place(self.eqns, self.traced, self.schedule.exchanges, self.schedule.loops):
            if not is_sync(eqn):
                by_slot[slot].append(eqn)
        last_use, judged = self._last_use(by_slot), self._judged(by_slot)
        for v, slot in judged.items():
            last_use[v] = max(last_use.get(v, 0), slot)
        inputs = [*self.traced.jaxpr.invars]
        input_numbers = tuple(self.number(v) for v in inputs)
        held = set(input_numbers)
        ends: dict[int, list[Any]] = defaultdict(list)
        for v, at in last_use.items():
            ends[at].append(v)
        steps, rounds = list[Step](), set(self.schedule.exchanges.values())
        for slot in range(self.schedule.slots + 1):
            exchange, loops = self._exchange(slot), self._loops(slot)
            segment = self._segment(slot, by_slot[slot], last_use, judged)
            held |= _held_after(exchange, loops, segment)
            frees = tuple(n for v in ends[slot] if (n := self.number(v)) in held)
            verdicts = tuple(self.number(v) for v, at in judged.items() if at == slot)
            steps.append(Step(slot in rounds, exchange, loops, segment, frees, verdicts))
        outs = self.traced.jaxpr.outvars
        return Plan(
            self.traced.party,
            input_numbers,
            tuple(_spec(v) for v in inputs),
            tuple(self.number(v) for v in outs),
            tuple(_spec(v) for v in outs),
            tuple(steps),
            self.layout.words,
        )

    def _judged(self, by_slot: dict[int, list[Any]]) -> dict[Any, int]:
        """By variable that a verdict rests on, the step in which it is made."""
        made = {v: slot for slot, eqns in self.syncs.items() for e in eqns for v in e.outvars}
        made.update((v, slot) for slot, eqns in by_slot.items() for e in eqns for v in e.outvars)
        return {v: made.get(v, 0) for v in self.traced.verdicts}

    def _last_use(self, by_slot: dict[int, list[Any]]) -> dict[Any, int]:
        """The last step in which each value is read; results are never freed."""
        last: dict[Any, int] = {}
        for slot, eqns in by_slot.items():
            for eqn in eqns:
                for v in _vars(eqn.invars):
                    last[v] = max(slot, last.get(v, 0))
        for slot, eqns in self.syncs.items():
            for v in (v for e in eqns for v in _vars(e.invars)):
                last[v] = max(slot, last.get(v, 0))
        for v in _vars(self.traced.jaxpr.outvars):
            last[v] = 1 << 31
        return last

    def _exchange(self, slot: int) -> Exchange:
        sends: dict[int, list[Message]] = defaultdict(list)
        receives: dict[int, list[Message]] = defaultdict(list)
        for eqn in self.syncs[slot]:
            if eqn.primitive.name != "exchange":
                continue
            number: int = eqn.params["name"][0]
            op, loc = self.traced.locs[number]
            for var, peer in zip(eqn.invars, eqn.params["sends"], strict=True):
                sends[peer].append(Message(self.number(var), _spec(var), eqn.params["name"], op, loc))
            for var, (peer, shape, dtype) in zip(eqn.outvars, eqn.params["recvs"], strict=True):
                receives[peer].append(Message(self.number(var), (shape, dtype), eqn.params["name"], op, loc))
        return Exchange(*({p: tuple(way[p]) for p in self.peers if p in way} for way in (sends, receives)))

    def _loops(self, slot: int) -> tuple[Loop, ...]:
        return tuple(
            Loop(
                self.bodies[p["name"]],
                p["trip"],
                p["consts"],
                p["carry"],
                p["reverse"],
                tuple(self.number(v) for v in eqn.invars),
                tuple(self.number(v) for v in eqn.outvars),
                {peer: self.layout.loops[p["name"], peer] for peer in self.peers},
            )
            for eqn in self.syncs[slot]
            if eqn.primitive.name == "party_loop"
            for p in (eqn.params,)
        )

    def _segment(self, slot: int, eqns: list[Any], last_use: dict[Any, int], judged: dict[Any, int]) -> Segment | None:
        if not eqns:
            return None
        made = {v for e in eqns for v in e.outvars}
        read = list(dict.fromkeys(v for e in eqns for v in _vars(e.invars) if v not in made))
        masks = [v for v in read if v in self.masks]
        inputs = [v for v in read if v not in self.masks]
        sent = {v for e in self.syncs[slot + 1] for v in _vars(e.invars)}
        outputs = [v for e in eqns for v in e.outvars if last_use.get(v, -1) > slot or v in sent or v in judged]
        ranges, views = self._ranges(masks)
        consts = {v: self.consts[v] for v in inputs if v in self.consts}
        inputs = [v for v in inputs if v not in consts]
        return Segment(
            tuple(ranges),
            tuple(self.number(v) for v in inputs),
            tuple(self.number(v) for v in outputs),
            tuple(_spec(v) for v in inputs),
            tuple(_spec(v) for v in outputs),
            _runner(eqns, views, inputs, outputs, len(ranges), consts),
            _key(eqns, views, ranges, inputs, outputs, consts, self.texts),
            _jax.work(eqns),
            scratch(eqns, (*inputs, *outputs, *consts)),
        )

    def _ranges(self, masks: list[Any]) -> tuple[list[MaskRange], dict[Any, View]]:
        """The ranges of the streams that a segment reads, one for each key and first slot, and each mask's view."""
        groups: dict[tuple[int, int], list[Any]] = defaultdict(list)
        for var in masks:
            groups[self.peers.index(self._peer(self.masks[var][0])), self._home(var)].append(var)
        ranges, views = list[MaskRange](), dict[Any, View]()
        for (nth, _), members in sorted(groups.items()):
            starts = {v: self.layout.start[self.masks[v][0]] for v in members}
            first = min(starts.values())
            end = max(starts[v] + mask_words(self.masks[v][1].params) for v in members)
            for v in members:
                params = self.masks[v][1].params
                views[v] = View(len(ranges), starts[v] - first, params["shape"], params["dtype"])
            ranges.append(MaskRange(self.peers[nth], first, end - first))
        return ranges, views


def _held_after(exchange: Exchange, loops: Sequence[Loop], segment: Segment | None) -> set[int]:
    """The arrays that a step adds to those that the executor holds."""
    received = {m.array for m in exchange.received}
    made = {n for lp in loops for n in lp.outputs}
    return received | made | set(segment.outputs if segment else ())


@dataclass(frozen=True)
class View:
    """A mask inside the `range`-th buffer of a segment, `start` words in."""

    range: int
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, buffers: Sequence[Any]) -> Any:
        count = int(np.prod(self.shape, dtype=np.int64))
        words = -(-count * self.dtype.itemsize // 8)
        flat = lax.slice_in_dim(buffers[self.range], self.start, self.start + words)
        if self.dtype.itemsize != 8:
            flat = lax.reshape(lax.bitcast_convert_type(flat, self.dtype), (words * 8 // self.dtype.itemsize,))
            flat = lax.slice_in_dim(flat, 0, count)
        return lax.reshape(flat, self.shape)


def _vars(atoms: Sequence[Any]) -> list[Any]:
    return [a for a in atoms if not isinstance(a, _jax.Literal)]


def _spec(var: Any) -> Spec:
    return tuple(var.aval.shape), np.dtype(var.aval.dtype)


def _runner(
    eqns: list[Any],
    views: dict[Any, View],
    inputs: list[Any],
    outputs: list[Any],
    buffers: int,
    consts: dict[Any, Any],
) -> Callable[..., list[Any]]:
    def run(*args: Any) -> list[Any]:
        env = dict(consts)
        env.update((v, view.read(args[:buffers])) for v, view in views.items())
        env.update(zip(inputs, args[buffers:], strict=True))
        _jax.evaluate(eqns, env)
        return [env[v] for v in outputs]

    return run


def _key(
    eqns: list[Any],
    views: dict[Any, View],
    ranges: list[MaskRange],
    inputs: list[Any],
    outputs: list[Any],
    consts: dict[Any, Any],
    texts: dict[int, str],
) -> str:
    """Equal for segments with equal code. A constant is named by its content: each layer brings its own copies."""
    names: dict[Any, str] = {v: f"c{array_text(value)}" for v, value in consts.items()}
    names.update((v, f"m{view}") for v, view in views.items())
    names.update((v, f"i{n}") for n, v in enumerate(inputs))
    head = f"{[r.count for r in ranges]} {[_spec(v) for v in inputs]}"
    return key_of(eqns, names, head, outputs, texts)
