"""The pytest plugin, run by pytest itself on small test files."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import settings

import jmpc
from jmpc import backends as jmpc_backends
from jmpc.errors import CheckError
from jmpc.testing import assert_secure_close, plugin, session
from jmpc.testing.faulty import faulty_parties
from jmpc.testing.plugin import failure_report, profiles
from jmpc.testing.session import Session

pytest_plugins = ["pytester"]

# Pytest forgets, after a run inside itself, what was imported in it: so all is imported before.
for module in pkgutil.walk_packages(jmpc.__path__, "jmpc."):
    importlib.import_module(module.name)

RELU = """
    import jax, jmpc
    import numpy as np

    f = jmpc.secure(lambda x: jax.nn.relu(x) * 2)
    x = np.array([1.5, -2.0], np.float32)

    def right(got):
        return np.allclose(got, np.maximum(x, 0) * 2, atol=2 ** -10)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.Pytester]:
    """A folder for a user's tests. A profile that they load is in force in them alone."""
    monkeypatch.setenv("JMPC_CACHE_DIR", "")
    profile = settings.get_current_profile_name()
    yield pytester
    settings.load_profile(profile)


@pytest.fixture(scope="module", autouse=True)
def used_before() -> None:
    """JAX imports parts of itself when it compiles first."""
    with faulty_parties():
        jmpc.secure(lambda x: jax.nn.relu(x) * 2)(np.ones(1, np.float32))


def run(suite: pytest.Pytester, body: str, *options: str) -> pytest.RunResult:
    suite.makepyfile(RELU + body)
    return suite.runpytest_inprocess("-p", "no:xdist", "-p", "no:cacheprovider", *options)


EACH = """
    def test_parties(jmpc_parties):
        print("ran on", f(x) is not None and f.last_run.executor)
        assert right(f(x))

    def test_here(jmpc_local):
        assert right(f(x)) and f.last_run.executor == "local"
"""


def test_secure_calls_run_here_unless_told_otherwise(suite: pytest.Pytester) -> None:
    result = run(suite, EACH, "-s")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*ran on local*"])


def test_the_mesh_has_three_devices_of_its_own(suite: pytest.Pytester) -> None:
    suite.makepyfile(RELU + EACH)
    result = suite.runpytest_subprocess("-p", "no:xdist", "--jmpc-executor=mesh", "-s")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*jmpc: --jmpc-executor=mesh*", "*ran on mesh*"])


def test_processes_are_started_once_and_ended(suite: pytest.Pytester) -> None:
    body = """
    from jmpc.testing import assert_secure_close
    seen = []

    def test_by_option(jmpc_parties):
        assert right(f(x)) and f.last_run.executor == "processes"
        seen.append(jmpc_parties.cluster.pids)

    def test_by_name(jmpc_processes):
        assert right(f(x)) and f.last_run.executor == "processes"
        assert_secure_close(lambda x: x * 2, x)
        seen.append(jmpc_processes.cluster.pids)
        assert seen[0] == seen[1]
        print("PIDS", *seen[1])

    def test_here(jmpc_local):
        assert right(f(x)) and f.last_run.executor == "local"
    """
    result = run(suite, body, "-s", "--jmpc-executor=processes")
    result.assert_outcomes(passed=3)
    pids = next(line.split("PIDS ")[1].split() for line in result.outlines if "PIDS" in line)
    assert len(pids) == 3
    for pid in pids:
        assert subprocess.run(["kill", "-0", pid], capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("faults", ["7", "flip:0-1@2:5", "delay:2-1@0:1,drop:1-0@1"])
def test_faults_leave_right_results_right(suite: pytest.Pytester, faults: str) -> None:
    result = run(suite, EACH, f"--jmpc-faults={faults}")
    result.assert_outcomes(passed=2)


def test_faults_reach_a_test_and_are_named_when_it_fails(suite: pytest.Pytester) -> None:
    body = """
    def test_wrong(jmpc_parties):
        f(x)
        assert not right(f(x))
    """
    result = run(suite, body, "--jmpc-faults=flip:0-1@2:5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*faults of the last run: flip:0-1@2:5*", "*--jmpc-faults=flip:0-1@2:5*"])
    result = run(suite, body, "--jmpc-faults=7")
    (line,) = [text for text in result.outlines if text.startswith("faults of the last run")]
    assert line == f"faults of the last run: {seeded('7', 'wrong', 2)}"


