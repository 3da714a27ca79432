"""A script that shows the failure of a protocol again: the same protocol, inputs, masks and demands.

What goes in: what was asked of a protocol, and the example on which it failed. What comes out: Python. What cannot be
had as text (a function made at a prompt, say) is a remark to put it there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jmpc import families
from jmpc.config import Config
from jmpc.families.protocol import CostRule, Entry
from jmpc.ir.types import Type
from jmpc.testing.simulator.protocol_run import Function, ResultTypes
from jmpc.testing.snippet import config_text, function_text, value_text

Array = np.ndarray
Reference = Callable[..., Any]
WordsRule = Callable[[Sequence[Type], Mapping[str, Any], Config], tuple[int, ...]]
HEAD = """\
import numpy as np

import jmpc
from jmpc.ir.types import Type
from jmpc.testing import Inputs, check_example

"""


@dataclass(frozen=True)
class Inputs:
    """One use of a protocol: types and values of its operands, its attributes. check: of the results, where they are
    not one thing only; raises AssertionError."""

    types: Sequence[Type]
    values: Sequence[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[list[Array]], None] | None = None


@dataclass(frozen=True)
class Asked:
    """What `check_protocol` was given."""

    protocol: str | Function
    reference: Reference | None
    results: ResultTypes | None = None
    cost: CostRule | None = None
    mask_words: WordsRule | None = None
    protocols: Mapping[str, Entry] | None = None

    @property
    def name(self) -> str:
        return self.protocol if isinstance(self.protocol, str) else getattr(self.protocol, "__name__", "protocol")


def example_script(asked: Asked, one: Inputs, config: Config, seed: int) -> str:
    """A script that checks the protocol on this example, and fails as it did."""
    script = _Script()
    protocol = repr(asked.protocol) if isinstance(asked.protocol, str) else script.defined("protocol", asked.protocol)
    reference = script.value("reference", asked.reference)
    options = {"results": asked.results, "cost": asked.cost, "mask_words": asked.mask_words}
    given = [f"{name}={script.value(name, value)}" for name, value in options.items() if value is not None]
    if asked.protocols is not None:
        given.append(f"protocols={script.table(asked.protocols, families.of(config).protocols)}")
    check = f", check={script.value('check', one.check)}" if one.check is not None else ""
    types = ", ".join(repr(t) for t in one.types)
    script.lines += [
        f"types = [{types}]\nvalues = {value_text(list(one.values))}\nattrs = {value_text(dict(one.attrs))}\n"
        f"one = Inputs(types, values, attrs{check})\n"
    ]
    call = ", ".join([protocol, reference, "one", *given, f"config={config_text(config)}", f"seed={seed}"])
    return f"{HEAD}{''.join(script.lines)}check_example({call})\n"


class _Script:
    """Definitions so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def defined(self, name: str, function: Callable[..., Any]) -> str:
        """Define a function under this name."""
        self.lines.append(function_text(function, name))
        return name

    def value(self, name: str, value: Any) -> str:
        """A function by its name, types as they are."""
        if callable(value):
            return self.defined(name, value)
        return f"[{', '.join(map(repr, value))}]" if isinstance(value, Sequence) else repr(value)

    def table(self, protocols: Mapping[str, Entry], family: Mapping[str, Entry]) -> str:
        """The family's own protocols, and what differs from them."""
        changed = [op for op, entry in protocols.items() if entry is not family.get(op)]
        self.lines.append("from jmpc import families\nfrom jmpc.families.protocol import Entry\n")
        parts = ["**families.of(jmpc.Config()).protocols"]
        for n, op in enumerate(changed):
            entry = protocols[op]
            run = self.defined(f"run_{n}", entry.run)
            parts.append(f"{op!r}: Entry({op!r}, {run}, {entry.source!r}, {entry.opens!r})")
        return "{" + ", ".join(parts) + "}"
