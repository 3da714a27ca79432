"""Privacy, statistical: what each party sees of a whole program, over thousands of runs on each of two inputs.

What goes in: a secure function and two sets of arguments (or a share-level program and values). What comes out: a
`Statistical` record, or a `PrivacyError`.

    check_private_statistical(secured, (x,), (y,))

For each observer, with fresh masks and fresh sharings in each run:
- every byte of every message is uniform, and has the same distribution on both inputs;
- so have, pair by pair, the difference and the exclusive or of the first bytes of what the observer sees, its own
  shares and masks included, and of the first two elements of a message: this finds masks that are used twice. Of more
  than 2,000 pairs a part is taken, spread evenly;
- so has the first byte of everything that the party computes: this finds values that are opened.
All tests together err with probability `error` (Bonferroni).

What it shows: no dependence in single bytes and in those pairs that 20,000 runs bring out, for these two inputs. A
leak in longer combinations, or of small probability, passes. A byte of which some bits are always zero (a message of
some bits in whole bytes) is held to be uniform on the bits that occur.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jmpc import _jax
from jmpc.executors.sharing import ring_of
from jmpc.ir.program import Program
from jmpc.party.program import SECRET_OUTPUT, Traced, input_type
from jmpc.protocols.registry import PROTOCOLS
from jmpc.testing.batch import Batch
from jmpc.testing.chi_square import limit, tail, two_sample, uniform
from jmpc.testing.privacy_report import CLIENTS, PARTIES, PrivacyError, describe, free_senders, to_clients
from jmpc.testing.shares import hold
from jmpc.testing.simulate import Masks, Message, run_traced, traces

if TYPE_CHECKING:
    from jmpc.api import Secured

Array = np.ndarray
CHUNK = 4000
BYTES = 256
MAX_PAIRS = 2000


@dataclass(frozen=True)
class Statistical:
    """runs: of each input.  tests: of all observers.  smallest: the least probability that a test gave."""

    runs: int
    tests: int
    smallest: float


@dataclass
class Seen:
    """What one observer saw of one input: byte counts of its messages, and the first byte of all that it knows."""

    messages: list[Message]
    counts: list[Array]  # of each message: (bytes, 256)
    firsts: list[Array]  # (runs,), of messages, then of masks and shares, then second elements of messages
    local: list[Array]  # of each value that it computes: (1, 256)
    steps: list[Any]  # the equation of each


def check_private_statistical(
    function: Secured | Program,
    args: Sequence[Any],
    others: Sequence[Any],
    *,
    runs: int = 20_000,
    error: float = 1e-6,
    protocols: Mapping[str, Any] = PROTOCOLS,
    seed: int = 0,
) -> Statistical:
    """Compare the views on two inputs. error: probability that any test speaks without a leak. Raises PrivacyError."""
    one, mine = program_and_values(function, args)
    two, theirs = program_and_values(function, others)
    made = traces(one, protocols)
    clients = any(o.receiver != SECRET_OUTPUT for o in one.outputs)
    observers = [*PARTIES, CLIENTS] if clients else list(PARTIES)
    first = observe(one, made, mine, observers, runs, seed)
    second = observe(two, traces(two, protocols), theirs, observers, runs, seed + 1)
    for who in observers:
        _same_trace(first[who], second[who], who, made)
    tests = sum(_count(first[who]) for who in observers)
    smallest = [_Compare(first[who], second[who], who, made, error / max(tests, 1)).run() for who in observers]
    return Statistical(runs, tests, min(smallest, default=1.0))


def program_and_values(function: Secured | Program, args: Sequence[Any]) -> tuple[Program, list[Array]]:
    """The share-level program of a call, and what its inputs are worth, as the owners would share them."""
    if isinstance(function, Program):
        return function, [np.asarray(a) for a in args]
    from jmpc.api import _encode as encode  # pyright: ignore[reportPrivateUsage]

    lowered, call = function.lower(*args), function._bind(tuple(args), {})  # pyright: ignore[reportPrivateUsage]
    sources = lowered.flow.frontier.sources
    values = lowered._evaluate(call.arrays())  # pyright: ignore[reportPrivateUsage]
    found = [encode(v, s.type, s.place, function.config) for v, s in zip(values, sources, strict=False)]
    return lowered.flow.share, found


# --- what is seen


def observe(
    program: Program, made: Sequence[Traced], values: Sequence[Array], observers: Sequence[int], runs: int, seed: int
) -> dict[int, Seen]:
    """Run in chunks, and keep counts."""
    rng, seen = np.random.default_rng(seed), {}
    for start in range(0, runs, CHUNK):
        chunk = min(CHUNK, runs - start)
        for who, found in _chunk(program, made, values, observers, chunk, rng).items():
            if who in seen:
                seen[who].counts = [a + b for a, b in zip(seen[who].counts, found.counts, strict=True)]
                seen[who].local = [a + b for a, b in zip(seen[who].local, found.local, strict=True)]
                seen[who].firsts = [np.concatenate(p) for p in zip(seen[who].firsts, found.firsts, strict=True)]
            else:
                seen[who] = found
    return seen


def _chunk(
    program: Program,
    made: Sequence[Traced],
    values: Sequence[Array],
    observers: Sequence[int],
    runs: int,
    rng: np.random.Generator,
) -> dict[int, Seen]:
    ring, local = ring_of(program.config), [([], []) for _ in (*PARTIES, CLIENTS)]
    machines = [Batch(runs, _watch(*local[party])) for party in PARTIES]
    types = [input_type(p.type) for p in program.body.params]
    held = [hold(x, t, ring, rng, (runs,)) for x, t in zip(values, types, strict=True)]
    masks = Masks(rng, (runs,))
    flat, report = run_traced(made, held, masks, machines)
    seen = {}
    for who in observers:
        messages = [*report.to(who), *to_clients(program, flat, free_senders(who))]
        messages = [m for m in messages if m.array.size]
        known = [] if who == CLIENTS else [*masks.known_to(who), *(a for one in held for a in one[who])]
        firsts = [_bytes(a)[:, 0] for a in [*(m.array for m in messages), *known] if a.size]
        firsts += [_bytes(m.array)[:, m.array.itemsize] for m in _longer(messages)]
        bare = [replace(m, array=m.array[:0]) for m in messages]
        seen[who] = Seen(bare, [_histogram(m.array) for m in messages], firsts, *local[who])
    return seen


def _watch(kept: list[Array], steps: list[Any]) -> Callable[[Any, Array], None]:
    """Note the first byte of each value. What is the same in every run is left out."""

    def note(eqn: Any, array: Array) -> None:
        if array.size and array.strides[0]:
            first = np.ascontiguousarray(array.reshape(array.shape[0], -1)[:, 0]).view(np.uint8)
            kept.append(np.bincount(first[:: array.itemsize], minlength=BYTES)[None])
            steps.append(eqn)

    return note


def _bytes(array: Array) -> Array:
    """(runs, bytes of one run), little-endian."""
    return np.ascontiguousarray(array).reshape(array.shape[0], -1).view(np.uint8)


def _histogram(message: Array) -> Array:
    lanes = _bytes(message)
    cells = lanes + BYTES * np.arange(lanes.shape[1])
    return np.bincount(cells.ravel(), minlength=BYTES * lanes.shape[1]).reshape(-1, BYTES)


# --- what is compared


def _same_trace(first: Seen, second: Seen, who: int, made: Sequence[Traced]) -> None:
    sizes = [[(m.name, m.sender, m.array.shape, m.array.dtype) for m in s.messages] for s in (first, second)]
    if sizes[0] != sizes[1]:
        n = next((n for n, (a, b) in enumerate(zip(*sizes, strict=False)) if a != b), -1)
        m = first.messages[n] if first.messages else None
        where = describe(made, m.sender, m.name, m.depth) if m else "none"
        raise PrivacyError("statistical", who, where, "the two inputs send other messages, or of other sizes")


def _longer(messages: Sequence[Message]) -> list[Message]:
    """Those with more than one element."""
    return [m for m in messages if len(m.array.shape) > 1 and np.prod(m.array.shape[1:]) > 1]


def _pairs(seen: Seen) -> list[tuple[int, int]]:
    """A message, and another thing that the observer sees."""
    longer = _longer(seen.messages)
    known = len(seen.firsts) - len(longer)
    inside = [(seen.messages.index(m), known + n) for n, m in enumerate(longer)]
    every = [(a, b) for a in range(len(seen.messages)) for b in range(a + 1, known)]
    return [*inside, *every[:: 1 + len(every) // MAX_PAIRS]]


def _count(seen: Seen) -> int:
    return 2 * sum(c.shape[0] for c in seen.counts) + 4 * len(_pairs(seen)) + len(seen.local)


class _Compare:
    """All tests for one observer."""

    def __init__(self, first: Seen, second: Seen, who: int, made: Sequence[Traced], error: float) -> None:
        self.first, self.second, self.who, self.made, self.error = first, second, who, made, error
        self.worst = (-np.inf, 0.0, 0)  # in standard deviations, statistic, degrees

    def run(self) -> float:
        full = []
        for message, a, b in zip(self.first.messages, self.first.counts, self.second.counts, strict=True):
            support = _support(a + b, message.receiver != CLIENTS)
            full.append(bool(support[0].all()))
            self._test(uniform(a + b, support), message, "a byte is not uniform")
            self._test(two_sample(a, b), message, "a byte depends on the input")
        for eqn, a, b in zip(self.first.steps, self.first.local, self.second.local, strict=True):
            self._test(two_sample(a, b), eqn, "a value that it computes depends on the input")
        full += [True] * (len(self.first.firsts) - len(full))
        for pair in _pairs(self.first):
            self._pair(*pair, full[pair[0]] and full[pair[1]])
        return tail(*self.worst[1:])

    def _pair(self, a: int, b: int, full: bool) -> None:
        both = [_joint(seen.firsts[a], seen.firsts[b]) for seen in (self.first, self.second)]
        message = self.first.messages[a]
        self._test(two_sample(*both), message, "their combination depends on the input", b)
        if full:
            everywhere = np.ones_like(both[0], bool)
            self._test(uniform(both[0] + both[1], everywhere), message, "they are not independent", b)

    def _where(self, place: Any) -> str:
        """A message, or an equation of the observer's own."""
        if isinstance(place, Message):
            return describe(self.made, place.sender, place.name, place.depth)
        return f"what it takes in by {place.primitive.name} at {_jax.where(place)}"

    def _other(self, n: int) -> str:
        messages = self.first.messages
        if n >= len(self.first.firsts) - len(_longer(messages)):
            return "the next element"
        if n >= len(messages):
            return "its own masks and shares"
        return f"the message {self._where(messages[n])}"

    def _test(self, found: tuple[Array, Array], place: Any, what: str, other: int | None = None) -> None:
        """other: the second of a pair, of which `place` is the first."""
        statistics, degrees = found
        for n in np.flatnonzero(statistics > [limit(d, self.error) for d in degrees.tolist()]):
            beside = "" if other is None else f"with {self._other(other)}: "
            figures = f"chi-square {statistics[n]:.4g} with {degrees[n]} degrees of freedom"
            raise PrivacyError("statistical", self.who, self._where(place), f"{beside}{what} ({figures})")
        off = (statistics - degrees) / np.sqrt(2 * np.maximum(degrees, 1))
        n = int(np.argmax(off))
        self.worst = max(self.worst, (float(off[n]), float(statistics[n]), int(degrees[n])))


def _support(counts: Array, whole: bool) -> Array:
    """The bytes made of bits that occur, of each row. whole: one that never varies is taken to be a full one; of an
    output, which leaves with no more bits than its dtype has, it is nothing."""
    values = np.arange(BYTES)
    bits = np.array([np.bitwise_or.reduce(values[row > 0]) for row in counts])
    constant = ((counts > 0).sum(1) < 2) & whole
    return ((values[None, :] & ~bits[:, None]) == 0) | constant[:, None]


def _joint(a: Array, b: Array) -> Array:
    """Counts of the difference and of the exclusive or."""
    return np.stack([np.bincount(x, minlength=BYTES) for x in (a - b, a ^ b)])
