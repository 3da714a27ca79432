"""How far jmpc is from pyright strict: one run of pyright over everything, and its findings counted by part of jmpc.

What goes in: pyright's report, and `findings.txt`, which has the number of findings that are left of each part that is
not clean. What comes out: what is wrong. A finding of a rule that strict adds counts; any other is an error wherever it
is, and so is any finding in a part that is not listed. A number that fell is wrong too: the list says what is left.

    python -m tests.strict --pythonpath .venv/bin/python
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIST = HERE / "findings.txt"
# What strict reports and basic does not.
ADDED = frozenset(
    "report" + name
    for name in (
        *("UnknownArgumentType", "UnknownLambdaType", "UnknownMemberType", "UnknownParameterType"),
        *("UnknownVariableType", "MissingParameterType", "MissingTypeArgument", "MissingTypeStubs", "MissingSuperCall"),
        *("UntypedBaseClass", "UntypedClassDecorator", "UntypedFunctionDecorator", "UntypedNamedTuple"),
        *("UnnecessaryCast", "UnnecessaryComparison", "UnnecessaryContains", "UnnecessaryIsInstance"),
        *("UnusedClass", "UnusedExpression", "UnusedFunction", "UnusedImport", "UnusedVariable"),
        *("ConstantRedefinition", "Deprecated", "DuplicateImport", "IncompleteStub", "InconsistentConstructor"),
        *("InvalidStubStatement", "MatchNotExhaustive", "MissingModuleSource", "PrivateUsage", "TypeCommentUsage"),
        *("IncompatibleMethodOverride", "IncompatibleVariableOverride", "OverlappingOverload", "PossiblyUnbound"),
        *("PrivateImportUsage", "UnsupportedDunderAll", "WildcardImportFromLibrary", "InvalidStringEscapeSequence"),
    )
)


@dataclass(frozen=True)
class Finding:
    """path: of the file, from the root of the project."""

    path: str
    line: int
    rule: str
    message: str

    @property
    def part(self) -> str:
        """The folder of jmpc that the file is in, or the file where it is in none."""
        return "/".join(Path(self.path).parts[:2])

    @property
    def added(self) -> bool:
        return self.rule in ADDED and self.path.startswith("jmpc/")

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message} ({self.rule})"


def findings_of(report: Mapping[str, Any], root: Path = ROOT) -> list[Finding]:
    """What a report of `pyright --outputjson` finds; warnings that basic gives too are none of its errors."""
    found = [
        Finding(
            str(Path(one["file"]).relative_to(root)),
            one["range"]["start"]["line"] + 1,
            one.get("rule", ""),
            one["message"].splitlines()[0],
        )
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    ]
    return sorted(found, key=lambda f: (f.path, f.line))


def listed(text: str) -> dict[str, int]:
    """The parts that are not clean, and how many findings are left of each. `#` begins a comment."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return {part: int(count) for part, count in (line for line in lines if line)}


def faults(found: Sequence[Finding], left: Mapping[str, int]) -> list[str]:
    """What is wrong with findings where those of `left` are known, in words; nothing, if all is as it says."""
    plain = [str(f) for f in found if not f.added or f.part not in left]
    counted = Counter(f.part for f in found if f.added)
    return plain + [
        _of_part(part, counted[part], count, [f for f in found if f.part == part and f.added])
        for part, count in left.items()
        if counted[part] != count
    ]


def _of_part(part: str, now: int, before: int, found: Sequence[Finding]) -> str:
    if now < before:
        then = f"write {now} for it" if now else "take its line out, and put it into `strict` in pyproject.toml"
        return f"{part}: {now} findings are left of {before}. In {LIST.relative_to(ROOT)}, {then}"
    by_rule = ", ".join(f"{count} {rule}" for rule, count in Counter(f.rule for f in found).most_common())
    todo = "say the types of what is new (`python -m tests.strict --show PART` lists what is found)"
    return f"{part}: {now} findings, and there were {before} ({by_rule}): {todo}"
