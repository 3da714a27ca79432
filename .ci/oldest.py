"""Pip's constraints for the oldest end of what pyproject.toml promises: every `name>=version` as `name==version`.

python .ci/oldest.py > constraints.txt
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
LOWEST = re.compile(r"(?P<name>[\w.-]+)>=(?P<version>[\w.]+)")


def requirements(project: dict) -> list[str]:
    """Of the library and of all its extras, without what refers to an extra of its own."""
    listed = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    return [r for r in dict.fromkeys(listed) if not r.startswith(f"{project['name']}[")]


def constraints(project: dict) -> list[str]:
    found = (LOWEST.match(requirement) for requirement in requirements(project))
    return [f"{match['name']}=={match['version']}" for match in found if match]


if __name__ == "__main__":
    print("\n".join(constraints(tomllib.loads(PROJECT.read_text())["project"])))
