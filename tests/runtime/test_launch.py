"""Three party processes and their driver: runs, stored arrays, failures, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jmpc.errors import (
    ArgumentError,
    ConfigError,
    DeadlineError,
    FrameError,
    HandshakeError,
    LaunchError,
    PartyError,
    PeerError,
    ProgramError,
)
from jmpc.runtime.client import Cluster, StoredRef
from jmpc.runtime.launch import launch

from .helpers import alive, gone, until

HERE = str(Path(__file__).parent)
DEADLINE_S = 60.0  # nobody waits for it
HASTY_S = 4.0  # of a cluster in which a party is stopped, and the others must wait for it to pass
INPUTS = [[np.arange(5, dtype=np.uint64) * 1000 + party, np.array([[party]], np.uint8)] for party in range(3)]
TOTAL = [sum(row[index] for row in INPUTS) for index in range(2)]


def start(factory: str = "make_engine", deadline_s: float = DEADLINE_S) -> Cluster:
    return launch(deadline_s, f"ring_engine:{factory}", path=[HERE])


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """One cluster for all tests here; each leaves it usable, which is itself under test."""
    with start() as cluster:
        pids = cluster.pids
        yield cluster
        pids += cluster.pids
    assert gone(pids)


@pytest.fixture(scope="module")
def hasty() -> Iterator[Cluster]:
    """A cluster with a short deadline."""
    with start(deadline_s=HASTY_S) as cluster:
        yield cluster


def works(cluster: Cluster) -> bool:
    result = cluster.run(cluster.load("sum"), INPUTS)
    for outputs in result.outputs:
        for have, want in zip(outputs, TOTAL, strict=True):
            np.testing.assert_array_equal(have, want)
    return True


def test_a_program_runs_and_is_counted(shared: Cluster) -> None:
    program = shared.load("sum")
    assert shared.load("sum") == program
    assert works(shared)
    result = shared.run(program, INPUTS)
    assert (result.rounds, result.bytes_sent) == (2, [82, 82, 82])
    assert len(result.seconds) == 3
    assert all(0 < seconds < 60 for seconds in result.seconds)


def test_a_result_does_not_show_its_shares(shared: Cluster) -> None:
    result = shared.run(shared.load("sum"), [[np.full(2, 987654321, np.uint64)]] * 3)
    assert "2962962963" in str(result.outputs)
    assert "2962962963" not in repr(result)


def test_large_inputs_and_outputs_cross(shared: Cluster) -> None:
    big = [[np.full(400_000, party, np.uint64)] for party in range(3)]
    result = shared.run(shared.load("ring rounds=4"), big)
    assert [int(outputs[0].max()) for outputs in result.outputs] == [2, 0, 1]  # type: ignore[union-attr]
    assert result.bytes_sent == [4 * 3_200_000] * 3


def test_a_program_without_rounds_or_inputs_runs(shared: Cluster) -> None:
    result = shared.run(shared.load("local"), [[], [], []])
    assert (result.outputs, result.rounds, result.bytes_sent) == ([[], [], []], 0, [0, 0, 0])


def test_kept_outputs_stay_and_come_back(shared: Cluster) -> None:
    program = shared.load("sum")
    result = shared.run(program, INPUTS, keep=[[(0, "total")]] * 3)
    for outputs in result.outputs:
        assert outputs[0] is None
        np.testing.assert_array_equal(outputs[1], TOTAL[1])
    again = shared.run(
        shared.load("local"), [[row[1], StoredRef("total")] for row in INPUTS], keep=[[(0, "other")]] * 3
    )
    for outputs in again.outputs:
        np.testing.assert_array_equal(outputs[1], TOTAL[0] * 2)
    shared.drop("total")
    shared.drop("never there")
    with pytest.raises(ArgumentError, match="no array is stored as 'total'"):
        shared.run(program, [[StoredRef("total")]] * 3)
    assert works(shared)


def test_a_program_is_forgotten_when_nobody_needs_it(shared: Cluster) -> None:
    program = shared.load("ring rounds=2")
    shared.unload(program)
    shared.unload(program)
    with pytest.raises(ArgumentError, match="no program of this hash is loaded"):
        shared.run(program, INPUTS)
    assert shared.load("ring rounds=2") == program
    assert shared.run(program, INPUTS).rounds == 2
    assert works(shared)


def test_each_session_has_fresh_keys_that_neighbours_share(shared: Cluster) -> None:
    program = shared.load("keys")
    seen = []
    for _ in range(3):
        outputs = shared.run(program, [[], [], []]).outputs
        digests = [[array.tobytes() for array in row] for row in outputs]  # type: ignore[union-attr]
        for party in range(3):
            assert digests[party][0] == digests[(party + 1) % 3][1]
        seen += [row[0] for row in digests]
    assert len(set(seen)) == 9


def test_a_program_that_no_party_can_read_is_refused(shared: Cluster) -> None:
    with pytest.raises(ProgramError, match="no such program"):
        shared.load("nonsense")
    assert works(shared)


@pytest.mark.parametrize(
    "inputs", [INPUTS[:2], [[np.zeros(2)]] * 3, [[[1, 2]]] * 3, [[np.zeros(2, np.int64)]] * 3, [[StoredRef("")]] * 3]
)
def test_bad_inputs_are_refused_before_anything_is_sent(shared: Cluster, inputs: list) -> None:
    pids = shared.pids
    with pytest.raises(ArgumentError):
        shared.run(shared.load("sum"), inputs)
    assert works(shared)
    assert shared.pids == pids


@pytest.mark.parametrize("keep", [[(0, "a"), (0, "b")], [(0, "a"), (1, "a")], [(-1, "a")], [(0, "")]])
def test_bad_keeps_are_refused(shared: Cluster, keep: list) -> None:
    with pytest.raises(ArgumentError):
        shared.run(shared.load("sum"), INPUTS, [keep] * 3)


def test_an_output_that_does_not_exist_cannot_be_kept(shared: Cluster) -> None:
    with pytest.raises(ArgumentError, match="no output 7"):
        shared.run(shared.load("sum"), INPUTS, [[(7, "a")]] * 3)
    with pytest.raises(ArgumentError, match="stored"):
        shared.run(shared.load("sum"), [[StoredRef("a")]] * 3)
    assert works(shared)


def test_an_unknown_hash_is_refused(shared: Cluster) -> None:
    with pytest.raises(ArgumentError, match="hash"):
        shared.run("ab" * 32, INPUTS)


@pytest.mark.parametrize(
    ("how", "kind", "word"),
    [("raise", PartyError, "ValueError"), ("wrong", FrameError, "length"), ("round", FrameError, "round")],
)
def test_a_party_that_fails_ends_the_session_at_all_and_no_process(
    shared: Cluster, how: str, kind: type[PartyError], word: str
) -> None:
    pids = shared.pids
    program = shared.load(f"fault rounds=6 party=1 round=3 how={how}")
    with pytest.raises(kind, match=word) as caught:
        shared.run(program, [[np.full(4, 987654321, np.uint64)]] * 3)
    assert "phase run, round" in str(caught.value)
    assert sorted(shared.reports) == [0, 1, 2]
    for party, report in shared.reports.items():
        assert isinstance(report, PartyError)
        assert f"party {party}, phase run, round" in str(report)
        assert "987654321" not in str(report)
    assert works(shared)
    assert shared.pids == pids


@pytest.mark.parametrize("party", [0, 1, 2])
def test_a_killed_party_is_named_and_the_next_call_works(shared: Cluster, party: int) -> None:
    shared.run(shared.load("sum"), INPUTS, keep=[[(0, "weights")]] * 3)
    pids = shared.pids
    program = shared.load(f"fault rounds=6 party={party} round=2 how=kill")
    with pytest.raises(PeerError, match=f"party {party} was lost") as caught:
        shared.run(program, INPUTS)
    assert f"party {party}, phase run, round" in str(caught.value)
    assert "SIGKILL" in str(caught.value)
    assert sorted(shared.reports) == [0, 1, 2]
    assert all(isinstance(report, PartyError) for report in shared.reports.values())
    assert gone(pids)
    with pytest.raises(ArgumentError, match="'weights' is lost"):
        shared.run(shared.load("sum"), [[StoredRef("weights")]] * 3)
    assert works(shared)
    assert not set(pids) & set(shared.pids)


def test_a_party_killed_between_runs_is_replaced(shared: Cluster) -> None:
    pids = shared.pids
    os.kill(pids[2], signal.SIGKILL)
    os.waitid(os.P_PID, pids[2], os.WEXITED | os.WNOWAIT)
    assert works(shared)
    assert gone(pids)


def test_a_stalled_party_meets_the_deadline(hasty: Cluster) -> None:
    pids = hasty.pids
    program = hasty.load("fault rounds=6 party=1 round=2 how=stop")
    with pytest.raises(DeadlineError, match="did not answer in time") as caught:
        hasty.run(program, INPUTS)
    assert "phase run, round" in str(caught.value)
    assert gone(pids)
    assert works(hasty)


def test_a_party_stalled_before_the_run_meets_the_deadline(hasty: Cluster) -> None:
    program = hasty.load("sum")
    pids = hasty.pids
    os.kill(pids[0], signal.SIGSTOP)
    with pytest.raises(DeadlineError):
        hasty.run(program, INPUTS)
    assert gone(pids)
    assert works(hasty)


@pytest.fixture
def can_be_interrupted() -> Iterator[None]:
    """Ctrl-C is heard. What a shell starts in the background ignores it, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("can_be_interrupted")
