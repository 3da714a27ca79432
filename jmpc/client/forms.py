"""How the arrays of a value are encoded and shared when it is stored: as they would be as arguments of a secure call.

In: a pytree of arrays or of their shapes, its owner, a configuration. Out: for each array a `Form`. It is found by
lowering the function that returns its argument and keeps it shared, so that nothing of the number format is said twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jmpc.api import SECRET, secure
from jmpc.arguments import Call
from jmpc.client.trees import paths_of, text_of
from jmpc.config import Config
from jmpc.frontend.walk import Source
from jmpc.handle import SecretArray
from jmpc.ir.types import Type
from jmpc.leaves import as_array, narrowed
from jmpc.owner import encode
from jmpc.runtime.contents import Contents, Leaf

_MOVES_NOTHING = {"share", "const", "bound"}


@dataclass(frozen=True)
class Form:
    """One array of a value. path: in the value.  source: how its numbers are encoded; None where it has none.  type: as
    the parties hold it."""

    path: str
    dtype: Any
    type: Type
    source: Source | None
    config: Config

    @property
    def leaf(self) -> Leaf:
        return Leaf(self.path, str(self.dtype), self.type)

    def encoded(self, values: np.ndarray) -> np.ndarray:
        """Ring elements, or bools. Raises RangeError for what JAX's dtype or the number format does not hold."""
        if self.source is None:
            return np.zeros(0, bool if self.type.packed else np.uint64)
        return encode(np.asarray(narrowed(values, self.dtype, self.path), self.dtype), self.source, self.config)


@dataclass(frozen=True)
class Value:
    """What is to be stored. tree: the text of its structure.  call: the arrays, bound as an argument."""

    forms: list[Form]
    tree: str
    config: Config
    call: Call = field(repr=False)

    def contents(self, owner: str) -> Contents:
        """As the parties store it."""
        leaves = tuple(form.leaf for form in self.forms)
        return Contents(self.config.protocol, self.config.k, self.config.f, leaves, self.tree, (owner,))

    def arrays(self) -> list[np.ndarray]:
        """As they were given. Raises ArgumentError where there are shapes only."""
        if any(isinstance(leaf.value, jax.ShapeDtypeStruct) for leaf in self.call.leaves):
            self.call.arrays()
        return [np.asarray(leaf.value) for leaf in self.call.leaves]


def value_of(tree: Any, owner: str, config: Config | None) -> Value:
    """Raises ArgumentError for a leaf that is no array of numbers, UnsupportedError for what cannot stay shared."""
    for path, leaf in zip(paths_of(tree), jax.tree.leaves(tree), strict=True):
        if not isinstance(leaf, SecretArray):
            as_array(leaf, path or "the value", argument=False)
    keep = secure(_same, inputs={"value": owner}, outputs=SECRET, config=config)
    call = keep.bind((tree,), {})
    lowered = keep.lower(tree)
    flow = lowered.flow
    unknown = {op.name for op in flow.share.body.ops} - _MOVES_NOTHING
    assert not unknown, f"storing a value computes {unknown}"
    sources = {source.known: source for source in flow.frontier.sources}
    forms = list[Form]()
    for n, (path, leaf) in enumerate(zip(paths_of(tree), call.leaves, strict=True)):
        which = flow.frontier.outputs[n]
        assert isinstance(which, int)
        source = sources.get(flow.frontier.arguments[n])
        forms.append(Form(path, leaf.dtype, flow.share.body.results[which].type, source, keep.config))
    return Value(forms, text_of(tree), keep.config, call)


def _same(value: Any) -> Any:
    return value


def sizes(forms: Sequence[Form]) -> int:
    """Elements of all."""
    return sum(form.type.size for form in forms)
