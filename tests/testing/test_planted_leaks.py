"""Each planted leak is found by at least one level; docs/planted_leaks.md says which, and is what the levels found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jmpc.config import Config
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.party import link
from jmpc.testing.build import config_of
from jmpc.testing.privacy.everywhere import compared, proved
from jmpc.testing.privacy.exact import check_private_exact
from jmpc.testing.privacy.report import PrivacyError
from jmpc.testing.privacy.statistical import check_private_statistical
from jmpc.testing.privacy.structural import check_private_structural
from tests.testing.leaks import LEAKS, Leak

PAGE = Path(__file__).resolve().parents[2] / "docs" / "planted_leaks.md"
LEVELS = ("exact", "statistical", "structural")
HEAD = """# Planted leaks: what each level of the privacy checks finds

Written by tests/testing/test_planted_leaks.py from what the checks say (`pytest --update-golden`); the leaks are in
tests/testing/leaks.py. A level that does not find a leak says why.

The statistical and the structural level look at several sizes and ring widths, on inputs anywhere in the ring
(`jmpc/testing/privacy/everywhere.py`). The structural level is a proof where it succeeds, so what is a message of the
program cannot pass it; it also refuses private protocols that hide by other means than one-time pads. None of the three
sees below the party program: that two masks get different words of a key is checked in tests/party/test_masks.py.

| leak | what is wrong | exact | statistical | structural |
|---|---|---|---|---|
"""


@pytest.fixture(autouse=True)
def traced_anew() -> Iterator[None]:
    """A leak changes protocols in place: nothing traced before or within it may stand for the other."""
    link.forget()
    yield
    link.forget()


def exact(leak: Leak) -> None:
    config = config_of(leak.k, 0)
    if not leak.secured and leak.k:
        check_private_exact(lambda shape: leak.program(shape, config), protocols=leak.protocols)


def statistical(leak: Leak) -> None:
    if leak.secured:
        check_private_statistical(leak.secured, *leak.values)
    else:
        compared(leak.program, leak.protocols)


def structural(leak: Leak) -> None:
    if leak.secured:
        check_private_structural(leak.secured, *leak.values)
    else:
        proved(leak.program, leak.protocols)


def finds(level: Callable[[Leak], None], leak: Leak) -> str:
    """What the level says, or nothing; the exact one may refuse what is not elementwise."""
    said: Exception | None = None
    try:
        with leak.patch():
            level(leak)
    except (PrivacyError, ValueError) as found:
        said = found
    if isinstance(said, PrivacyError):
        assert said.level == level.__name__
        assert said.statistic
        return str(said)
    assert said is None or "not runs of their own" in str(said)
    return ""


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, str]]:
    levels = (exact, statistical, structural)
    return {name: {level.__name__: finds(level, leak) for level in levels} for name, leak in LEAKS.items()}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_found(name: str, found: dict[str, dict[str, str]]) -> None:
    by_level = found[name]
    missed = {level for level in LEVELS if not by_level[level]}
    assert missed == set(LEAKS[name].misses), by_level


def test_without_its_fault_nothing_is_found() -> None:
    """The programs of the leaks, with the real protocols. Those of one protocol are compared elsewhere."""
    programs = {(leak.program, leak.k): leak for leak in LEAKS.values() if not leak.secured}
    for leak in programs.values():
        real = replace(leak, protocols=PROTOCOLS, patch=contextlib.nullcontext)
        alone = len(leak.program((3,), Config()).body.ops) == 1
        for level in (exact, structural) if alone else (exact, structural, statistical):
            assert finds(level, real) == "", leak.what


def test_the_page_is_what_was_found(found: Any, request: pytest.FixtureRequest) -> None:
    rows = []
    for name, leak in LEAKS.items():
        cells = ["found" if found[name][level] else f"no: {leak.misses[level]}" for level in LEVELS]
        rows.append(f"| {name} | {leak.what} | {' | '.join(cells)} |\n")
    text = HEAD + "".join(rows)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "if the change is meant, run pytest --update-golden"