def test_an_interrupted_run_leaves_a_cluster_that_works(shared: Cluster, tmp_path: Path) -> None:
    """The signal comes when all three parties are among their rounds, and the driver waits for them."""
    program = shared.load(f"endless told={tmp_path}/round")
    pids = shared.pids

    def interrupt() -> None:
        until(lambda: all((tmp_path / f"round.{party}").exists() for party in range(3)))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        shared.run(program, INPUTS)
    thread.join()
    assert gone(pids)
    assert works(shared)


def test_parties_with_different_programs_are_refused() -> None:
    with start("make_odd_engine") as cluster, pytest.raises(HandshakeError, match="program"):
        cluster.load("sum")


def test_an_engine_that_cannot_be_made_is_a_launch_error() -> None:
    with pytest.raises(LaunchError, match="has no engine") as caught:
        start("make_nothing")
    assert "OSError" in str(caught.value)
    with pytest.raises(LaunchError, match="has no engine"):
        launch(5, "no_such_module:make_engine")


@pytest.mark.parametrize("factory", ["", "module", "module:", "mod ule:f", "m:f()", "os.path:join:x"])
def test_a_factory_that_is_no_name_is_refused(factory: str) -> None:
    with pytest.raises(ConfigError):
        launch(5, factory)


def test_a_closed_cluster_says_so() -> None:
    cluster = start()
    pids = cluster.pids
    cluster.close()
    cluster.close()
    assert gone(pids)
    with pytest.raises(LaunchError, match="closed"):
        cluster.load("sum")


