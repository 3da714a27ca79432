"""The mutants of a module: which there are, which are worth running, and a sample.

What goes in: a source text. What comes out: mutants with their place and text. Left out: what changes only types in
annotations, docstrings or texts of messages, since it runs alike. One change a place and kind is kept, by the seed:
else the eleven other operators at each `+` would outweigh everything.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from tests.mutation.operators import OWN


@dataclass(frozen=True)
class Mutant:
    """operator: of cosmic-ray or of ours.  place: line and column.  source: of the whole module."""

    operator: str
    occurrence: int
    place: tuple[int, int]
    line: str
    source: str = field(repr=False, default="")

    def __str__(self) -> str:
        return f"{self.place[0]}:{self.place[1]} {self.operator.removeprefix('core/')}: {self.line.strip()}"


def sample(source: str, count: int, seed: int) -> tuple[list[Mutant], int]:
    """Up to `count` mutants, and how many places there are."""
    tree = _plain(source)
    places: dict[Any, list[Mutant]] = {}
    for mutant in _mutants(source):
        places.setdefault((mutant.place, kind(mutant.operator)), []).append(mutant)
    chosen, usable = [], 0
    for key in sorted(places, key=lambda k: _rank(seed, k)):
        for mutant in sorted(places[key], key=lambda m: _rank(seed, m.operator)):
            changed = mutate_code(source, _operator(mutant.operator), mutant.occurrence)
            if changed is not None and _compiles(changed) and _plain(changed) != tree:
                usable += 1
                chosen.append(Mutant(mutant.operator, mutant.occurrence, mutant.place, _line(source, changed), changed))
                break
    return chosen[:count], usable


def kind(operator: str) -> str:
    """What sort of thing an operator does: that of `core/ReplaceBinaryOperator_Add_Sub` is the part before `_`."""
    return operator.split("_")[0]


def _operators() -> Iterator[tuple[str, Any]]:
    yield from ((name, cls()) for name, cls in OWN.items())
    for name in sorted(cosmic_ray.plugins.operator_names()):
        if not cosmic_ray.plugins.get_operator(name).arguments():
            yield name, _operator(name)


def _operator(name: str) -> Any:
    return OWN[name]() if name in OWN else cosmic_ray.plugins.get_operator(name)()


def _mutants(source: str) -> Iterator[Mutant]:
    nodes = list(ast_nodes(get_ast(source)))
    for name, operator in _operators():
        positions = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        yield from (Mutant(name, n, place, "") for n, place in enumerate(positions))


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


class _Bare(ast.NodeTransformer):
    """Takes away what does not matter: annotations, docstrings, texts of errors, and `strict=`, which guards."""

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        """Another text of an error is no other error."""
        self.generic_visit(node)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                inner.value = ""
        return node

    def visit_keyword(self, node: ast.keyword) -> Any:
        return ast.keyword("strict", ast.Constant(True)) if node.arg == "strict" else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> Any:
        return ast.Pass() if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        """`Pair = tuple[Array, Array]`, `Masks = A | B`: names of types."""
        named = isinstance(node.targets[0], ast.Name) and node.targets[0].id[:1].isupper()
        types = named and isinstance(node.value, ast.Subscript | ast.BinOp) and not node.targets[0].id.isupper()
        return ast.Pass() if types else self.generic_visit(node)


def _plain(source: str) -> str:
    return ast.dump(_Bare().visit(ast.parse(source)))


def _line(source: str, changed: str) -> str:
    """The first line that differs, as changed."""
    pairs = zip(source.splitlines(), changed.splitlines(), strict=False)
    return next((new for old, new in pairs if old != new), "")


def _rank(seed: int, key: Any) -> bytes:
    return hashlib.sha256(f"{seed} {key}".encode()).digest()
