"""Helm's templates, as far as the chart of a party uses them: values, and a few functions of one value.

In: the folder of a chart, values over its own. Out: the documents that it makes. Anything else in a template is an
error, so that the chart stays as simple as what is read here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

_ACTION = re.compile(r"\{\{ (.*?) \}\}")
_FUNCTIONS: dict[str, Callable[[Any], str]] = {
    "quote": lambda value: json.dumps(_text(value)),
    "sha256sum": lambda value: hashlib.sha256(_text(value).encode()).hexdigest(),
}


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def rendered(chart: Path, name: str, over: Mapping[str, Any]) -> dict[str, dict]:
    """The documents of a release, by their kind."""
    values = {**yaml.safe_load((chart / "values.yaml").read_text()), **over}
    scope = {"Values": values, "Release": {"Name": name}}
    found: dict[str, dict] = {}
    for path in sorted((chart / "templates").iterdir()):
        text = _ACTION.sub(lambda action: _value(action[1], scope), path.read_text())
        assert "{{" not in text, f"{path.name} has what is not understood here"
        for document in yaml.safe_load_all(text):
            assert document["kind"] not in found
            found[document["kind"]] = document
    return found


def _value(pipeline: str, scope: Mapping[str, Any]) -> str:
    first, *functions = pipeline.split(" | ")
    if first.startswith('required "'):
        said, _, first = first.removeprefix('required "').partition('" ')
        assert _look_up(first, scope), said
    if first.startswith("add "):
        _, path, number = first.split()
        value: object = _look_up(path, scope) + int(number)
    else:
        value = _look_up(first, scope)
    for function in functions:
        value = _FUNCTIONS[function](value)
    return _text(value)


def _look_up(path: str, scope: Mapping[str, Any]) -> Any:
    found: Any = scope
    for key in path.removeprefix(".").split("."):
        found = found[key]
    return found
