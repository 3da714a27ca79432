"""A good cluster, made once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .planted import new_cluster


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "study"
    new_cluster(folder)
    return folder


@pytest.fixture
def study(made_once: Path, tmp_path: Path) -> Path:
    """The folder of a good cluster, to do anything with."""
    return Path(shutil.copytree(made_once, tmp_path / "study"))
