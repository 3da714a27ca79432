"""What an upload is made of: the chunks of arrays that are all there, or of batches of rows as they come.

In: a value's forms, and its arrays, or an iterable of batches. Out: `Chunk`s in an order of their own, each small; and
errors that say which array, and in which row, holds what cannot be stored. This file shares nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jmpc import _typed
from jmpc.client import tables
from jmpc.client.forms import Form
from jmpc.client.sharing import Sharer, lanes
from jmpc.client.trees import paths_of
from jmpc.errors import ArgumentError, RangeError
from jmpc.leaves import as_array


@dataclass(frozen=True)
class Chunk:
    """Some of one array. number: of the array.  start: the first unit, as `Sharer` counts them."""

    number: int
    start: int
    values: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Arrays:
    """All of a value, in memory. tabular: its arrays are columns of a table."""

    arrays: Sequence[np.ndarray] = field(repr=False)
    tabular: bool = False
    again = True

    def chunks(self, sharers: Sequence[Sharer]) -> Iterator[Chunk]:
        for number, (array, sharer) in enumerate(zip(self.arrays, sharers, strict=True)):
            flat = array.reshape(-1)
            for start in range(0, sharer.units, sharer.step):
                stop = min(start + sharer.step, sharer.units)
                packed = sharer.form.type.packed
                yield Chunk(number, start, lanes(flat, sharer.units, start, stop) if packed else flat[start:stop])

    def check(self, forms: Sequence[Form]) -> None:
        """Raises RangeError, with the row, before anything is sent."""
        for form, array in zip(forms, self.arrays, strict=True):
            checked(form, array, 0, self.tabular)


class Batches:
    """Rows that come batch by batch: each a table, or a pytree of arrays with as many rows. rows: of all.  again:
    whether they can be had once more."""

    def __init__(self, source: Iterable[Any] | Callable[[], Iterable[Any]], rows: int | None) -> None:
        self._source = source
        self.again = callable(source) or iter(source) is not source
        self._first: Iterator[Any] | None = None
        first = self._open()
        self._sample = next(first, None)
        if self._sample is None:
            raise ArgumentError("there is no batch", where="batches", todo="give one at least, if one of no rows")
        self.tabular = tables.is_table(self._sample)
        self._first = None if self.again else first
        self._paths, self._specs = _shape(_tree(self._sample))
        self.rows = self._counted() if rows is None else rows

    @property
    def template(self) -> Any:
        """The first batch as a tree of whole arrays' shapes."""
        leaves, structure = _typed.flatten(_tree(self._sample))
        specs = [jax.ShapeDtypeStruct((self.rows, *x.shape[1:]), x.dtype) for x in map(_leaf, leaves)]
        return _typed.unflatten(structure, specs)

    def chunks(self, sharers: Sequence[Sharer]) -> Iterator[Chunk]:
        """Raises ArgumentError for a batch unlike the first, or where rows are more or fewer than was said."""
        pending = [_Pending(number, sharer, self.rows) for number, sharer in enumerate(sharers)]
        row = 0
        for number, batch in enumerate(self._iterate()):
            arrays = self._arrays(batch, number)
            count = arrays[0].shape[0]
            if row + count > self.rows:
                raise self._miscounted(f"batch {number} ends at row {row + count}")
            for one, array in zip(pending, arrays, strict=True):
                checked(one.sharer.form, array, row, self.tabular)
                yield from one.take(array)
            row += count
        if row < self.rows:
            raise self._miscounted(f"they end at row {row}")
        for one in pending:
            yield from one.rest()

    def check(self, forms: Sequence[Form]) -> None:
        """What a batch holds is seen when it comes."""

    def _open(self) -> Iterator[Any]:
        return iter(self._source() if callable(self._source) else self._source)

    def _iterate(self) -> Iterator[Any]:
        if self.again:
            yield from self._open()
        elif self._first is None:
            raise ArgumentError(
                "the batches cannot be had again",
                where="batches",
                why="a link was lost while they were stored, and an iterator gives each batch once",
                todo="give a function that returns the batches from the first on: the upload goes on where it broke",
            )
        else:
            first, self._first = self._first, None
            yield self._sample
            self._sample = None
            yield from first

    def _counted(self) -> int:
        if not self.again:
            raise ArgumentError(
                "it is not known how many rows there will be",
                where="put_rows(rows=...)",
                why="the shape of a stored array is said before a row is sent, and an iterator cannot be counted",
                todo="say rows=..., or give a function that returns the batches, which are then counted first",
            )
        return sum(self._arrays(batch, number)[0].shape[0] for number, batch in enumerate(self._open()))

    def _arrays(self, batch: Any, number: int) -> list[np.ndarray]:
        tree = _tree(batch)
        paths, specs = _shape(tree)
        if (paths, specs) != (self._paths, self._specs):
            raise ArgumentError(
                f"batch {number} is not like the first",
                where=f"batch {number}",
                why=_difference(self._paths, self._specs, paths, specs),
                todo="give batches of the same columns, shapes and dtypes, each with as many rows as it likes",
            )
        arrays = [np.asarray(_leaf(x)) for x in _typed.flatten(tree)[0]]
        if len({array.shape[0] for array in arrays}) != 1:
            raise ArgumentError(
                f"the arrays of batch {number} have different numbers of rows",
                where=f"batch {number}",
                todo="give each batch whole rows",
            )
        return arrays

    def _miscounted(self, why: str) -> ArgumentError:
        return ArgumentError(
            f"the batches have not the {self.rows} rows that were announced",
            where="put_rows(rows=...)",
            why=why,
            todo="say how many there are, or give a function that returns the batches, which are then counted first",
        )


