"""The example that each organisation runs: whole here, and at three parties by two, the answer where it belongs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jmpc.command.main import run
from jmpc_examples import predict
from tests.service.three import Three

SCRIPT = str(Path(predict.__file__))
RIGHT = "86 of 89 right"


def test_here_it_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    predict.main()
    assert RIGHT in capsys.readouterr().out


def test_two_organisations_run_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Three(tmp_path, ["model-owner", "laboratory"]) as three:
        common = ["run", SCRIPT, "--cluster", str(three.folder), "--as"]
        owner = [sys.executable, "-m", "jmpc", *common, "model-owner"]
        with subprocess.Popen(owner, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            code = run([*common, "laboratory"])
            out, _ = process.communicate(timeout=120)
    assert (code, process.returncode) == (0, 0), out
    assert "learned by 'laboratory'" in out
    assert "right" not in out
    assert RIGHT in capsys.readouterr().out
