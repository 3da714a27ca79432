"""docs/storage.md runs, and names what there is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from jmpc.store import StorageKey, Store
from jmpc.store.files import RESERVE
from jmpc.store.sealed import CHUNK_BYTES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "storage.md").read_text()
(BLOCK,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    exec(compile(BLOCK, "storage.py", "exec"), {"__name__": "storage"})  # noqa: S102
    Store.restore("backup", "restored", StorageKey.read("storage.key"))
    with Store.open("restored", StorageKey.read("storage.key")) as restored:
        assert len(restored.values()) == 2
        named = set(re.findall(r"`([\w./-]+)`", PAGE[PAGE.index("| file |") : PAGE.index("Each file is sealed")]))
        there = {name for name in os.listdir("restored") if not name.endswith(("-wal", "-shm"))}
        assert there == {name for name in named if "/" not in name} | {"values"}
    assert f"chunks of {CHUNK_BYTES >> 20} MiB" in PAGE
    assert RESERVE in there
