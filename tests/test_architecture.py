"""The rules of the house: which part may import which, what nobody may use, and how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import jmpc

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "jmpc").rglob("*.py"))
HOUSE = [*FILES, *sorted((ROOT / "jmpc_examples").rglob("*.py"))]

# High to low: a part imports what lies in lower layers. Within the layers of `api` and of `errors` parts may import one
# another.
LAYERS = (
    ("__main__",),
    ("command",),
    ("testing",),
    ("client",),
    ("api", "check", "explain", "nested", "arguments", "modules", "leaves", "prefixes", "handle", "random"),
    ("backends",),
    ("owner",),
    ("daemon",),
    ("service", "approval"),
    ("cluster",),
    ("compiler", "runtime", "store"),
    ("executors",),
    ("frontend", "passes", "party"),
    ("extend",),
    ("families",),
    ("ir",),
    ("numerics",),
    ("ring",),
    ("_jax", "_typed", "_types", "exported", "config", "errors", "recent", "roles", "sizes"),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
OPEN_LEVELS = (LEVEL["api"], LEVEL["errors"])
EVERYBODYS = ("jmpc.__version__",)  # of the package itself, which imports nothing by itself
# What a party process never needs.
COMPILER_ONLY = ("jmpc.api", "jmpc.compiler", "jmpc.frontend", "jmpc.passes", "jmpc.families.replicated3.lowering")
FORBIDDEN_MODULES = ("jax._src", "pickle", "marshal", "shelve", "random", "numpy.random", "np.random", "jax.random")
PRIVATE_TO_ADAPTER = ("jax.extend", "jax.core")
FOR_TESTING = ("numpy.random", "np.random")  # inputs and masks of a simulation are drawn from a stated seed
FORBIDDEN_CALLS = ("eval", "exec", "__import__")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 500, 40


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module, or name of a module, that a file imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def under(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def part_of(module: str) -> str:
    return module.split(".")[1]


def breaks_layers(importer: str, imported: str) -> bool:
    a, b = part_of(importer), part_of(imported)
    if a == b:
        return False
    return not (LEVEL[b] > LEVEL[a] or (LEVEL[a] == LEVEL[b] and LEVEL[a] in OPEN_LEVELS))


def internal_imports() -> list[tuple[str, str]]:
    found = []
    for path in FILES:
        if name_of(path) != "jmpc":  # the lazy exports name everything
            tree = ast.parse(path.read_text())
            found += [(name_of(path), n) for n in imports(tree) if under(n, "jmpc") and n not in EVERYBODYS]
    return found


def test_every_part_has_a_layer() -> None:
    assert {part_of(name_of(p)) for p in FILES if name_of(p) != "jmpc"} == set(LEVEL)


def test_parts_import_only_lower_layers() -> None:
    assert [pair for pair in internal_imports() if breaks_layers(*pair)] == []


def test_the_layer_check_sees_a_break() -> None:
    assert breaks_layers("jmpc.ring.bits", "jmpc.ir.types")
    assert breaks_layers("jmpc.families.family", "jmpc.party.exchange")
    assert breaks_layers("jmpc.party.program", "jmpc.passes.rewrite")
    assert breaks_layers("jmpc.runtime.control", "jmpc.compiler")
    assert breaks_layers("jmpc.api", "jmpc.testing.simulator.lockstep")
    assert breaks_layers("jmpc.runtime.tls", "jmpc.cluster.roster")
    assert breaks_layers("jmpc.backends", "jmpc.command.main")
    assert not breaks_layers("jmpc.executors.engine", "jmpc.party.build.build_plan")
    assert not breaks_layers("jmpc.testing.simulator.lockstep", "jmpc.api.secure")


def test_no_imports_go_in_a_circle() -> None:
    """Nor those inside functions, or for types alone: what two modules need of each other is a third one's."""
    modules = {name_of(p) for p in FILES} - {"jmpc"}
    used: dict[str, set[str]] = {}
    for a, b in internal_imports():
        used.setdefault(a, set()).add(b if b in modules else b.rpartition(".")[0])
    TopologicalSorter({a: found & modules - {a} for a, found in used.items()}).prepare()


def test_runtime_and_executors_do_without_the_compiler() -> None:
    running = [(a, b) for a, b in internal_imports() if part_of(a) in ("runtime", "executors")]
    assert [(a, b) for a, b in running if any(under(b, m) for m in COMPILER_ONLY)] == []


def test_families_know_only_the_ir_the_ring_and_settings() -> None:
    used = {part_of(b) for a, b in internal_imports() if part_of(a) == "families"}
    assert used <= {"families", "ir", "ring", "config", "errors", "roles", "_typed", "_types"}


