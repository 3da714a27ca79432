"""Checks for decoded messages: exact keys, types, sizes and depth.

In: a plain value from msgpack and a schema made of the small checks below. Out: the value, or SchemaError,
which names the field and never its value. This file decodes nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard


class SchemaError(ValueError):
    """A message does not have the shape that its kind must have."""


Check = Callable[[object, str], None]


def integer(low: int, high: int) -> Check:
    """An int (not a bool) with low <= value <= high."""

    def check(value: object, name: str) -> None:
        if type(value) is not int or not low <= value <= high:
            raise SchemaError(f"{name} is not an integer in its range")

    return check


def boolean(value: object, name: str) -> None:
    """True or False."""
    if type(value) is not bool:
        raise SchemaError(f"{name} is not a boolean")


def number(value: object, name: str) -> None:
    """A finite float that is not negative."""
    if type(value) is not float or not math.isfinite(value) or value < 0:
        raise SchemaError(f"{name} is not a finite number")


def text(limit: int, pattern: str = "") -> Check:
    """A string of at most `limit` characters that matches `pattern` as a whole."""
    compiled = re.compile(pattern) if pattern else None

    def check(value: object, name: str) -> None:
        if type(value) is not str or len(value) > limit or (compiled and not compiled.fullmatch(value)):
            raise SchemaError(f"{name} is not a text of its form")

    return check


def binary(size: int) -> Check:
    """Exactly `size` bytes."""

    def check(value: object, name: str) -> None:
        if type(value) is not bytes or len(value) != size:
            raise SchemaError(f"{name} is not {size} bytes")

    return check


def octets(limit: int) -> Check:
    """At most `limit` bytes."""

    def check(value: object, name: str) -> None:
        if type(value) is not bytes or len(value) > limit:
            raise SchemaError(f"{name} is not at most {limit} bytes")

    return check


def many(item: Check, limit: int) -> Check:
    """A list of at most `limit` items."""

    def check(value: object, name: str) -> None:
        if not is_list(value) or len(value) > limit:
            raise SchemaError(f"{name} is not a list of at most {limit}")
        for index, entry in enumerate(value):
            item(entry, f"{name}[{index}]")

    return check


def row(*items: Check) -> Check:
    """A list with exactly these items."""

    def check(value: object, name: str) -> None:
        if not is_list(value) or len(value) != len(items):
            raise SchemaError(f"{name} is not a list of {len(items)}")
        for index, (item, entry) in enumerate(zip(items, value, strict=True)):
            item(entry, f"{name}[{index}]")

    return check


def check_fields(fields: object, schema: Mapping[str, Check], kind: str) -> dict[str, Any]:
    """The fields of a message, which has exactly the keys of its schema; each value passes its check."""
    if not _is_dict(fields) or fields.keys() != schema.keys():
        raise SchemaError(f"{kind} has not exactly its fields")
    for name, check in schema.items():
        check(fields[name], f"{kind}.{name}")
    return fields


def is_list(value: object) -> TypeGuard[list[object]]:
    return type(value) is list


def _is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    return type(value) is dict