DRIVER = """
import os, signal, sys, threading, time
import numpy as np
from jmpc.runtime.launch import launch

def once_it_runs(number):
    \"\"\"Send ourselves a signal when all parties are among their rounds.\"\"\"
    def send():
        while not all(os.path.exists(f"{told}.{{party}}") for party in range(3)):
            time.sleep(0.005)
        os.kill(os.getpid(), number)
    threading.Thread(target=send, daemon=True).start()

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us in the background

def main():
    cluster = launch(60, "ring_engine:make_engine", path=[{here!r}])
    program = cluster.load("endless told={told}")
    print(*cluster.pids, flush=True)
    {end}
    cluster.run(program, [[np.zeros(3, np.uint64)]] * 3)

{call}
"""
ENDS = {
    "killed": ("once_it_runs(signal.SIGKILL)", "main()"),
    "interrupted": ("once_it_runs(signal.SIGINT)", "main()"),
    "exception": ("raise RuntimeError", "main()"),
    "exit": ("sys.exit(0)", "main()"),
    "killed, launched by a thread": (
        "once_it_runs(signal.SIGKILL)",
        "t = threading.Thread(target=main); t.start(); t.join()",
    ),
}


@pytest.mark.parametrize("how", sorted(ENDS))
def test_no_process_outlives_the_driver(how: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    end, call = ENDS[how]
    script = DRIVER.format(here=HERE, end=end, call=call, told=tmp_path_factory.mktemp("told") / "round")
    driver = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False)
    pids = [int(word) for word in driver.stdout.split()]
    assert len(pids) == 3  # and the parties printed nothing
    assert gone(pids)


FORKING_DRIVER = """
import os, sys
import numpy as np
from jmpc.errors import LaunchError
from jmpc.runtime.launch import launch

with launch(30, "ring_engine:make_engine", path=[{here!r}]) as cluster:
    if (child := os.fork()) == 0:
        try:
            cluster.load("sum")
        except LaunchError as error:
            sys.exit(7 if "another process" in str(error) else 1)
        sys.exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    before = cluster.pids
    cluster.run(cluster.load("sum"), [[np.zeros(3, np.uint64)]] * 3)
    print(cluster.pids == before)
"""


def test_a_fork_of_the_driver_neither_uses_the_parties_nor_ends_them() -> None:
    script = FORKING_DRIVER.format(here=HERE)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout.split() == ["True"], done.stderr


def test_secrets_are_not_on_the_command_line_or_in_the_environment(shared: Cluster) -> None:
    assert works(shared)
    for pid in shared.pids:
        assert alive(pid)
        shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PRIVATE KEY" not in shown
        limits = Path(f"/proc/{pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]


def test_a_party_process_imports_no_front_end_and_no_jax_by_itself() -> None:
    script = "import jmpc.runtime.party_main, sys; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=True)
    modules = shown.stdout.split()
    assert "jmpc.runtime.session" in modules
    banned = ("jax", "jmpc.frontend", "jmpc.passes", "jmpc.families", "jmpc.compiler", "jmpc.api", "cryptography.x509")
    assert [name for name in modules if name in banned or name.startswith("jmpc.frontend")] == []