def seeded(seed: str, test: str, run_no: int) -> str:
    """The plan of a run, from a session like the plugin's."""
    one = Session("local", seed)
    one.begin(f"test_faults_reach_a_test_and_are_named_when_it_fails.py::test_{test}")
    for _ in range(run_no):
        one.next_plan()
    return one.last_plan


def test_a_program_that_swallows_a_fault_fails(suite: pytest.Pytester) -> None:
    body = """
    from jmpc.errors import PartyError
    from jmpc.testing.faulty import FaultyThreads

    run = FaultyThreads.execute

    def careless(self, flow, inputs):
        try:
            return run(self, flow, inputs)
        except PartyError:
            return run(self, flow, inputs)

    def test_it(jmpc_parties, monkeypatch):
        monkeypatch.setattr(FaultyThreads, "execute", careless)
        f(x)
    """
    result = run(suite, body, "--jmpc-faults=flip:0-1@0:5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ended without an error under flip:0-1@0:5*"])


ASSERT = """
    from jmpc import backends
    from jmpc.testing import assert_secure_close

    seen = []
    use = backends.use

    def noted(backend):
        seen.append(type(backend).__name__)
        return use(backend)

    backends.use = noted

    def test_chosen():
        seen.clear()
        assert_secure_close(lambda x: x * 2, x)
        print("CHOSEN", *seen)

    def test_named():
        seen.clear()
        assert_secure_close(lambda x: x * 2, x, executors=["local"])
        print("NAMED", *seen)

    def test_entered(jmpc_faulty):
        seen.clear()
        assert_secure_close(lambda x: x * 2, x)
        print("ENTERED", *seen)
"""


@pytest.mark.parametrize(
    ("option", "chosen", "named"),
    [
        ("--jmpc-executor=local", "LocalBackend", "LocalBackend"),
        ("--jmpc-faults=3", "UnderFaults", "UnderFaults"),
    ],
)
def test_a_comparison_runs_where_the_option_says_or_the_fixture(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str, chosen: str, named: str
) -> None:
    monkeypatch.setattr(jmpc_backends, "use", jmpc_backends.use)
    result = run(suite, ASSERT, option, "-s")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines([f"*CHOSEN {chosen}", f"*NAMED {named}", "*ENTERED"])


def test_a_test_may_make_its_own_faults(suite: pytest.Pytester) -> None:
    body = """
    from jmpc.errors import FrameError
    from jmpc.testing.faults.expect import aborts, recovers

    def test_it(jmpc_faulty):
        with jmpc_faulty.inject("flip:0-1@2:5"), aborts(FrameError, party=1, peer=0):
            f(x)
        assert right(recovers(f, x))
    """
    run(suite, body).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--jmpc-faults=lose:0-1@2"], "no fault 'lose'"),
        (["--jmpc-faults=7", "--jmpc-executor=mesh"], "parties on a mesh send no messages"),
        (["-o", "jmpc_profile=often"], "no profile 'often'"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(suite: pytest.Pytester, options: list[str], word: str) -> None:
    result = run(suite, EACH, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{word}*"])


# --- profiles


SETTINGS = """
    from hypothesis import settings

    def test_it(pytestconfig):
        s = settings.default
        print("PROFILE", s.max_examples, s.derandomize, pytestconfig.option.hypothesis_seed)
"""


def settings_of(suite: pytest.Pytester, *options: str) -> tuple[str, str, str]:
    suite.makepyfile(SETTINGS)
    result = suite.runpytest_subprocess("-p", "no:xdist", "-s", *options)
    result.assert_outcomes(passed=1)
    line = next(line for line in result.outlines if "PROFILE" in line)
    return tuple(line.split("PROFILE ")[1].split())  # pyright: ignore[reportReturnType]


def test_a_profile_is_chosen_by_option_or_file(suite: pytest.Pytester) -> None:
    examples, same, seed = settings_of(suite, "--jmpc-profile=nightly")
    assert (examples, same) == ("500", "False")
    assert seed.isdecimal()
    suite.makeini("[pytest]\njmpc_profile = ci\n")
    assert settings_of(suite) == ("20", "True", "None")


def test_without_options_nothing_changes(suite: pytest.Pytester) -> None:
    assert settings_of(suite) == settings_of(suite, "-p", "no:jmpc.testing.plugin")


def test_every_profile_has_no_deadline_and_only_ci_repeats_itself() -> None:
    assert [name for name in profiles.PROFILES if not profiles.is_random(name)] == ["ci"]
    assert len({profiles.fresh_seed() for _ in range(10)}) == 10


# --- what is imported


def test_pytest_starts_without_jax_numpy_and_hypothesis(suite: pytest.Pytester) -> None:
    suite.makepyfile("""
    import sys

    def test_nothing_heavy():
        assert "jmpc.testing.plugin" in sys.modules
        heavy = ("jax", "numpy", "hypothesis", "cryptography", "jmpc.api", "jmpc.backends", "jmpc.compiler")
        assert [name for name in heavy if name in sys.modules] == []

    def test_a_failure_of_others_is_theirs():
        assert False
    """)
    result = suite.runpytest_subprocess("-p", "no:xdist", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1, failed=1)
    assert "run it again" not in result.stdout.str()


# --- failures


def test_a_check_error_shows_the_program_around_the_operation(suite: pytest.Pytester) -> None:
    body = """
    g = jmpc.secure(
        lambda x: jax.numpy.sum(
            x * x) - 1,
        config=jmpc.Config(check=True, tolerance=1e-9))

    def test_it(jmpc_parties):
        g(x / 7)
    """
    result = run(suite, body, "--jmpc-profile=ci")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- jmpc -*",
            "examples: the same on every run (profile ci)",
            "Share IR of <lambda> around *test_a_check_error*.py:*",
            "  > %*mul_sum3*",
            "run it again:",
            "  pytest 'test_a_check_error*.py::test_it' --jmpc-profile=ci",
        ]
    )


