"""What is said of a stored value: public, and the same at all parties, but for the parts that each holds.

In: names, texts, shapes. Out: a `Description`, checked, and a `Stored`: that, and the arrays of it that are here.
`record` writes both as one text, always the same for the same; a data key is bound to it. No content is here.
"""

from __future__ import annotations

import dataclasses
import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from jmpc.errors import ArgumentError
from jmpc.roles import MOST_CHARACTERS, name_fault

Words = NDArray[np.unsignedinteger[Any]]  # of a share
WIDTHS = {"uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8}
_MOST_TEXT = 10_000  # characters of a program's hash, a receiver
_MOST_FORM = 1 << 22
_TEXT = "printable text of 1 to 10,000 characters"
_AMENDABLE = ("programs", "receivers", "expires")
_RESERVED = "__metadata__"  # by the safetensors format


@dataclass(frozen=True, slots=True)
class Description:
    """A value, as every party and its owner know it.

    name: a label, never a path.  form: its type, as text.  width: bits of the ring.  programs, receivers: who may read
    it, as hashes and names; the store keeps them, and does not enforce them.  created, expires: seconds since 1970;
    None: never.  version: agreed on by the parties, greater than the one before; 0 asks the store for the next.
    """

    name: str
    owner: str
    form: str
    shape: tuple[int, ...]
    width: int
    programs: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()
    created: int = 0
    expires: int | None = None
    version: int = 0

    def check(self) -> None:
        """Raises ArgumentError, naming the field."""
        owner = name_fault(self.owner)
        _demand(not label_fault(self.name), self.name, "name", label_fault(self.name))
        _demand(not owner, self.name, "owner", owner)
        _demand(_is_text(self.form, _MOST_FORM), self.name, "form", "it is printable text of 1 to 4,194,304 characters")
        for field, found in (("programs", self.programs), ("receivers", self.receivers)):
            _demand(_are_texts(found), self.name, field, f"it is a tuple, each {_TEXT}")
        _demand(_is_shape(self.shape), self.name, "shape", "it is a tuple of numbers from 0 on")
        _demand(_is_count(self.width) and self.width > 0, self.name, "width", "it is a number of bits")
        _demand(_is_count(self.created), self.name, "created", "it is whole seconds since 1970")
        _demand(self.expires is None or _is_count(self.expires), self.name, "expires", "it is whole seconds, or None")
        _demand(_is_count(self.version), self.name, "version", "it is a number from 0 on")


@dataclass(frozen=True, slots=True)
class Part:
    """One array that this party holds of a value, such as a summand."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * WIDTHS[self.dtype]


@dataclass(frozen=True, slots=True)
class Stored:
    """A value with what this party holds of it.  bytes: of its file."""

    description: Description
    parts: tuple[Part, ...]
    bytes: int


def check_parts(name: str, parts: Sequence[Part]) -> None:
    """Raises ArgumentError where these cannot be the parts of a value."""
    names = tuple(part.name for part in parts)
    _demand(bool(parts), name, "parts", "a value has at least one array")
    _demand(_are_texts(names) and _RESERVED not in names, name, "parts", "an array is named by printable text")
    _demand(len(set(names)) == len(names), name, "parts", "each array has a name of its own")
    _demand(all(p.dtype in WIDTHS for p in parts), name, "parts", f"arrays are {', '.join(WIDTHS)}")
    _demand(all(_is_shape(p.shape) for p in parts), name, "parts", "a shape is a tuple of numbers from 0 on")


def check_amended(held: Description, said: Description) -> None:
    """Raises ArgumentError where what is said of a stored value changes more of it than who may read it, and when it
    is over."""
    same = {field: getattr(held, field) for field in _AMENDABLE}
    if dataclasses.replace(said, **same) != held:
        why = f"only {', '.join(_AMENDABLE)} of a stored value change"
        raise ArgumentError(f"{said.name!r} cannot be amended so", where="description", why=why)


def is_over(said: Description, now: float) -> bool:
    """Whether a value has expired."""
    return said.expires is not None and said.expires <= now


def label_fault(name: object) -> str:
    """Why no value can have this name, or "". Where somebody takes one for a path after all, it leads nowhere else."""
    if not isinstance(name, str) or not name or not name.isprintable():
        return "a name has at least one character, and every one can be printed"
    if len(name) > MOST_CHARACTERS:
        return f"a name has at most {MOST_CHARACTERS} characters"
    if name != name.strip() or name != unicodedata.normalize("NFC", name):
        return "a name has no space at its ends, and its accents are in normal form (NFC)"
    if "\\" in name or name.startswith("~") or any(piece in ("", ".", "..") for piece in name.split("/")):
        return "a name is no path: no backslash, and between slashes neither nothing, nor '.', nor '..'"
    return ""


def record(description: Description, parts: Sequence[Part], **more: object) -> str:
    """All of it, and what else belongs to it, in one way of writing."""
    fields = {"description": dataclasses.asdict(description), "parts": [dataclasses.asdict(p) for p in parts], **more}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def from_record(text: str) -> tuple[Description, tuple[Part, ...], dict[str, Any]]:
    """What `record` wrote: it must be authentic."""
    fields: dict[str, Any] = json.loads(text)
    said: dict[str, Any] = fields.pop("description")
    parts = tuple(Part(p["name"], p["dtype"], tuple(p["shape"])) for p in fields.pop("parts"))
    for field in ("shape", "programs", "receivers"):
        said[field] = tuple(said[field])
    return Description(**said), parts, fields


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple) and all(_is_count(n) for n in cast(tuple[object, ...], value))


def _is_text(value: object, most: int = _MOST_TEXT) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most and value.isprintable()


def _are_texts(values: object) -> bool:
    return isinstance(values, tuple) and all(_is_text(v) for v in cast(tuple[object, ...], values))


def _demand(fine: bool, name: object, field: str, why: str) -> None:
    if not fine:
        shown = repr(name) if not label_fault(name) else "a value"
        raise ArgumentError(f"{shown} cannot be stored", where=field, why=why)
