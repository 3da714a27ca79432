"""Privacy, statistical: what each party sees of a whole program, over thousands of runs on each of two inputs.

What goes in: a secure function and two sets of arguments (or a share-level program and values). What comes out: a
`Statistical` record, or a `PrivacyError`.

    check_private_statistical(secured, (x,), (y,))

For each observer, with fresh masks and fresh sharings in each run, all that it sees has the same distribution on both
inputs, as far as these look:
- every byte of every message, and the first byte of everything that the party computes; besides, a byte of a message
  is uniform on the bits that vary in it, unless the message opens an order;
- *linear relations* (`linear_relations.py`): whatever sums of its shares, masks and messages, of products of its
  shares, and of their bits are the same in all runs on one input, are so on the other. Of how many numbers such a sum
  is does not matter, nor by what they are multiplied, nor whether it is only the low bits of them that add up;
- *sums of up to three* of its shares, masks and messages, or of a message and a value that it computes
  (`small_sums.py`), also those that are something else only once in sixty-four runs; of many a part.
All tests together err with probability `error` (Bonferroni).

What it shows: no dependence that these look for and that so many runs bring out, for these two inputs. They should
differ in every element, in the lowest bit too (`opposite_inputs` makes such). What is rarer, or needs four numbers to
be seen and does not always hold, passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jmpc import _jax
from jmpc.ir.program import Program
from jmpc.party.program import Traced
from jmpc.roles import Role
from jmpc.testing.privacy import linear_relations, small_sums
from jmpc.testing.privacy.chi_square import limit, tail, two_sample, uniform
from jmpc.testing.privacy.report import CLIENTS, PrivacyError, check_same_program, describe
from jmpc.testing.privacy.views import BYTES, Known, Seen, observe
from jmpc.testing.simulator.lockstep import Message, traces

if TYPE_CHECKING:
    from jmpc.api import Secured

Array = np.ndarray
SPARE = 64  # runs beyond the number of columns: then no relation holds by chance
MOST_FOUND = 8  # relations that are tried on runs of their own


@dataclass(frozen=True)
class Statistical:
    """runs: of each input.  tests: of all observers.  smallest: the least probability that a test gave; 1 where none is
    below one in a thousand."""

    runs: int
    tests: int
    smallest: float


def check_private_statistical(
    function: Secured | Program,
    args: Sequence[Any],
    others: Sequence[Any],
    *,
    runs: int = 20_000,
    error: float = 1e-6,
    protocols: Mapping[str, Any] | None = None,
    seed: int = 0,
    most_sums: int = small_sums.MOST_SUMS,
) -> Statistical:
    """Compare the views on two inputs. error: probability that any test speaks without a leak. most_sums: of three and
    fewer, for each observer. Raises PrivacyError."""
    one, mine = program_and_values(function, args)
    two, theirs = program_and_values(function, others)
    check_same_program(one, two, "statistical")
    made = traces(one, protocols)
    clients = any(o.receiver != Role.SECRET for o in one.outputs)
    observers = [*range(len(made)), *([CLIENTS] if clients else [])]
    first, second = (observe(one, made, x, observers, runs, seed + n) for n, x in enumerate((mine, theirs)))
    every = [_Compare(first[who], second[who], who, made, most_sums) for who in observers]
    tests = sum(one.tests for one in every)
    smallest = [one.run(error / max(tests, 1)) for one in every]
    return Statistical(runs, tests, min(smallest, default=1.0))


def program_and_values(function: Secured | Program, args: Sequence[Any]) -> tuple[Program, list[Array]]:
    """The share-level program of a call, and what its inputs are worth, as the owners would share them."""
    if isinstance(function, Program):
        return function, [np.asarray(a) for a in args]
    from jmpc.owner import encode

    lowered, call = function.lower(*args), function.bind(tuple(args), {})
    sources = lowered.flow.frontier.sources
    values = lowered._evaluate(call.arrays())  # pyright: ignore[reportPrivateUsage]
    found = [encode(v, s, function.config) for v, s in zip(values, sources, strict=False)]
    return lowered.flow.share, found


class _Compare:
    """All tests for one observer."""

    def __init__(self, first: Seen, second: Seen, who: int, made: Sequence[Traced], most_sums: int) -> None:
        self.first, self.second, self.who, self.made = first, second, who, made
        self.sums = small_sums.chosen(first.known, most_sums)
        self.smallest = 1.0
        bytes_of_messages = sum(c.shape[0] for c in first.counts)
        self.tests = 2 * bytes_of_messages + len(first.local) + len(self.sums) + 4 * MOST_FOUND

    def run(self, error: float) -> float:
        self._bytes(error)
        for found in (self._relations_of_bits(), self._relations_of_words()):
            for probability, terms, what in found:
                self._judge(probability, error, terms, what)
        for one in self.sums:
            mine, theirs = (small_sums.values(seen.known, one) for seen in (self.first, self.second))
            found = small_sums.probability(mine, theirs, small_sums.bits_of(self.first.known, one))
            terms = [self.first.known[n].place for n in one.terms]
            self._judge(found, error, terms, f"their {'exclusive or' if '^' in one.ways else 'sum'}")
        return self.smallest

    def _judge(self, probability: float, error: float, places: Sequence[Any], what: str) -> None:
        """places: of the terms; the last message among them is where it was told."""
        self.smallest = min(self.smallest, probability)
        if probability > error:
            return
        at = next((p for p in reversed(places) if isinstance(p, Message)), places[0])
        rest = [self._where(p) for p in places if p is not at]
        beside = f"with {' and '.join(dict.fromkeys(rest))}: " if rest else ""
        said = f"{beside}{what} depends on the input (probability {probability:.2g})"
        raise PrivacyError("statistical", self.who, self._where(at), said)

    def _where(self, place: Any) -> str:
        """A message, something of its own, or an equation of its own."""
        if isinstance(place, Message):
            return describe(self.made, place.sender, place.name, place.depth)
        if isinstance(place, str):
            return place
        return f"what it takes in by {place.primitive.name} at {_jax.where(place)}"

    # --- bytes

    def _bytes(self, error: float) -> None:
        for message, a, b in zip(self.first.messages, self.first.counts, self.second.counts, strict=True):
            self._test(two_sample(a, b), message, "a byte depends on the input", error, (a, b))
            if message.name not in self.first.opened:
                self._test(uniform(a + b, _support(a + b)), message, "a byte is not uniform", error)
        for eqn, a, b in zip(self.first.steps, self.first.local, self.second.local, strict=True):
            self._test(two_sample(a, b), eqn, "a value that it computes depends on the input", error, (a, b))

    def _test(
        self, found: tuple[Array, Array], place: Any, what: str, error: float, counts: Sequence[Array] = ()
    ) -> None:
        """counts: on each input, by byte, how often it has each value."""
        statistics, degrees = found
        for n in np.flatnonzero(statistics > [limit(d, error) for d in degrees.tolist()]):
            figures = f"chi-square {statistics[n]:.4g} with {degrees[n]} degrees of freedom"
            details = _frequencies(*(c[n] for c in counts)) if counts else []
            raise PrivacyError("statistical", self.who, self._where(place), f"{what} ({figures})", details)
        n = int(np.argmax((statistics - degrees) / np.sqrt(2 * np.maximum(degrees, 1))))
        self.smallest = min(self.smallest, tail(float(statistics[n]), int(degrees[n])))

    # --- linear relations

    def _tables(self, join: Any) -> tuple[list[list[Array]], list[Any]]:
        """By input, all that is known by run, and products of the observer's shares; and what it is."""
        both = [_wide(seen.known, join) for seen in (self.first, self.second)]
        return [[array for array, _ in one] for one in both], [place for _, place in both[0]]

    def _relations_of_bits(self) -> Iterator[tuple[float, list[Any], str]]:
        tables, places = self._tables(np.bitwise_and)
        (mine, at), (theirs, _) = (linear_relations.bit_columns(one) for one in tables)
        runs = min((one.shape[0] for one in tables[0]), default=0)
        fit = min(len(mine) + SPARE, runs // 2)
        ones, low = (1 << runs) - 1, (1 << fit) - 1
        columns = [[ones, *one] for one in (mine, theirs)]
        for here, there in (columns, columns[::-1]):
            fitted = [[c & low for c in one] for one in (here, there)]
            kept = (r for r in linear_relations.bit_relations(fitted[0]) if linear_relations.bit_sum(fitted[1], r))
            for relation in _first(kept):
                counts = [linear_relations.bit_sum(one, relation) >> fit for one in (here, there)]
                terms = [places[m] for n, made in enumerate(at) if relation >> (n + 1) & 1 for m in made]
                yield _uneven([c.bit_count() for c in counts], runs - fit), terms, "the exclusive or of their bits"

    def _relations_of_words(self) -> Iterator[tuple[float, list[Any], str]]:
        tables, places = self._tables(np.multiply)
        (mine, at), (theirs, _) = (linear_relations.word_columns(one) for one in tables)
        runs = mine.shape[0]
        fit = min(len(at) + SPARE, runs // 2)
        ones = np.ones((runs, 1), linear_relations.WORD)
        both = [np.concatenate([ones, one], 1) for one in (mine, theirs)]
        for here, there in (both, both[::-1]):
            every = linear_relations.word_relations(here[:fit])
            kept = (r for r in every if linear_relations.word_sum(there[:fit], r).any())
            for relation in _first(kept):
                counts = [int((linear_relations.word_sum(one[fit:], relation) != 0).sum()) for one in (here, there)]
                terms = [places[m] for n in np.flatnonzero(relation[1:]) for m in at[n]]
                yield _uneven(counts, runs - fit), terms, "a sum of multiples of them"


def _frequencies(mine: Array, theirs: Array) -> list[str]:
    """The value of a byte that one input has so much more often than the other."""
    shares = [c / max(c.sum(), 1) for c in (mine, theirs)]
    value = int(np.argmax(np.abs(shares[0] - shares[1])))
    first, second = (float(share[value]) for share in shares)
    return [f"probability of the value {value}: {first:.3g} of the first input, {second:.3g} of the second"]


def _first(found: Iterator[Any]) -> Iterator[Any]:
    return (one for _, one in zip(range(MOST_FOUND), found, strict=False))


def _uneven(counts: Sequence[int], runs: int) -> float:
    """A bound on the probability that, of `runs` on each input, one has something so much more often than the other."""
    mine, theirs = (np.array([runs - n, n]) for n in counts)
    return small_sums.one_cell(mine, theirs)


def _wide(known: Sequence[Known], join: Any) -> list[tuple[Array, Any]]:
    """Arrays by run with what they are: shares, messages, masks, products of shares."""
    shares = [one for one in known if one.share is not None]
    products = [
        (join(a.wide, b.wide), "a product of shares of its own")
        for n, a in enumerate(shares)
        for b in shares[n:]
        if (a.wide.shape, a.wide.dtype) == (b.wide.shape, b.wide.dtype) and a.share != b.share
    ]
    ordered = [*shares, *(one for one in known if one.received)]
    ordered += [one for one in known if one.share is None and not one.received and not one.computed]
    return [*((one.wide, one.place) for one in ordered), *products]


def _support(counts: Array) -> Array:
    """Of each row, the bytes that the bits which vary can make, with the others as they are."""
    values = np.arange(BYTES)
    ever = np.array([np.bitwise_or.reduce(values[row > 0]) for row in counts])
    always = np.array([np.bitwise_and.reduce(values[row > 0], initial=BYTES - 1) for row in counts])
    return (values[None, :] & ~(ever & ~always)[:, None]) == always[:, None]
