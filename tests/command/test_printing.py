"""What commands print holds nothing that a terminal would obey, whoever wrote it."""

from __future__ import annotations

import json

import pytest

from jmpc.command.printing import print_error, print_result
from jmpc.errors import ArgumentError

OBEYED = "\x1b]0;mine\x07 \x9b2J \x7f \r \u202e"


def test_an_error_of_another_shows_no_controls(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ArgumentError(f"what{OBEYED}", where=OBEYED, why="why\nso", todo=OBEYED), as_json=False)
    print_result(False, f"done {OBEYED}", {})
    said = capsys.readouterr()
    text = said.out + said.err
    assert "why" in text
    assert [char for char in text if not char.isprintable() and char != "\n"] == []


def test_json_says_it_in_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ArgumentError(OBEYED), as_json=True)
    text = capsys.readouterr().out
    assert json.loads(text)["error"]["what"] == OBEYED
    assert "\x1b" not in text
