"""Sums of up to three things that an observer knows: do they have another distribution on another input?

What goes in: what an observer knows, run by run, on two inputs. What comes out: for every sum the probability that two
samples of one distribution differ as these do, or a bound on it. A replicated secret is a sum of three numbers, of
which a party has two: a message that brings the third, even once in sixty-four runs, gives such a sum values that
repeat.

Of each message, alone, with one or two other things, or with a value that the observer computes: the sums and
differences, in as many bits as the narrowest of them has, and the exclusive or. Of each of these the lowest and the
highest byte, and all of it folded to 4,096 cells, are counted. First come the messages with the two shares of one
input; of all others a part is drawn, if there are many.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jmpc.testing.privacy.chi_square import limit, tail, two_sample
from jmpc.testing.privacy.linear_relations import WORD
from jmpc.testing.privacy.views import Known

Array = np.ndarray
CELLS = 1 << 12
FOLD = WORD.type(0x9E3779B97F4A7C15)  # 2^64 by the golden ratio: multiples spread well
STATISTICS = 5  # of each sum
MOST_SUMS = 2400
COMMON = 1e-3  # probabilities above it are taken for 1
FAR = 16  # squared distance from even, in units of its variance, from which a cell is looked at


@dataclass(frozen=True)
class Sum:
    """terms: numbers of what is summed.  end: whether of each its last element is taken, or its first.  ways: "+", "-"
    or "^" for each after the first."""

    terms: tuple[int, ...]
    end: bool
    ways: tuple[str, ...]


def chosen(known: Sequence[Known], most: int = MOST_SUMS) -> list[Sum]:
    """The sums to look at, group by group; each takes at most half of what room is left."""
    received = [n for n, one in enumerate(known) if one.received]
    given = [n for n, one in enumerate(known) if not one.computed]
    computed = [n for n, one in enumerate(known) if one.computed]
    groups = [[(n,) for n in received], _with_shares(known, received)]
    groups += [_with_others(given, received, 1, most), _with_others(computed, received, 1, most)]
    groups += [_with_others(given, received, 2, most)]
    found: dict[Sum, None] = {}
    for number, group in enumerate(groups):
        room = (most - len(found)) // (1 if number == len(groups) - 1 else 2)
        every = (one for terms in group for one in _joined(known, terms))
        found.update(dict.fromkeys(itertools.islice(every, room)))
    return list(found)


def _with_shares(known: Sequence[Known], received: Sequence[int]) -> list[tuple[int, ...]]:
    """Each message with what its receiver holds of one input."""
    inputs: dict[int, list[int]] = {}
    for n, one in enumerate(known):
        if one.share is not None:
            inputs.setdefault(one.share, []).append(n)
    return [(n, *shares) for n in received for shares in inputs.values()]


def _with_others(others: Sequence[int], received: Sequence[int], count: int, most: int) -> list[tuple[int, ...]]:
    """Each message with `count` others; of more than `most` a part, drawn."""
    if not received or not others:
        return []
    if len(received) * math.comb(len(others), count) <= most:
        return [(n, *more) for n in received for more in itertools.combinations(others, count) if n not in more]
    rng = np.random.default_rng(len(others))
    drawn = [(int(rng.choice(received)), *rng.choice(others, count).tolist()) for _ in range(most)]
    return [terms for terms in drawn if len(set(terms)) == count + 1]


def _joined(known: Sequence[Known], terms: tuple[int, ...]) -> Iterator[Sum]:
    more = len(terms) - 1
    ways = [*itertools.product("+-", repeat=more), *([("^",) * more] if more else [])]
    for end in (False, True) if any(known[n].ends.shape[1] > 1 for n in terms) else (False,):
        yield from (Sum(terms, end, way) for way in ways)


def values(known: Sequence[Known], one: Sum) -> Array:
    """The sum in every run, in as many bits as the narrowest term has, shifted up to 64."""
    spare = WORD.type(64 - bits_of(known, one))
    columns = [known[n].ends[:, -1 if one.end else 0].astype(WORD) << spare for n in one.terms]
    total = columns[0]
    for way, x in zip(one.ways, columns[1:], strict=True):
        total = total + x if way == "+" else total - x if way == "-" else total ^ x
    return total


def bits_of(known: Sequence[Known], one: Sum) -> int:
    return 8 * min(known[n].ends.dtype.itemsize for n in one.terms)


def probability(mine: Array, theirs: Array, bits: int) -> float:
    """A bound on the probability that two samples of one distribution differ so in any of the tables."""
    both = mine, theirs
    found = [_of_table([x * FOLD >> WORD.type(52) for x in both], CELLS, whole=False)]
    found.append(_of_table([x >> WORD.type(56) for x in both], 256, whole=True))
    if bits > 8:
        found.append(_of_table([x >> WORD.type(64 - bits) & WORD.type(255) for x in both], 256, whole=True))
    return min(1.0, STATISTICS * min(found))


def _of_table(both: Sequence[Array], cells: int, whole: bool) -> float:
    counts = [np.bincount(x.astype(np.int64), minlength=cells) for x in both]
    found = one_cell(counts[0], counts[1])
    if whole:
        (statistic,), (degrees,) = two_sample(counts[0][None], counts[1][None])
        if statistic > limit(int(degrees), COMMON):
            found = min(found, tail(float(statistic), int(degrees)))
    return found


def one_cell(a: Array, b: Array) -> float:
    """A bound on the probability that, of two samples of one distribution and of equal size, some cell is as uneven as
    the worst one. Of the n in a cell about half are of either sample: Chernoff's bound says how seldom they are not.
    Where no cell is far from even, 1."""
    total, apart = a + b, np.abs(a - b)
    uneven = apart * apart > FAR * total
    if not uneven.any():
        return 1.0
    share = np.maximum(a, b)[uneven] / total[uneven]
    rest = 1 - share
    entropy = share * np.log(share) + rest * np.log(np.where(rest > 0, rest, 1))
    worst = float(np.max(total[uneven] * (math.log(2) + entropy)))
    return min(1.0, 2 * int((total > 0).sum()) * math.exp(-worst))
