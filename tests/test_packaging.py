"""What pyproject.toml promises of other packages, and that `.ci/`, which tries it, and the README say the same."""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OLDEST = runpy.run_path(str(ROOT / ".ci" / "oldest.py"))
REQUIREMENTS = OLDEST["requirements"](PROJECT)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_a_package_has_a_lowest_version_and_a_tool_one(requirement: str) -> None:
    assert re.fullmatch(r"[\w.-]+(\[\w+\])?(>=[\d.]+(,<[\d.]+)?|==[\d.]+)", requirement)


def test_the_oldest_end_has_the_lowest_version_of_each() -> None:
    extras = {"x": ["p[y]", "c>=0.4"], "y": ["b>=3", "tool==7.1"]}
    project = {"name": "p", "dependencies": ["a>=1.2,<2", "b>=3"], "optional-dependencies": extras}
    assert OLDEST["constraints"](project) == ["a==1.2", "b==3", "c==0.4"]


def test_the_readme_and_the_metadata_say_the_same_versions() -> None:
    readme = " ".join((ROOT / "README.md").read_text().split())
    said = re.search(r"Python (3\.\d+) to (3\.\d+), JAX (0\.\d+) to (0\.\d+)\.", readme)
    assert said is not None
    lowest, last, oldest_jax, newest_jax = map(version, said.groups())
    assert PROJECT["requires-python"] == f">={said[1]},<3.{last[1] + 1}"
    assert f"jax>={said[3]},<0.{newest_jax[1] + 1}" in PROJECT["dependencies"]
    assert lowest <= sys.version_info[:2] <= last
    assert oldest_jax <= version(jax.__version__)[:2] <= newest_jax
    script = (ROOT / ".ci" / "run").read_text()
    assert f"newest=$(first_of {said[2]} 3." in script
    assert f"oldest=$(first_of {said[1]})" in script
