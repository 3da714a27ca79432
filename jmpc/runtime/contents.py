"""What a stored value holds: its arrays, in order, and how they were shared. Public, the same at all parties.

In: types, paths. Out: a `Contents`, its text, and back; and which arrays a party keeps of it. It is what the parties
store as the value's form (`jmpc.store.Description.form`) and what clients get back. No share is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jmpc.config import Config
from jmpc.errors import ConfigError, ProgramError
from jmpc.families.family import Family, Spec
from jmpc.ir.text import parse_type, print_type
from jmpc.ir.types import Type
from jmpc.ring.element import Ring
from jmpc.runtime.schema import Check, SchemaError, boolean, check_fields, integer, many, row, text

MOST_LEAVES = 10_000
MOST_CHARACTERS = 1 << 22  # of the text
_SHOWN = r"[^\x00-\x1f\x7f-\x9f]*"  # it is printed at whoever reads the value
_SCHEMA: Mapping[str, Check] = {
    "protocol": text(100, r"\w+"),
    "k": integer(1, 1024),
    "f": integer(0, 1024),
    "tree": text(MOST_CHARACTERS),
    "owners": many(text(200, ".+"), 1000),
    "result": boolean,
    "leaves": many(row(text(400, _SHOWN), text(20, r"\w+"), text(10_000)), MOST_LEAVES),
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One array of a value. path: where it sits, as `['w'][0]`.  dtype: of JAX, as who supplied it had it.  type: how
    parties hold it; of a result, what it was before it was masked for its receiver."""

    path: str
    dtype: str
    type: Type


@dataclass(frozen=True, slots=True)
class Contents:
    """protocol, k, f: of the `Config` that it was shared under.  tree: how the arrays hang together, as clients write
    it; parties do not read it.  owners: whose data it depends on, each of whom must consent to a program that reads it.
    result: it waits for its receiver, and no program reads it."""

    protocol: str
    k: int
    f: int
    leaves: tuple[Leaf, ...]
    tree: str = ""
    owners: tuple[str, ...] = ()
    result: bool = False

    @classmethod
    def of(cls, content: str) -> Contents:
        """What `text` wrote. Raises SchemaError for any other text: it comes from a peer."""
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as exc:
            raise SchemaError("contents are not JSON") from exc
        fields = check_fields(found, _SCHEMA, "contents")
        try:
            leaves = tuple(Leaf(path, dtype, parse_type(said)) for path, dtype, said in fields["leaves"])
            Config(protocol=fields["protocol"], k=fields["k"], f=fields["f"])
        except (ProgramError, ConfigError) as exc:
            raise SchemaError("contents have a type, or a number format, that there is none of") from exc
        if not leaves or not all(leaf.type.secret for leaf in leaves):
            raise SchemaError("contents are at least one array, all of them secret")
        owners: tuple[str, ...] = tuple(fields["owners"])
        said = fields["protocol"], fields["k"], fields["f"]
        return cls(*said, leaves, fields["tree"], owners, fields["result"])

    @property
    def text(self) -> str:
        """One way of writing."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in _SCHEMA}
        fields["leaves"] = [[leaf.path, leaf.dtype, print_type(leaf.type)] for leaf in self.leaves]
        fields["owners"] = list(self.owners)
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    def parts(self, family: Family, party: int) -> list[list[Spec]]:
        """By array, the specs of what a party keeps of it. Raises ProgramError where the family has no way to hold a
        value of its type."""
        ring = Ring(self.k)
        if self.result:
            return [[family.spec(leaf.type, ring)] * family.sent[party] for leaf in self.leaves]
        return [family.specs(leaf.type, ring, party) for leaf in self.leaves]


def part_name(leaf: int, number: int) -> str:
    """How a party's store calls array `number` of those that it keeps of a leaf."""
    return f"{leaf}.{number}"
