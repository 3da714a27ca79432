"""Runs the tests of a module with one mutant in its place, in a forked process.

What goes in: a target and a mutant. What comes out: "killed", "survived" or "timeout". The parent imports what takes
long and does not change (JAX, NumPy, hypothesis, pytest), and nothing of jmpc.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KILLED, SURVIVED, TIMEOUT, NOT_RUN = "killed", "survived", "timeout", "not run"
# Of pytest: a failed test, an error while collecting, no test left. The tests ran without a mutant, so it did that.
_ENDS = {0: SURVIVED, 1: KILLED, 2: KILLED, 4: KILLED, 5: KILLED}
_UNUSED = 99  # the tests do not import the module
SPARE_S = 15.0


def warm() -> None:
    """Import what every child needs."""
    import cryptography.x509
    import hypothesis
    import jax.numpy
    import msgpack
    import pytest

    assert not any(name == "jmpc" or name.startswith("jmpc.") for name in sys.modules)
    assert all((cryptography, hypothesis, jax, msgpack, pytest))
    warnings.filterwarnings("ignore", category=RuntimeWarning, message=".*fork.*")


def path_of(module: str) -> Path:
    return ROOT / (module.replace(".", "/") + ".py")


def run(target: Any, source: str, timeout_s: float, log: Path) -> tuple[str, float]:
    """The tests with `source` in place of the module's own; stops at the first failure."""
    start = time.monotonic()
    pid = os.fork()
    if not pid:
        _child(target, source, log)
    end = start + timeout_s
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return (KILLED if code < 0 else _ENDS.get(code, NOT_RUN)), time.monotonic() - start
        if time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return TIMEOUT, time.monotonic() - start
        time.sleep(0.02)


def _child(target: Any, source: str, log: Path) -> None:
    code = _UNUSED
    try:
        os.setsid()
        os.chdir(ROOT)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.meta_path.insert(0, _Changed(target.module, source))
        code = _stages(target)
    finally:
        os._exit(code)


def _stages(target: Any) -> int:
    import pytest

    options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
    for stage in target.stages:
        code = int(pytest.main([*stage, *options, "--timeout=120"], plugins=[_Only(target)]))
        if target.module not in sys.modules and code == 0:
            return _UNUSED
        if code:
            return code
    return 0


class _Changed(importlib.abc.MetaPathFinder):
    """Finds one module in a text."""

    def __init__(self, module: str, source: str) -> None:
        self.module, self.source = module, source

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if name != self.module:
            return None
        file = str(path_of(name))
        return importlib.util.spec_from_file_location(name, file, loader=_Text(file, self.source))


class _Text(importlib.abc.SourceLoader):
    """A source file that has another text; SourceLoader keeps no bytecode of it."""

    def __init__(self, file: str, source: str) -> None:
        self.file, self.source = file, source

    def get_filename(self, fullname: str) -> str:
        return self.file

    def get_data(self, path: str) -> bytes:
        if path != self.file:
            raise OSError(path)
        return self.source.encode()


def registered(module: str) -> list[str]:
    """The ops for which a module registers protocols, by its own text: a mutant may have lost one."""
    calls = [node for node in ast.walk(ast.parse(path_of(module).read_text())) if isinstance(node, ast.Call)]
    named = [c.args[0] for c in calls if isinstance(c.func, ast.Name) and c.func.id == "protocol" and c.args]
    return [n.value for n in named if isinstance(n, ast.Constant) and isinstance(n.value, str)]


class _Only:
    """Of tests by protocol, the cases of the target's protocols."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        wanted = self.target.ops
        if wanted is None:
            wanted = registered(self.target.module)
        items[:] = [item for item in items if _case(item) is None or _case(item) in wanted]


def _case(item: Any) -> str | None:
    """The protocol that a test runs for, if it runs for each."""
    return getattr(item, "callspec", None) and item.callspec.params.get("name", item.callspec.params.get("op"))
