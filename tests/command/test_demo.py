"""`jmpc demo`: its figures as JSON, and what it says where its packages are missing."""

from __future__ import annotations

import json
import sys

import pytest

from jmpc.command.main import run


def test_figures_are_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--images", "5", "--epochs", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True
    assert said["agree"] == 5
    assert said["rounds"] > 0
    assert min(said["bytes_sent"]) > 0


def test_missing_packages_are_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    for name in ("jmpc_examples.private_prediction", "jmpc_examples._digits"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert run(["demo"]) == 1
    said = capsys.readouterr().err
    assert "needs the package mlxtend" in said
    assert "pip install 'jmpc[demo]'" in said


def test_options_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--images", "0"]) == 2
    assert "--images" in capsys.readouterr().err
