"""Privacy, exact: every input and every mask word on a tiny ring, and the distribution of each party's view counted.

What goes in: a protocol, by the name of its op, or a function that makes a program for a shape. What comes out: an
`Exact` record, or a `PrivacyError`.

    check_private_exact("and", lambda shape: [secret_bits(shape), secret_bits(shape)])

What is shown, for the ring of k bits and nothing wider: for each party and each choice of its own input shares, the
joint distribution of its mask words and of every message that it receives is the same for all values of the shares
that it does not hold. Nothing else is conditioned on: a shared output need not be, since the party's output shares are
a function of that view. So protocols compose: fed with the output of another, a checked protocol adds nothing to what
its own input shares tell (the two draw different masks, which the structural level checks).

Where a client learns outputs, the distribution is compared among inputs with the same outputs, for the clients alone
and for each party together with the clients. `tied` inputs, random bits that no party knows, are averaged over; then
the protocol that makes them must be checked with `unknown`: the value of that output is uniform given the view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmpc.config import Config
from jmpc.ir.program import Program
from jmpc.ir.types import Type
from jmpc.ring.element import Ring
from jmpc.roles import Role
from jmpc.testing.build import config_of, one_op
from jmpc.testing.privacy.enumeration import Enumeration, Shape
from jmpc.testing.privacy.report import CLIENTS, PrivacyError, describe, describe_mask, to_clients
from jmpc.testing.privacy.run_layout import columns
from jmpc.testing.simulator.lockstep import Report, results_of, run_traced

Array = np.ndarray
Inputs = Callable[[Shape], Sequence[Type]]
FOLD, NARROW = 1 << 62, 1 << 31
TABLE = 1 << 25
SAMPLE = 512


@dataclass(frozen=True)
class Exact:
    """What was enumerated. k: width of the ring.  runs: combinations of input shares and mask words."""

    k: int
    runs: int
    observers: int


def check_private_exact(
    protocol: str | Callable[[Shape], Program],
    inputs: Inputs | None = None,
    attrs: Mapping[str, Any] | Callable[[Shape], Mapping[str, Any]] | None = None,
    *,
    config: Config | None = None,
    protocols: Mapping[str, Any] | None = None,
    tied: Mapping[int, int] | None = None,
    unknown: Sequence[int] = (),
    orders: Sequence[int] = (),
) -> Exact:
    """Enumerate a protocol. inputs: types of its inputs for a shape.  attrs: of the op, by shape where they hold one.
    config: its ring (3 bits by default).  protocols: the table that the op is looked up in.  unknown: outputs whose
    value is uniform to every party.  tied, orders: see `Enumeration`.  Raises PrivacyError; ValueError where it cannot
    be enumerated: too many runs, or elements that are not runs of their own."""
    program_at = protocol if callable(protocol) else _of_op(protocol, inputs, attrs, config or config_of(3, 0))
    every = Enumeration(program_at, protocols, tied, orders)
    check_elementwise(every)
    flat, report = _run(every)
    opened = _opened(every, flat)
    observers = [*range(len(every.made)), *([CLIENTS] if opened else [])]
    for observer in observers:
        _Check(every, flat, report, observer, opened).run()
        for n in unknown:
            _Check(every, flat, report, observer, opened).run_unknown(results_of(every.program, flat)[n], n)
    return Exact(every.ring.k, every.count, len(observers))


def _of_op(
    name: str,
    inputs: Inputs | None,
    attrs: Mapping[str, Any] | Callable[[Shape], Mapping[str, Any]] | None,
    config: Config,
) -> Callable[[Shape], Program]:
    def program_at(shape: Shape) -> Program:
        found = attrs(shape) if callable(attrs) else attrs or {}
        return one_op(name, list(inputs(shape)) if inputs else [], config, **found)

    return program_at


def _run(every: Enumeration) -> tuple[list[list[Array]], Report]:
    return run_traced(every.made, [every.held(n) for n in range(len(every.inputs))], every.words())


def check_elementwise(every: Enumeration) -> None:
    """That no element of the arrays touches another: some runs, in another order, see the same messages."""
    runs = every.sample(SAMPLE)
    order = np.argsort(np.random.default_rng(2).random(SAMPLE))
    (_, first), (_, second) = (_run(every.only(numbers)) for numbers in (runs, runs[order]))
    for one, other in zip(first.messages, second.messages, strict=True):
        for a, b in zip(columns(one.array, SAMPLE), columns(other.array, SAMPLE), strict=True):
            if not np.array_equal(a[order], b):
                raise ValueError(f"elements are not runs of their own: {describe(every.made, one.sender, one.name)}")


def _opened(every: Enumeration, flat: Sequence[Sequence[Array]]) -> list[Array]:
    """The values that clients learn, by run."""
    if all(o.receiver == Role.SECRET for o in every.program.outputs):
        return []
    values = results_of(every.program, flat)
    return [v for v, o in zip(values, every.program.outputs, strict=True) if o.receiver != Role.SECRET]


class _Check:
    """The view of one observer. The clients are given the summands that the parties send them."""

    def __init__(
        self,
        every: Enumeration,
        flat: Sequence[Sequence[Array]],
        report: Report,
        observer: int,
        opened: Sequence[Array],
    ) -> None:
        self.every, self.observer = every, observer
        numbers = range(len(every.inputs))
        if observer == CLIENTS:
            own, self.masks, self.messages = [], [], []
            hidden = [c for n in numbers for part in every.components(n) for c in part]
        else:
            own = [c for n in numbers for c in every.own(n, observer)]
            hidden = [c for n in numbers for c in every.hidden(n, observer)]
            self.masks, self.messages = every.drawn_by(observer), report.to(observer)
        others = [p for p in range(len(every.made)) if p != observer]
        self.messages = [*self.messages, *to_clients(every.program, flat, others)]
        self.group = fold(every.count, [*own, *opened])
        self.hidden = fold(every.count, hidden)

    def run(self) -> None:
        if _distance(self.group, self.hidden, self._view(len(self.messages))) > 0:
            self._fail()

    def run_unknown(self, value: Array, n: int) -> None:
        value = fold(self.every.count, [value])
        nothing = np.zeros_like(value)
        view = fold(self.every.count, [self.group, self._view(len(self.messages))])
        uneven = len(set(np.bincount(value).tolist())) > 1
        distance = _distance(nothing, value, view)
        if uneven or distance > 0:
            what = f"output {n} is not uniform given the view (total variation {distance:.3g}, even: {not uneven})"
            raise PrivacyError("exact", self.observer, "the whole view", what)

    def _view(self, messages: int) -> Array:
        every = self.every
        found = [c for m in self.messages[:messages] for c in columns(m.array, every.count)]
        return fold(every.count, [*self.masks, *found])

    def _fail(self) -> None:
        """Name the first message with which the view differs."""
        count = next(n for n in range(len(self.messages) + 1) if _distance(self.group, self.hidden, self._view(n)) > 0)
        distance = _distance(self.group, self.hidden, self._view(count))
        what = f"its view differs between inputs that it must not tell apart (total variation {distance:.3g})"
        details = [*self._keys(), *self._example(count)]
        if count == 0:
            raise PrivacyError("exact", self.observer, "none: its own masks and shares", what, details)
        last = self.messages[count - 1]
        details = [*_unreduced(last.array, self.every.ring), *details]
        at = describe(self.every.made, last.sender, last.name, last.depth)
        raise PrivacyError("exact", self.observer, at, what, details)

    def _keys(self) -> list[str]:
        """The masks that could have hidden it."""
        unknown = [describe_mask(key[:2], key[2:]) for key in self.every.masks if self.observer not in key[:2]]
        return [f"masks that it does not know: {'; '.join(unknown) or 'none'}"]

    def _example(self, messages: int) -> list[str]:
        """Two inputs that it must not tell apart, and a view that one gives more often than the other."""
        every, view = self.every, self._view(messages)
        of_view, of_hidden = fold(every.count, [self.group, view]), fold(every.count, [self.group, self.hidden])
        cells = fold(every.count, [of_view, self.hidden])
        often = np.bincount(cells)[cells] / np.bincount(of_hidden)[of_hidden]
        usual = np.bincount(of_view)[of_view] / np.bincount(self.group)[self.group]
        here = int(np.argmax(often - usual))
        alike, seen = self.group == self.group[here], of_view == of_view[here]
        size = int(self.hidden.max()) + 1
        total, times = (np.bincount(self.hidden[runs], minlength=size) for runs in (alike, alike & seen))
        seldom = np.where(total > 0, times / np.maximum(total, 1), np.inf)
        there = int(np.flatnonzero(alike & (self.hidden == int(np.argmin(seldom))))[0])
        return [
            f"inputs: {self._inputs(here)}, or {self._inputs(there)}",
            f"it sees: {self._transcript(here, messages)}",
            f"probability of that: {often[here]:.3g} of the first, {float(seldom.min()):.3g} of the second",
        ]

    def _inputs(self, run: int) -> str:
        """What the inputs are worth in a run."""
        every = self.every
        found = [every.worth(n) for n in range(len(every.inputs))]
        return f"({', '.join(str([int(x[run]) for x in value])[1:-1] for value in found)})"

    def _transcript(self, run: int, messages: int) -> str:
        """What the observer has in a run: its shares, its masks, and what it receives, in order."""
        every = self.every
        own = [] if self.observer == CLIENTS else [every.own(n, self.observer) for n in range(len(every.inputs))]
        received = [columns(m.array, every.count) for m in self.messages[:messages]]
        parts = (("shares", own), ("masks", [self.masks]), ("messages", received))
        said = [f"{name} {[int(x[run]) for group in groups for x in group]}" for name, groups in parts]
        return ", ".join(said)


def _unreduced(message: Array, ring: Ring) -> list[str]:
    """A mask is whole words, and a share may be: what is left above the ring's bits hides nothing, and may tell."""
    if message.dtype != ring.dtype or not (message >> ring.dtype.type(ring.k)).any():
        return []
    return [f"it has bits above the {ring.k} of the ring: reduce what is sent (me.ring.reduce)"]


