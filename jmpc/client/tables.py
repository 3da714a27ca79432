"""Tables as pytrees: a DataFrame of pandas or polars, a table of Arrow, as a dict of one array for each column.

In: any object that has columns by name and gives each as an array of NumPy; none of these libraries is needed here.
Out: the dict; or ArgumentError, which names the column, and the row, never what stands there.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex, cast

import numpy as np

from jmpc.errors import ArgumentError

_SIGNS = ("__arrow_c_stream__", "__arrow_c_array__", "__dataframe__")
_DAY = "datetimes and durations are no numbers: to which unit and from which day they count is not said"


def is_table(value: object) -> bool:
    """Whether it has columns by name. An array of NumPy or JAX has not, nor has a dict."""
    if isinstance(value, dict | list | tuple | np.ndarray):
        return False
    return _names(value) is not None or any(hasattr(value, sign) for sign in _SIGNS)


def columns_of(table: Any) -> dict[str | int, np.ndarray]:
    """Each column as an array. An index of pandas is none of them."""
    names = _names(table)
    if names is None:
        table = _of_arrow(table)
        names = table.column_names
    found: dict[str | int, np.ndarray] = {}
    for name in names:
        key = _key(name)
        if key in found:
            raise ArgumentError(
                f"two columns are named {key!r}",
                where=f"column {key!r}",
                why="a column is stored, and asked for, by its name",
                todo="rename one of them",
            )
        found[key] = _column(table, name, key)
    if len({type(key) for key in found}) > 1:
        raise ArgumentError(
            "some columns are named by texts, and some by numbers",
            where="a table",
            why="a dict of JAX has keys that can be put in order",
            todo="rename them: table.columns = table.columns.astype(str)",
        )
    if not found:
        raise ArgumentError("the table has no column", where="a table", todo="give one with a column at least")
    return found


def _names(table: object) -> Sequence[Any] | None:
    """The names of its columns, whatever it calls them."""
    schema = getattr(table, "schema", None)
    for holder, name in ((table, "column_names"), (table, "columns"), (schema, "names")):
        found = getattr(holder, name, None)
        if found is None or callable(found) or not hasattr(table, "__getitem__"):
            continue
        names = list(cast("Sequence[Any]", found))
        if all(not hasattr(one, "to_numpy") for one in names):  # Arrow's `columns` are the columns themselves
            return names
    return None


def _of_arrow(table: Any) -> Any:
    """A table of pyarrow, of what only promises to become one."""
    try:
        import pyarrow  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]
    except ImportError:
        raise ArgumentError(
            f"a {type(table).__name__} cannot be read here",
            where="a table",
            why="it gives its columns to Arrow alone, and pyarrow is not installed",
            todo="install pyarrow, or give a DataFrame, or a dict of arrays",
        ) from None
    return cast(Any, pyarrow).table(table)


def _key(name: object) -> str | int:
    if isinstance(name, str):
        return name
    if hasattr(name, "__index__") and type(name) not in (bool, np.bool_):
        return operator.index(cast(SupportsIndex, name))
    raise ArgumentError(
        f"a column is named by a {type(name).__name__}",
        where="a table",
        why="a stored column has a text or a whole number for its name",
        todo="rename the columns, such as by table.columns = [...]",
    )


def _column(table: Any, name: Any, key: str | int) -> np.ndarray:
    column = table[name]
    try:
        array = np.asarray(column.to_numpy())
    except Exception:  # of Arrow, for a type that NumPy has not; its text may hold what stands in the column
        array = np.asarray(list(column), object)
    if array.ndim != 1:
        raise _refused(key, f"it has {array.ndim} axes", "give an array of it in a dict instead of a table")
    if array.dtype.kind in "mM":
        raise _refused(
            key, _DAY, "subtract a day of your choice, and divide by a unit: (t - t0) / np.timedelta64(1, 'D')"
        )
    if array.dtype.kind in "fiub":
        return array
    if array.dtype.kind == "c":
        raise _refused(key, "a complex number cannot stay shared", "make two columns of it: real and imaginary part")
    return _numbers(array, key)


def _numbers(array: np.ndarray, key: str | int) -> np.ndarray:
    """Python objects that are numbers all the same, such as Decimals or the bools of a column that may lack some."""
    for row, value in enumerate(array.tolist()):
        if isinstance(value, bool | int | float | np.number | np.bool_):
            continue
        missing = value is None or type(value).__name__ in ("NAType", "NaTType")
        kind = "lacks a value" if missing else f"holds a {type(value).__name__}"
        todo = "fill it, or drop the row" if missing else "turn the column into numbers, or leave it out"
        raise ArgumentError(
            f"column {key!r} {kind}",
            where=f"column {key!r}, row {row}",
            why="only numbers and truth values can be shared",
            todo=todo,
        )
    truths = all(isinstance(value, bool | np.bool_) for value in array.tolist())
    return np.asarray(array.tolist(), bool if truths else None)


def _refused(key: str | int, why: str, todo: str) -> ArgumentError:
    return ArgumentError(f"column {key!r} cannot be shared", where=f"column {key!r}", why=why, todo=todo)