# What is said of three parties, or of a next and a previous one, belongs to the family that has them.
OF_THREE = ("nxt", "prv", "% 3", "] * 3", "range(3)")
THREE_BY_DEFAULT = {"jmpc.testing.faults.strategies", "jmpc.testing.faults.plan", "jmpc.testing.faults.relay"}


def test_nothing_outside_a_family_counts_its_parties() -> None:
    found = {}
    for path in FILES:
        name, text = name_of(path), path.read_text()
        if not under(name, "jmpc.families.replicated3") and name not in THREE_BY_DEFAULT:
            found[name] = [word for word in OF_THREE if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)]
    assert {name: words for name, words in found.items() if words} == {}


def test_a_party_process_loads_no_compiler() -> None:
    script = "import sys, jmpc.executors.engine; print('\\n'.join(m for m in sys.modules if m.startswith('jmpc')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "jmpc.executors.engine" in loaded
    assert [m for m in loaded if any(under(m, c) for c in COMPILER_ONLY)] == []


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an attribute chain, else the empty text."""
    if isinstance(node, ast.Name):
        return node.id
    head = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{head}.{node.attr}" if head and isinstance(node, ast.Attribute) else ""


def uses(tree: ast.AST) -> set[str]:
    """Modules imported, attribute chains that start at a name, and names called."""
    found = set(imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(dotted(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(f"{node.func.id}()")
    return found


def forbidden(tree: ast.AST, adapter: bool = False, testing: bool = False) -> list[str]:
    modules = [m for m in FORBIDDEN_MODULES if not (testing and m in FOR_TESTING)]
    modules += () if adapter else PRIVATE_TO_ADAPTER
    calls = [f"{name}()" for name in FORBIDDEN_CALLS]
    return sorted(u for u in uses(tree) if u in calls or any(under(u, m) for m in modules))


def test_nothing_forbidden_is_used() -> None:
    found = {}
    for p in FILES:
        where = {"adapter": p.name == "_jax.py", "testing": under(name_of(p), "jmpc.testing")}
        found[name_of(p)] = forbidden(ast.parse(p.read_text()), **where)
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from jax import core",
        "jax.extend.core",
        "np.random.rand()",
        "eval('1')",
        "import jax._src.api",
    ],
)
def test_the_check_of_what_is_forbidden_sees_it(source: str) -> None:
    assert forbidden(ast.parse(source))


# What a program runs on is asked in one place, and handed down from there in a `Placement`.
PLACEMENT = "jmpc.executors.placement"
DEVICE_QUESTIONS = ("jax.default_backend", "jax.devices", "jax.local_devices", "_jax.default_device")
OTHER_PLATFORMS = ("sys.platform", "placement.platform", "self.placement.platform", "settings.platform")


def asks_for_devices(tree: ast.AST) -> list[str]:
    """What of a file asks JAX, or a device, what it is."""
    found = {u for u in uses(tree) if u in DEVICE_QUESTIONS or u == "jmpc._jax.default_device"}
    attributes = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr == "platform"]
    return sorted(found | {ast.unparse(n) for n in attributes if dotted(n) not in OTHER_PLATFORMS})


def test_one_place_knows_what_a_program_runs_on() -> None:
    asked = {name_of(p): asks_for_devices(ast.parse(p.read_text())) for p in FILES if p.name != "_jax.py"}
    assert [name for name, found in asked.items() if found] == [PLACEMENT]
    itself = {"found[0].platform", "self.devices[0].platform", "self.platform"}
    assert set(asked[PLACEMENT]) == {"jax.devices", "_jax.default_device", *itself}


@pytest.mark.parametrize(
    "source",
    ["jax.default_backend()", "x.devices()[0].platform", "jax.local_devices()", "from jmpc._jax import default_device"],
)
def test_the_check_of_who_asks_for_devices_sees_it(source: str) -> None:
    assert asks_for_devices(ast.parse(source))


def too_long(path: Path) -> list[str]:
    text = path.read_text()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > MAX_FUNCTION_LINES]
    return [*long, *(["the file"] if text.count("\n") > MAX_FILE_LINES else [])]


def test_files_and_functions_are_short() -> None:
    assert {name_of(p): long for p in HOUSE if (long := too_long(p))} == {}


def test_every_exported_name_exists() -> None:
    assert set(jmpc.__all__) == set(jmpc._HOMES)
    for name in jmpc.__all__:
        assert getattr(jmpc, name) is not None
    assert set(jmpc.__all__) <= set(dir(jmpc))


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert jmpc.__version__ == project["version"]


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        jmpc.nothing  # noqa: B018
