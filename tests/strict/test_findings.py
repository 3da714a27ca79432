"""What is made of pyright's report: what counts, what is an error, and when a number is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.strict.findings import LIST, ROOT, Finding, faults, findings_of, listed

UNKNOWN, CALL = "reportUnknownMemberType", "reportCallIssue"


def one(path: str, rule: str = UNKNOWN) -> Finding:
    return Finding(path, 3, rule, "the type is unknown")


def report(*found: dict[str, Any]) -> dict[str, Any]:
    return {"generalDiagnostics": [{"range": {"start": {"line": 6}}, "message": "wrong\nmore", **f} for f in found]}


def test_a_report_is_read() -> None:
    given = report(
        {"file": "/x/jmpc/ring/bits.py", "severity": "error", "rule": UNKNOWN},
        {"file": "/x/jmpc/ring/bits.py", "severity": "warning", "rule": UNKNOWN},
        {"file": "/x/jmpc/api.py", "severity": "error"},  # a fault of syntax has no rule
    )
    found = findings_of(given, Path("/x"))
    assert [str(f) for f in found] == ["jmpc/api.py:7: wrong ()", f"jmpc/ring/bits.py:7: wrong ({UNKNOWN})"]
    assert [f.part for f in found] == ["jmpc/api.py", "jmpc/ring"]


def test_the_list_is_read() -> None:
    assert listed("# parts\njmpc/testing 12\n\njmpc/api.py 3  # the top\n") == {"jmpc/testing": 12, "jmpc/api.py": 3}


def test_what_is_listed_is_no_fault() -> None:
    assert faults([one("jmpc/testing/a.py"), one("jmpc/testing/b.py")], {"jmpc/testing": 2}) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (one("jmpc/ring/bits.py"), "jmpc/ring/bits.py:3"),  # of a part that is clean
        (one("jmpc/testing/a.py", CALL), "jmpc/testing/a.py:3"),  # of a rule that is basic's
        (one("bench/run.py"), "bench/run.py:3"),  # bench is not strict: nothing there counts
    ],
)
def test_what_does_not_count_is_an_error(found: Finding, said: str) -> None:
    (only,) = faults([found, one("jmpc/testing/b.py")], {"jmpc/testing": 1})
    assert only.startswith(said)


def test_more_findings_than_listed_are_a_fault() -> None:
    (only,) = faults([one("jmpc/testing/a.py")] * 3, {"jmpc/testing": 2})
    assert "jmpc/testing: 3 findings, and there were 2 (3 reportUnknownMemberType)" in only


def test_fewer_findings_than_listed_are_a_fault_that_says_what_to_write() -> None:
    (fell,) = faults([one("jmpc/testing/a.py")], {"jmpc/testing": 2})
    assert "write 1 for it" in fell
    (gone,) = faults([], {"jmpc/testing": 2})
    assert "take its line out" in gone


def test_every_part_is_strict_or_listed() -> None:
    strict = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pyright"]["strict"])
    left = listed(LIST.read_text())
    files = (p.relative_to(ROOT) for p in (ROOT / "jmpc").rglob("*.py") if p.read_text().strip())
    parts = {Finding(str(p), 1, "", "").part for p in files}
    assert strict | set(left) == parts
    assert not strict & set(left)
    assert all(count > 0 for count in left.values())
