"""The Python blocks of docs/cluster.md run, in order, as one program, at three parties, and give what it says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jmpc.command.main import run
from tests.service.three import Three

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the blocks leave."""
    space: dict[str, Any] = {"__name__": "cluster_page"}
    folder, before = tmp_path_factory.mktemp("page"), os.getcwd()
    with Three(folder, ["hospital-a", "hospital-b"]) as three:
        os.symlink(three.folder, folder / "study")
        os.chdir(folder)
        try:
            for block in BLOCKS:
                exec(compile(block, "cluster.md", "exec"), space)  # noqa: S102
            yield space
        finally:
            os.chdir(before)
            for name in ("hospital", "clinic"):
                if name in space:
                    space[name].close()


def test_the_blocks_give_what_the_page_says(names: dict[str, Any]) -> None:
    assert len(BLOCKS) > 6
    np.testing.assert_allclose(names["quarters"], jnp.sort(names["x"])[::2], atol=1e-4)
    assert float(names["mean_dose"]) == pytest.approx(0.25, abs=1e-3)
    np.testing.assert_allclose(names["learned"], [2, 3.5], atol=1e-3)
    assert names["job"].done()


def test_its_command_submits_the_text_that_it_writes(names: dict[str, Any]) -> None:
    (command,) = re.findall(r"jmpc (submit rate\.share .*?)\n\n", PAGE.read_text(), re.DOTALL)
    assert run([*command.replace("\\\n", " ").split(), "--cluster", "study"]) == 0
    with np.load("rate.npz") as found:
        assert float(found["result"]) == pytest.approx(float(names["mean_dose"]), abs=1e-3)


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text())
    assert targets
    assert [t for t in targets if not (PAGE.parent / t).exists()] == []
