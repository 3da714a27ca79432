"""docs/testing.md runs: its Python blocks in order, as one session; what fails, fails with the message shown."""

from __future__ import annotations

import code
import importlib
import linecache
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from jmpc.testing.plugin import profiles

pytest_plugins = ["pytester"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
BLOCKS = re.findall(r"^```(\w+)( fails)?\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+)\.py(, continued)?\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the page's files lie; the examples are those of the profile `ci`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    profile = settings.get_current_profile_name()
    profiles.load("ci")
    yield tmp_path
    settings.load_profile(profile)
    sys.modules.pop("equality", None)


def write(folder: Path, module: str, continued: str, text: str) -> None:
    path = folder / f"{module}.py"
    path.write_text((path.read_text() if continued else "") + text)
    sys.modules.pop(module, None)
    linecache.checkcache()
    importlib.invalidate_caches()


def shown(message: str, text: str) -> bool:
    """Whether `message` is `text`, in which `...` stands for anything."""
    parts = [re.escape(part.strip("\n")) for part in text.strip().split("...")]
    return re.fullmatch(r"\s*" + r"[\s\S]*".join(parts) + r"\s*", message) is not None


class Session(code.InteractiveInterpreter):
    """Runs blocks as a prompt would: names stay, also those of a block that failed later."""

    error: BaseException | None = None

    def showtraceback(self) -> None:
        self.error = sys.exception()

    def run(self, block: Any, fails: str) -> str:
        """The message of a block that should fail; another error is raised."""
        self.error = None
        self.runcode(block)
        if fails:
            assert isinstance(self.error, AssertionError)
        elif self.error is not None:
            raise self.error
        return str(self.error or "")


def test_the_blocks_run_in_order(folder: Path) -> None:
    session, failure, failures = Session({}), "", 0
    for n, (language, fails, text) in enumerate(BLOCKS):
        file = FILE.match(text)
        if language == "text":
            assert shown(failure, text), f"block {n} shows\n{text}\nand the message is\n{failure}"
            failures += 1
        elif language == "python" and file:
            write(folder, file[1], file[2], text)
        elif language == "python":
            failure = session.run(compile(text, f"testing.md, block {n}", "exec", dont_inherit=True), fails)
    assert failures == len([1 for _, fails, _ in BLOCKS if fails]) == 4


def test_the_failure_is_printed_as_shown(pytester: pytest.Pytester) -> None:
    (source,) = [text for language, _, text in BLOCKS if language == "python" and text.startswith("# test_score.py")]
    (console,) = [text for language, _, text in BLOCKS if language == "console"]
    command, _, wanted = console.partition("\n")
    pytester.makepyfile(test_score=source)
    result = pytester.runpytest_subprocess("-p", "no:xdist", *command.removeprefix("$ pytest ").split())
    result.assert_outcomes(failed=1)
    found = "\n".join(line.rstrip() for line in result.outlines)
    assert shown(found, "...\n" + wanted), f"the page shows\n{wanted}\nand it is\n{found}"


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https:)([^)#]+)\)", PAGE.read_text())
    assert targets
    assert [t for t in targets if not (PAGE.parent / t).exists()] == []


@pytest.mark.parametrize(
    ("message", "text", "same"),
    [("a\nb", "a\nb\n", True), ("a\nb", "a\n...\n", True), ("a\nb", "b\n", False), ("x: 3 y", "x: ... y", True)],
)
def test_dots_stand_for_anything(message: str, text: str, same: bool) -> None:
    assert shown(message, text) is same