def fold(count: int, columns: Sequence[Array]) -> Array:
    """One code for each run: equal codes where all columns are equal."""
    codes, size = np.zeros(count, np.int32), 1
    for column in columns:
        low = int(column.min(initial=0))
        radix = int(column.max(initial=0)) - low + 1
        if size * radix >= FOLD:
            codes = dense(codes)
            size = int(codes.max()) + 1
        if size * radix >= NARROW:
            codes = codes.astype(np.int64)
        codes *= radix
        codes += (column if low == 0 else column.astype(np.int64) - low).astype(codes.dtype)
        size *= radix
    return dense(codes)


def dense(codes: Array) -> Array:
    """The same partition, numbered from 0."""
    if int(codes.max(initial=0)) < TABLE:
        seen = np.zeros(int(codes.max(initial=0)) + 1, bool)
        seen[codes] = True
        return (np.cumsum(seen, dtype=np.int32) - 1)[codes]
    return np.unique(codes, return_inverse=True)[1]


def _distance(group: Array, hidden: Array, view: Array) -> float:
    """How far the view is from independent of what is hidden, given the group: the largest total variation between the
    view for one hidden value and the view for all; exactly 0 where the counts say that it is independent."""
    count = group.size
    of_hidden, of_view = fold(count, [group, hidden]), fold(count, [group, view])
    cells = fold(count, [of_view, hidden])
    in_group, in_hidden, in_view, in_cell = (np.bincount(x) for x in (group, of_hidden, of_view, cells))
    first = np.zeros(in_cell.size, np.int64)
    first[cells] = np.arange(count)  # some run of each cell
    total, by_hidden, by_view = in_group[group[first]], in_hidden[of_hidden[first]], in_view[of_view[first]]
    if np.array_equal(in_cell * total, by_hidden * by_view):
        return 0.0
    excess = np.maximum(in_cell / by_hidden - by_view / total, 0)
    return float(np.bincount(of_hidden[first], excess).max())
