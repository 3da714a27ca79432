"""A TOML text read table by table, with every fault kept and the line of each.

In: a text. Out: values of the types that the reader asks for (a harmless one where there is a fault) and the list of
faults: keys that nobody asked for are among them. This file does not know what the keys mean.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from jmpc.cluster.faults import Fault

T = TypeVar("T")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_-]+)\s*\]\]?")
_KEY = re.compile(r"\s*\"?([A-Za-z0-9_-]+)\"?\s*=")
ALL = "all"
_NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Document:
    """The text of one file. name: of the file, for messages.  todo: what to do about a fault, where nothing better can
    be said: by default that of a file which others wrote."""

    def __init__(self, text: str, name: str, todo: str = "take the file anew from who runs the cluster") -> None:
        self.faults: list[Fault] = []
        self.todo = todo
        self._name, self._text, self._lines = name, text, _lines_of(text)
        self.top = Table(self, "", self._parsed())

    def _parsed(self) -> Mapping[str, object]:
        try:
            return tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as exc:
            line = re.search(r"at line (\d+)", str(exc))
            where = f"{self._name}:{line[1]}" if line else self._name
            self.faults.append(Fault("not-toml", "the file is not TOML", where, _plain(str(exc)), self.todo))
        except (ValueError, RecursionError):  # numbers of many digits, brackets in brackets
            self.faults.append(Fault("not-toml", "the file is not TOML", self._name, "no parser reads it"))
        return {}

    def fault(self, name: str, path: str, what: str, why: str = "", todo: str = "") -> None:
        """Keep a fault of the key at a path such as `party[1].address`."""
        line = self._lines.get(path) or self._lines.get(path.rpartition(".")[0])
        where = f"{self._name}:{line} ({path})" if line else f"{self._name} ({path})"
        self.faults.append(Fault(name, what, where, why, todo))


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:200]


def _lines_of(text: str) -> dict[str, int]:
    """The line of each key, by its path, and of each table: as far as the usual way to write tables tells."""
    here, counts, found = "", dict[str, int](), dict[str, int]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            here = header[2]
            if header[1] == "[[":
                counts[here] = counts.get(here, -1) + 1
                found.setdefault(here, number)
                here = f"{here}[{counts[here]}]"
            found.setdefault(here, number)
        elif key := _KEY.match(line):
            found.setdefault(f"{here}.{key[1]}" if here else key[1], number)
    return found


class Table:
    """One table: each key is asked for once, by its type; `done` finds those that nobody asked for."""

    def __init__(self, document: Document, path: str, values: Mapping[str, object]) -> None:
        self._document, self._path, self._values = document, path, values
        self._asked: list[str] = []

    def path(self, key: str) -> str:
        """Where a key of this table is, for messages."""
        return f"{self._path}.{key}" if self._path else key

    def fault(self, name: str, key: str, what: str, why: str = "", todo: str = "") -> None:
        """Keep a fault of one key; of the table itself, with no key."""
        self._document.fault(name, self.path(key) if key else self._path, what, why, todo)

    def text(self, key: str, parse: Callable[[str], T], other: T, fault: str = "bad-value") -> T:
        """A text, as `parse` reads it; what its ValueError says is a fault, of this name."""
        return self._parsed(key, str, "a text in quotes", parse, other, fault)

    def number(self, key: str, least: float, most: float) -> float:
        """A number of seconds or so, from least to most."""

        def parse(value: float) -> float:
            if not math.isfinite(value) or not least <= value <= most:
                raise ValueError(f"it goes from {least:g} to {most:g}")
            return float(value)

        return self._parsed(key, (int, float), "a number", parse, least)

    def count(self, key: str) -> int:
        """A whole number from 1."""

        def parse(value: int) -> int:
            if not 1 <= value < 1 << 53:
                raise ValueError("it is counted from 1")
            return value

        return self._parsed(key, int, "a whole number", parse, 1)

    def count_or_all(self, key: str) -> int | None:
        """A whole number from 1; None for "all"."""

        def parse(value: int | str) -> int | None:
            if value != ALL and not (isinstance(value, int) and 1 <= value < 1 << 53):
                raise ValueError(f'it is counted from 1, or "{ALL}"')
            return value if isinstance(value, int) else None

        return self._parsed(key, (int, str), f'a whole number or "{ALL}"', parse, 1)

    def flag(self, key: str) -> bool:
        """True or false."""
        return self._parsed(key, bool, "true or false", bool, False)

    def texts(self, key: str, parse: Callable[[str], T]) -> list[T]:
        """A list of texts, each as `parse` reads it."""

        def parsed(values: list[object]) -> list[T]:
            found = [value for value in values if isinstance(value, str)]
            if len(found) != len(values):
                raise ValueError("each of them is a text in quotes")
            return [parse(value) for value in found]

        return self._parsed(key, list, "a list of texts", parsed, [])

    def has(self, key: str) -> bool:
        """Whether it says anything of a key that it need not have."""
        if key not in self._asked:
            self._asked.append(key)
        return key in self._values

    def moment(self, key: str) -> dt.datetime:
        """A moment with its offset from UTC."""

        def parse(value: dt.datetime) -> dt.datetime:
            if value.tzinfo is None:
                raise ValueError("it needs its offset from UTC, such as a Z at its end")
            try:
                return value.astimezone(dt.UTC)
            except OverflowError:
                raise ValueError("it lies before the year 1 or after the year 9999") from None

        return self._parsed(key, dt.datetime, "a moment, such as 2026-01-31T08:00:00Z", parse, _NEVER)

    def table(self, key: str) -> Table:
        """A table in this one."""
        values = self._parsed(key, dict, "a table", _table, {})
        return Table(self._document, self.path(key), values)

    def tables(self, key: str, optional: bool = False) -> list[Table]:
        """All tables of an array of tables."""
        if optional and not self.has(key):
            return []
        rows = self._parsed(key, list, f"an array of tables, `[[{key}]]` each", _tables, [])
        return [Table(self._document, f"{self.path(key)}[{number}]", row) for number, row in enumerate(rows)]

    @property
    def keys(self) -> tuple[str, ...]:
        """All that are there, of a table whose keys are names of something."""
        return tuple(self._values)

    def done(self, known: Sequence[str] = ()) -> None:
        """Find keys that nobody asked for. known: those that there can be, where not all of them are asked for."""
        known = tuple(dict.fromkeys((*self._asked, *known)))
        for key in self._values:
            if key not in self._asked:
                near = difflib.get_close_matches(key, known, 1, 0.5)
                todo = f"write {near[0]}" if near and near[0] not in self._values else "take it out"
                here = "known here: " + ", ".join(known)
                self.fault("unknown-key", _plain(key), f"`{_plain(key)}` is no key of this file", here, todo)

    def _parsed(
        self,
        key: str,
        kind: type | tuple[type, ...],
        kind_name: str,
        parse: Callable[..., T],
        other: T,
        fault: str = "bad-value",
    ) -> T:
        if not self.has(key):
            self.fault("missing-key", key, f"`{self.path(key)}` is missing", f"it is {kind_name}", self._document.todo)
            return other
        value = self._values[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.fault("wrong-type", key, f"`{self.path(key)}` is not {kind_name}", todo=self._document.todo)
            return other
        try:
            return parse(value)
        except ValueError as exc:
            self.fault(fault, key, f"`{self.path(key)}` is not right", str(exc), self._document.todo)
            return other


def _table(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value)


def _tables(value: list[object]) -> list[Mapping[str, object]]:
    if not all(isinstance(row, dict) for row in value):
        raise ValueError("each of them is a table")
    return [_table(row) for row in value]
