"""What elsewhere runs code or fills memory where it is read, given to all that reads what others send: it is refused,
nothing runs, no module is imported, and no memory goes."""

from __future__ import annotations

import gzip
import io
import marshal
import os
import pickle  # noqa: TID251  (that nobody reads it)
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jmpc.approval.policy import read_policy
from jmpc.cluster import Roster
from jmpc.errors import ConfigError
from tests.faults.fuzz import Target, resident_mib, targets

MIB = 2**20


class Runs:
    """Makes a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (self.path,)


def _zipped(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    return out.getvalue()


def bombs(path: str) -> dict[str, bytes]:
    found = {f"pickle {version}": pickle.dumps(Runs(path), version) for version in range(6)}
    objects = np.array([Runs(path)], dtype=object)
    for name, save in (("npy", np.save), ("npz", np.savez)):
        out = io.BytesIO()
        save(out, objects)  # pyright: ignore[reportCallIssue, reportArgumentType]
        found[name] = out.getvalue()
    laughs = "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    return found | {
        "marshal": marshal.dumps(compile(f"import os; os.mkdir({path!r})", "x", "exec")),
        "python": f"__import__('os').mkdir({path!r})".encode(),
        "yaml": f"!!python/object/apply:os.mkdir [{path!r}]".encode(),
        "yaml laughs": b"a: &a [x, x, x, x, x, x, x, x, x]\n" + laughs.encode(),
        "xml laughs": b'<!DOCTYPE x [<!ENTITY a "xxxx"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>',
        "gzip": gzip.compress(bytes(64 * MIB)),
        "zip": _zipped("x", bytes(64 * MIB)),
        "deep json": b"[" * 20_000 + b"]" * 20_000,
        "deep toml": b"a = " + b"[" * 20_000 + b"]" * 20_000,
        "long number": b"a = " + b"9" * 50_000,
        "msgpack size": b"\xdd\xff\xff\xff\xff" + b"\xc0" * 100,
        "msgpack extension": b"\xc9\x00\x00\x00\x10\x01" + b"x" * 16,
        "safetensors": (2**63 - 1).to_bytes(8, "little") + b'{"x":{"dtype":"F64","shape":[9999999999]}}',
        "module": b"program x\nmodule os\n",
    }


def _text_readers(folder: Path) -> dict[str, Target]:
    def roster(data: bytes) -> None:
        (folder / "cluster.toml").write_bytes(data)
        Roster.read(folder / "cluster.toml")

    def policy(data: bytes) -> None:
        read_policy(data.decode("utf-8", "replace"), "policy.toml")

    return {"cluster.toml": Target([], roster, (ConfigError,)), "policy.toml": Target([], policy, (ConfigError,))}


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return targets() | _text_readers(tmp_path_factory.mktemp("texts"))


@pytest.mark.parametrize("name", bombs("x"))
def test_nothing_goes_off(name: str, readers: dict[str, Target], tmp_path: Path) -> None:
    path = tmp_path / "went off"
    data, modules, before = bombs(str(path))[name], {*sys.modules}, resident_mib()
    taken: list[Any] = []
    for reader, target in readers.items():
        try:
            target.read(data)
            taken.append(reader)
        except target.errors:
            pass
    assert taken == []
    assert not path.exists()
    assert {*sys.modules} - modules <= set()
    assert resident_mib() - before < 50
    assert len(readers) >= 8
