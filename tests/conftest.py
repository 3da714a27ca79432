"""What every test shares: a cache of compiled segments, and golden files with `--update-golden`.

The hypothesis profile is that of `jmpc.testing.plugin`: `ci` by pyproject.toml, the same examples everywhere;
`--jmpc-profile=nightly` draws more, and anew each time.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jmpc.testing.executors import SIMULATED, executor

GOLDEN = Path(__file__).parent / "golden"


# What results are compared with is compiled to run once. Segments say their own level.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# Programs and traces are a million objects that stay: to look through them as often as Python does took an eighth of
# the time.
gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="module", autouse=True)
def settled() -> Iterator[None]:
    """What is left of a module's tests stays: whoever collects garbage later need not look through it."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def segment_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled segments are kept for this run alone, apart from the user's own, and for all processes that share it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JMPC_CACHE_DIR", str(folder / "segments"))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew, then look at the diff")


@pytest.fixture
def simulated() -> Iterator[None]:
    """Secure calls run at three parties in NumPy: the same protocols, and nothing for XLA to compile."""
    with executor(SIMULATED):
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with tests/golden/NAME.txt, or write it there."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        text = text.rstrip("\n") + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.is_file(), f"no {path.name}: run pytest --update-golden"
        assert text == path.read_text(), f"{path.name} differs: if the change is meant, run pytest --update-golden"

    return check
