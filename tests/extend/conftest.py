"""Ops from outside, known while a test runs and forgotten after it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from jmpc.extend.declare import DECLARED
from jmpc.families.family import FAMILIES
from jmpc.frontend.walk import RULES, WORDS
from jmpc.ir.ops.record import OPS

OUTSIDE = "tests.extend.outside"


@contextmanager
def forgotten_after() -> Iterator[None]:
    """What is declared inside is not known outside."""
    tables: list[dict[str, object]] = [OPS, DECLARED, RULES, WORDS, *(f.protocols for f in FAMILIES.values())]  # pyright: ignore[reportAssignmentType]
    before = [dict(table) for table in tables]
    try:
        yield
    finally:
        for table, kept in zip(tables, before, strict=True):
            table.clear()
            table.update(kept)


@pytest.fixture
def outside() -> Iterator[ModuleType]:
    with forgotten_after():
        yield importlib.import_module(OUTSIDE)
        sys.modules.pop(OUTSIDE, None)