class _Pending:
    """Rows of one array that do not fill a chunk yet. Of bools all are held: a packed word has bits from all over."""

    def __init__(self, number: int, sharer: Sharer, rows: int) -> None:
        self.number, self.sharer = number, sharer
        self._start, self._held, self._count = 0, list[np.ndarray](), 0

    def take(self, rows: np.ndarray) -> Iterator[Chunk]:
        flat = rows.reshape(-1)
        self._held.append(flat)
        self._count += flat.size
        if self.sharer.form.type.packed or self._count < self.sharer.step:
            return
        whole = np.concatenate(self._held)
        last = whole.size // self.sharer.step * self.sharer.step
        for at in range(0, last, self.sharer.step):
            yield Chunk(self.number, self._start + at, whole[at : at + self.sharer.step])
        self._start += last
        self._held, self._count = [whole[last:].copy()], whole.size - last

    def rest(self) -> Iterator[Chunk]:
        whole, sharer = np.concatenate([np.zeros(0, self.sharer.form.dtype), *self._held]), self.sharer
        if sharer.form.type.packed:
            yield from (Chunk(self.number, c.start, c.values) for c in Arrays([whole]).chunks([sharer]))
        elif whole.size:
            yield Chunk(self.number, self._start, whole)


def checked(form: Form, rows: np.ndarray, first: int, tabular: bool) -> None:
    """Raises RangeError for what cannot be stored, with where it is. first: the number of the first row."""
    flat = rows.reshape(-1)
    if form.type.packed or form.source is None:
        return
    step = 1 << 16
    for at in range(0, flat.size, step):
        try:
            form.encoded(flat[at : at + step])
        except RangeError as error:
            raise _placed(form, rows, flat, at, at + step, first, tabular, error) from None


def _placed(
    form: Form, rows: np.ndarray, flat: np.ndarray, at: int, stop: int, first: int, tabular: bool, error: RangeError
) -> RangeError:
    low, high = at, min(stop, flat.size)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fails(form, flat[low:middle]) else (middle, high)
    inner = int(np.prod(rows.shape[1:], dtype=np.int64)) or 1
    row = first + low // inner
    name = form.path[1:-1] if tabular else form.path or "the array"
    where = f"column {name}, row {row}" if tabular else f"{name}, row {row}" if rows.ndim else name
    what = error.what.partition(": ")[2].partition(" elements ")[2]
    return RangeError(
        f"{'column ' if tabular else ''}{name}: an element {_single(what)}", where=where, why=error.why, todo=error.todo
    )


def _single(what: str) -> str:
    """Of what is said of several elements."""
    return what.replace("are ", "is ", 1)


def _fails(form: Form, values: np.ndarray) -> bool:
    try:
        form.encoded(values)
    except RangeError:
        return True
    return False


def _tree(batch: Any) -> Any:
    return tables.columns_of(batch) if tables.is_table(batch) else batch


def _leaf(value: Any) -> Any:
    return as_array(value, "batches", argument=False)


def _shape(tree: Any) -> tuple[list[str], list[tuple[tuple[int, ...], str]]]:
    """The paths of a batch's arrays; of each the shape of a row, and the dtype."""
    found = [_leaf(x) for x in _typed.flatten(tree)[0]]
    if not found or any(np.ndim(x) == 0 for x in found):
        raise ArgumentError(
            "a batch is no table, and no tree of arrays of rows",
            where="batches",
            why="it holds nothing" if not found else "it holds a single number",
            todo="give tables, or dicts of arrays whose first axis counts rows",
        )
    return paths_of(tree), [(tuple(x.shape[1:]), str(x.dtype)) for x in found]


def _difference(paths: Sequence[str], specs: Sequence[Any], others: Sequence[str], their: Sequence[Any]) -> str:
    if list(paths) != list(others):
        return f"it has the arrays {', '.join(others)[:200]}, and the first {', '.join(paths)[:200]}"
    pairs = [(p, a, b) for p, a, b in zip(paths, specs, their, strict=True) if a != b]
    path, (shape, dtype), (other, as_dtype) = pairs[0]
    return f"{path} has rows of {as_dtype}{list(other)}, and in the first batch {dtype}{list(shape)}"
