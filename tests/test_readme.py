"""The README's Python blocks run, in order, as one program."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jmpc.daemon.trial import trial

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
AT_A_CLUSTER = re.findall(r"^```python cluster\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def test_the_blocks_run_and_give_what_plain_jax_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "readme.py"
    script.write_text("\n".join(BLOCKS))
    names = runpy.run_path(str(script))
    assert names["score"].last_run.executor == "processes"
    printed = capsys.readouterr().out
    for part in ("rounds", "by op", "by line", "RunStats", "program score"):
        assert part in printed

    secret = names["score"](names["weights"], names["x"])
    weights, x = [jnp.asarray(w, jnp.float32) for w in names["weights"]], jnp.asarray(names["x"], jnp.float32)
    plain = names["score"].function(weights, x)
    assert secret.shape == plain.shape
    assert secret.dtype == plain.dtype
    assert np.allclose(secret, plain, atol=1e-3)


def test_the_blocks_for_a_cluster_run_at_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = AT_A_CLUSTER
    before = BLOCKS[0].partition("\nscore(")[0]
    script = tmp_path / "readme.py"
    script.write_text("\n".join([before, block]))
    with trial(["model-owner", "client"]) as cluster:
        monkeypatch.chdir(cluster.folder)
        names = runpy.run_path(str(script))
    assert names["score"].last_run.executor == "cluster"


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    assert targets
    assert [t for t in targets if not (README.parent / t).exists()] == []