def test_a_wrong_result_shows_the_program(suite: pytest.Pytester) -> None:
    body = """
    def test_it(jmpc_parties):
        got = f(x)
        assert not right(got)
    """
    result = run(suite, body)
    result.stdout.fnmatch_lines(["examples: hypothesis's own seed", "Share IR of <lambda> *", "  program *", "  *msb*"])


def test_a_random_test_names_its_seed(suite: pytest.Pytester) -> None:
    body = """
    from hypothesis import given, strategies as st

    @given(st.integers(0, 9))
    def test_it(jmpc_session, n):
        assert n < 0
    """
    suite.makepyfile(body)
    result = suite.runpytest_subprocess("-p", "no:xdist", "--jmpc-profile=dev", "--hypothesis-seed=11")
    result.stdout.fnmatch_lines(["examples: seed 11 (profile dev)", "*--jmpc-profile=dev --hypothesis-seed=11"])


def test_a_failed_comparison_finds_the_operation_by_check_mode() -> None:
    def function(x: jax_array) -> jax_array:
        return x * x

    with pytest.raises(AssertionError) as caught:
        assert_secure_close(function, np.array([1 / 7], np.float32), tolerance=1e-9)
    lines = failure_report.program_lines(caught.value)
    assert "around" in lines[0]
    assert f"{__file__}:{function.__code__.co_firstlineno + 1}" in lines[0]
    assert any(line.startswith("  > ") and "truncate" in line for line in lines)


jax_array = jnp.ndarray


def test_a_program_is_found_in_causes_and_groups() -> None:
    def fail() -> None:
        secured = jmpc.secure(lambda x: x + 1)
        secured(np.ones(2, np.float32))
        raise CheckError("x")

    def cause() -> None:
        try:
            fail()
        except CheckError as error:
            raise RuntimeError("later") from error

    for wrap in (lambda e: e, lambda e: ExceptionGroup("several", [e])):
        with pytest.raises(RuntimeError) as caught:
            cause()
        assert failure_report.program_lines(wrap(caught.value))[0].startswith("Share IR of <lambda>")
    assert failure_report.program_lines(ValueError("no frames")) == []


def test_the_innermost_session_is_active() -> None:
    outer = session.active()
    inner = Session()
    inner.open()
    assert session.active() is inner
    inner.close()
    assert session.active() is outer
    assert plugin.EXECUTORS == ("local", "mesh", "processes")
    assert sys.modules["jmpc.testing.session"] is session
