"""Changes that matter in protocols, beside those of cosmic-ray: another operation, another neighbour, no mask.

What goes in: a tree of parso. What comes out: places, and the tree with one of them changed, as cosmic-ray asks of an
operator.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosmic_ray.operators.operator import Operator

OPERATIONS = {
    "add": "sub",
    "sub": "add",
    "mul": "add",
    "neg": "bitwise_not",
    "bitwise_and": "bitwise_or",
    "bitwise_or": "bitwise_and",
    "bitwise_xor": "bitwise_and",
    "shift_left": "shift_right_logical",
    "shift_right_logical": "shift_left",
    "shift_right": "shift_left",
    "add_host": "sub_host",
}
SIDES = {"nxt": "prv", "prv": "nxt"}
SIDED = {f"{word}_{a}": f"{word}_{b}" for word in ("to", "from") for a, b in SIDES.items()}


class _Words(Operator):
    """Replaces a word that is a name or a text."""

    def changed(self, node: Any) -> str | None:
        raise NotImplementedError

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if self.changed(node) is not None:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.value = self.changed(node)
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class AnotherOperation(_Words):
    """`lax.add` becomes `lax.sub`: the name behind a dot, before a call."""

    def changed(self, node: Any) -> str | None:
        if node.type != "name" or getattr(node.parent, "type", "") != "trailer":
            return None
        following = node.parent.get_next_sibling()
        called = following is not None and following.type == "trailer" and following.children[0].value == "("
        return OPERATIONS.get(node.value) if node.parent.children[0].value == "." and called else None


class AnotherNeighbour(_Words):
    """`"nxt"` becomes `"prv"`, `to_nxt=` becomes `to_prv=`."""

    def changed(self, node: Any) -> str | None:
        if node.type == "name":
            return SIDED.get(node.value)
        if node.type != "string":
            return None
        quote, word = node.value[0], node.value[1:-1]
        found = SIDES.get(word) or SIDED.get(word)
        return found and f"{quote}{found}{quote}"


class FirstOperandOnly(Operator):
    """`group.sub(x, mask)` becomes `(x)`: what was added or taken away is missing."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if _is_sum(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        call = node.children[2]
        kept = call.children[1].children[0]
        for child in node.children[:-1]:
            _blank(child, keep_prefix=child is node.children[0])
        call.children[1].children[:] = [kept]
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


def _is_sum(node: Any) -> bool:
    """x.add(a, b), x.sub(a, b), x.bitwise_xor(a, b)."""
    if node.type not in ("power", "atom_expr") or len(node.children) != 3:
        return False
    name, call = node.children[1], node.children[2]
    if name.type != "trailer" or name.children[0].value != "." or call.type != "trailer":
        return False
    operands = call.children[1] if len(call.children) == 3 else None
    if name.children[1].value not in ("add", "sub", "bitwise_xor") or operands is None or operands.type != "arglist":
        return False
    return len([c for c in operands.children if c.type != "operator"]) == 2


def _blank(node: Any, keep_prefix: bool) -> None:
    """Make a node print as nothing."""
    if hasattr(node, "children"):
        for n, child in enumerate(node.children):
            _blank(child, keep_prefix and n == 0)
    else:
        node.value = ""
        if not keep_prefix:
            node.prefix = ""


OWN: dict[str, type[Operator]] = {
    "AnotherOperation": AnotherOperation,
    "AnotherNeighbour": AnotherNeighbour,
    "FirstOperandOnly": FirstOperandOnly,
}
