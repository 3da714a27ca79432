"""The pytest plugin: parties as fixtures, an executor and faults by option, profiles, and what a failure prints.

    pytest --jmpc-executor=processes         tests with the fixtures, and assert_secure_close, at three processes
    pytest --jmpc-faults=7                   each run under a fault of its own, chosen by the seed
    pytest --jmpc-faults=flip:0-1@2          each run under this one
    pytest --jmpc-profile=nightly            more examples of hypothesis

Nothing of jmpc but small files of `jmpc.testing` is imported before a test uses it, and without an option no setting
of pytest, hypothesis or JAX changes. docs/testing.md describes the fixtures.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from jmpc.testing.plugin import profiles
from jmpc.testing.session import EXECUTORS, LOCAL, MESH, Session

_SESSION = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("jmpc", "jmpc: secure functions under test")
    group.addoption("--jmpc-executor", choices=EXECUTORS, default=LOCAL, help="where secure calls run (default: local)")
    group.addoption("--jmpc-faults", metavar="SEED|PLAN", help="run secure calls under faults, and then again")
    group.addoption("--jmpc-profile", choices=list(profiles.PROFILES), help="hypothesis profile")
    parser.addini("jmpc_profile", "hypothesis profile where --jmpc-profile is not given", default="")


@pytest.hookimpl(tryfirst=True)  # before hypothesis reads its seed
def pytest_configure(config: pytest.Config) -> None:
    executor, faults = str(config.getoption("--jmpc-executor")), config.getoption("--jmpc-faults")
    if faults is not None:
        _check_faults(executor, faults)
    if executor == MESH:
        _three_devices()
    _load_profile(config)
    session = config.stash[_SESSION] = Session(executor, faults)
    session.open()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SESSION in config.stash:
        config.stash[_SESSION].close()


def pytest_report_header(config: pytest.Config) -> str | None:
    chosen = _options(config)
    return f"jmpc: {' '.join(chosen)}" if chosen else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[_SESSION].begin(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    report: Any = yield  # pyright: ignore[reportAssignmentType]
    if report.failed and call.excinfo is not None:
        from jmpc.testing.plugin.failure_report import concerns_jmpc, program_lines

        fixtures = [name for name in getattr(item, "fixturenames", ()) if name.startswith("jmpc_")]
        if fixtures or concerns_jmpc(call.excinfo.value):
            lines = [*_drawn(item.config), *program_lines(call.excinfo.value), *_again(item)]
            report.sections.append(("jmpc", "\n".join(lines)))
    return report


@pytest.fixture(scope="session")
def jmpc_session(request: pytest.FixtureRequest) -> Session:
    """The parties of this test session, started when they are first used."""
    return request.config.stash[_SESSION]


@pytest.fixture
def jmpc_parties(jmpc_session: Session) -> Iterator[Any]:
    """Three parties on the executor that `--jmpc-executor` names; secure calls of the test run there."""
    with jmpc_session.use() as backend:
        yield backend


@pytest.fixture
def jmpc_local(jmpc_session: Session) -> Iterator[Any]:
    """Three parties in this process, whatever the option says."""
    with jmpc_session.use(LOCAL) as backend:
        yield backend


@pytest.fixture
def jmpc_processes(jmpc_session: Session) -> Iterator[Any]:
    """Three party processes, started once a session, whatever the option says."""
    with jmpc_session.use("processes") as backend:
        yield backend


@pytest.fixture
def jmpc_faulty(jmpc_session: Session) -> Iterator[Any]:
    """Three parties whose links fail as the test says: `with jmpc_faulty.inject("drop:0-1@2"): ...`."""
    with jmpc_session.use_faulty() as backend:
        yield backend


def _three_devices() -> None:
    """The number of CPU devices is fixed when JAX starts: before a test, unless a plugin or a conftest used JAX."""
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", "3")
    if "jax" in sys.modules:
        with contextlib.suppress(RuntimeError):  # JAX runs already; the fixture says so if devices lack.
            sys.modules["jax"].config.update("jax_num_cpu_devices", 3)


def _check_faults(executor: str, faults: str) -> None:
    from jmpc.errors import ConfigError
    from jmpc.testing.faults.plan import FaultPlan

    if executor == MESH:
        raise pytest.UsageError("--jmpc-faults: parties on a mesh send no messages; use --jmpc-executor=local")
    try:
        FaultPlan.of(faults)
    except ConfigError as error:
        raise pytest.UsageError(f"--jmpc-faults: {error}") from error


def _load_profile(config: pytest.Config) -> None:
    name = _profile(config)
    if not name:
        return
    if name not in profiles.PROFILES:
        raise pytest.UsageError(f"jmpc_profile: no profile {name!r}; use one of {', '.join(profiles.PROFILES)}")
    try:
        profiles.load(name)
    except ImportError as error:
        raise pytest.UsageError("--jmpc-profile needs hypothesis: pip install hypothesis") from error
    if profiles.is_random(name) and getattr(config.option, "hypothesis_seed", None) is None:
        config.option.hypothesis_seed = profiles.fresh_seed()


def _profile(config: pytest.Config) -> str:
    return config.getoption("--jmpc-profile") or str(config.getini("jmpc_profile"))


def _options(config: pytest.Config) -> list[str]:
    """The options that make a run what it is."""
    executor, faults = config.getoption("--jmpc-executor"), config.getoption("--jmpc-faults")
    seed = getattr(config.option, "hypothesis_seed", None)
    given = [f"--jmpc-executor={executor}"] if executor != LOCAL else []
    given += [f"--jmpc-faults={faults}"] if faults is not None else []
    given += [f"--jmpc-profile={_profile(config)}"] if _profile(config) else []
    return given + ([f"--hypothesis-seed={seed}"] if seed is not None else [])


def _drawn(config: pytest.Config) -> list[str]:
    """Where the examples and the faults of this test came from."""
    session, seed = config.stash[_SESSION], getattr(config.option, "hypothesis_seed", None)
    name = _profile(config)
    same = name and not profiles.is_random(name)
    examples = "the same on every run" if same else f"seed {seed}" if seed is not None else "hypothesis's own seed"
    lines = [f"examples: {examples}" + (f" (profile {name})" if name else "")]
    return lines + ([f"faults of the last run: {session.last_plan}"] if session.last_plan else [])


def _again(item: pytest.Item) -> list[str]:
    return ["run it again:", f"  pytest '{item.nodeid}' {' '.join(_options(item.config))}".rstrip()]
