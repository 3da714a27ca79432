"""docs/extending.md runs: its blocks in order, as one session; those that name a file of the tests are parts of it."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jmpc.testing.executors import SIMULATED, executor
from tests.extend.conftest import forgotten_after

PAGE = Path(__file__).resolve().parent.parent / "docs" / "extending.md"
ROOT = PAGE.parents[1]
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
WRITTEN = re.compile(r"# (\w+)\.py\b.*\n")
QUOTED = re.compile(r"# (tests/[\w/]+\.py)\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with forgotten_after():
        yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_the_page_runs(folder: Path) -> None:
    space: dict[str, Any] = {"__name__": "extending"}
    for block in BLOCKS:
        if QUOTED.match(block):
            continue
        if file := WRITTEN.match(block):
            (folder / f"{file[1]}.py").write_text(block)
            importlib.invalidate_caches()
        elif "jmpc.processes(" in block:
            exec(compile(block, "extending.py", "exec"), space)  # noqa: S102
        else:
            with executor(SIMULATED):
                exec(compile(block, "extending.py", "exec"), space)  # noqa: S102
    assert "small_is_zero of the module equality" in str(space["found"])


def test_what_is_quoted_stands_in_the_files() -> None:
    quoted = [(found[1], block[found.end() :]) for block in BLOCKS if (found := QUOTED.match(block))]
    assert len(quoted) == 3
    for path, text in quoted:
        assert text.strip() in (ROOT / path).read_text()


def test_an_op_takes_as_few_files_as_the_page_says() -> None:
    """Of the blocks that would be files of jmpc: a protocol, its folder's `__init__`, a word and its rule."""
    named = {
        p for block in BLOCKS if WRITTEN.match(block) for p in re.findall(r"jmpc/[\w/]+\.py", block.splitlines()[0])
    }
    folders = {str(Path(p).parent / "__init__.py") for p in named if not (ROOT / p).exists()}
    assert 0 < len(named | folders) <= 4


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text())
    assert targets
    assert [t for t in targets if not (PAGE.parent / t).exists()] == []
