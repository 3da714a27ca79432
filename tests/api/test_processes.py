"""The same functions in three processes: results, handles, and parties that die, stall or hold another program."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.backends import ProcessBackend
from jmpc.errors import ArgumentError, ConfigError, DeadlineError, PartyError, RangeError
from tests.frontend.oracle import assert_same
from tests.runtime.helpers import until

DEADLINE_S = 60.0  # nobody waits for it
HASTY_S = 4.0  # where a party is stopped, and the others wait for it to pass


@pytest.fixture(scope="module")
def parties() -> Iterator[ProcessBackend]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JMPC_CACHE_DIR", "")
        with jmpc.processes(deadline_s=DEADLINE_S) as backend:
            yield backend


double = jmpc.secure(lambda x: jax.nn.relu(x) * 2)
keep = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)
open_it = jmpc.secure(lambda h: h * 2)


def test_results_are_those_of_this_process(parties: ProcessBackend, x: np.ndarray) -> None:
    assert_same(double(x), jax.nn.relu(x) * 2)
    assert double.last_run is not None
    predicted = double.lower(x).cost()
    assert (double.last_run.rounds, double.last_run.bytes_sent) == (predicted.rounds, predicted.bytes_sent)
    assert double.last_run.executor == "processes"


def test_handles_stay_with_the_parties(parties: ProcessBackend, x: np.ndarray) -> None:
    handle = keep(x)
    assert_same(open_it(handle), (jnp.asarray(x) + 1) * 2)
    assert len(parties.cluster._stored) == 2
    del handle
    gc.collect()
    double(x)
    assert not parties.cluster._stored


def test_several_learn_a_result_that_one_program_computes(parties: ProcessBackend, x: np.ndarray) -> None:
    both = jmpc.secure(lambda x: (double(x), x > 0), outputs=(["alice", "bob"], jmpc.SECRET), owners=["alice", "bob"])
    told, kept = both(x)
    assert_same(told, jax.nn.relu(x) * 2)
    assert_same(jmpc.secure(lambda b: ~b)(kept), jnp.asarray(x) <= 0)


def test_a_handle_elsewhere_is_refused(parties: ProcessBackend, x: np.ndarray) -> None:
    from jmpc import backends

    there = keep(x)
    with backends.use(backends.LOCAL):
        here = keep(x)
        with pytest.raises(ArgumentError, match="where its shares are not"):
            open_it(there)
    with pytest.raises(ArgumentError, match="where its shares are not"):
        open_it(here)


def test_bad_input_is_refused_before_it_is_shared(parties: ProcessBackend, x: np.ndarray) -> None:
    with pytest.raises(RangeError, match="x: 6 of 6"):
        double(x * np.nan)
    assert_same(double(x), jax.nn.relu(x) * 2)


def test_check_mode_is_for_this_process(parties: ProcessBackend, x: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="this process only"):
        jmpc.secure(lambda x: x + 1, config=jmpc.Config(check=True))(x)


def test_a_killed_party(parties: ProcessBackend, x: np.ndarray) -> None:
    """Whether it dies between two calls or in one: at most one call fails, by a typed error; then all is well."""
    handle = keep(x)
    os.kill(parties.cluster.pids[1], signal.SIGSTOP)  # it cannot answer, so that the call is under way when it dies
    killer = _once_a_run_begins(parties, lambda pid=parties.cluster.pids[1]: os.kill(pid, signal.SIGKILL))
    with pytest.raises(PartyError, match="party 1") as caught:
        double(x)
    killer.join()
    assert caught.value.where
    assert_same(double(x), jax.nn.relu(x) * 2)
    with pytest.raises(ArgumentError, match="is lost"):
        open_it(handle)


def test_a_stalled_party(x: np.ndarray) -> None:
    with jmpc.processes(deadline_s=HASTY_S) as hasty:
        double(x)
        os.kill(hasty.cluster.pids[2], signal.SIGSTOP)
        with pytest.raises(PartyError) as caught:
            double(x)
        assert isinstance(caught.value, DeadlineError) or "party 2" in str(caught.value)
        assert_same(double(x), jax.nn.relu(x) * 2)


def _once_a_run_begins(parties: ProcessBackend, act: Callable[[], None]) -> threading.Thread:
    """Act when the driver has begun another run than the last one."""
    before = parties.cluster._epoch

    def wait() -> None:
        until(lambda: parties.cluster._epoch > before)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_no_process_is_left(x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    with jmpc.processes(deadline_s=DEADLINE_S) as backend:
        pids = backend.cluster.pids
        with pytest.raises(ZeroDivisionError):
            jmpc.secure(lambda x: 1 // 0)(x)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
