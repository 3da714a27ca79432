"""Which backend a call gets: scoped to a context, never the simulation by accident, and only the required one."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jmpc
from jmpc import backends
from jmpc.backends import LOCAL, LocalBackend
from jmpc.daemon.children import Settings
from jmpc.errors import ConfigError, LaunchError

ROOT = Path(__file__).resolve().parents[2]
X = np.float32([1.0, -2.0])
double = jmpc.secure(lambda x: x * 2)


class Parties(LocalBackend):
    """Stands for parties of their own: what counts here is its name."""

    name = "processes"


class Other(LocalBackend):
    """Stands for another simulation."""

    name = "mesh"


@pytest.fixture(autouse=True)
def _a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No parties were met yet, and nothing is required."""
    monkeypatch.setattr(backends, "_met_parties", threading.Event())
    monkeypatch.setenv(backends.REQUIRE, "local")  # so that what a test requires is lifted after it
    monkeypatch.delenv(backends.REQUIRE)


def afresh(work: Callable[[], Any]) -> Any:
    """Run in a context in which nothing is chosen, as that of a new process."""
    return contextvars.Context().run(work)


def in_thread(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def ran_on() -> str:
    """Where a call runs, or the error that it ends in."""
    try:
        np.testing.assert_allclose(double(X), X * 2, atol=1e-4)
    except ConfigError:
        return "refused"
    assert double.last_run is not None
    return double.last_run.executor


# --- scopes

Tree = Any
SHOWN = {"local": LOCAL, "mesh": Other(), "processes": Parties()}
WAYS = ("thread", "copy", "task", "to_thread")
TREES = st.recursive(
    st.just("call"),
    lambda inside: st.lists(
        st.one_of(
            st.tuples(st.sampled_from(sorted(SHOWN)), inside),
            st.tuples(st.sampled_from(WAYS), inside),
            st.just("call"),
        ),
        min_size=1,
        max_size=4,
    ),
    max_leaves=12,
)


def walk(tree: Tree, seen: list[str]) -> None:
    """Do what a tree says: blocks, threads and tasks, and calls in them."""
    if tree == "call":
        try:
            seen.append(backends.current().name)
        except ConfigError:
            seen.append("refused")
    elif isinstance(tree, list):
        for part in tree:
            walk(part, seen)
    else:
        way, inside = tree
        if way in SHOWN:
            with jmpc.use(SHOWN[way]):
                walk(inside, seen)
        elif way == "thread":
            in_thread(lambda: walk(inside, seen))
        elif way == "copy":
            context = contextvars.copy_context()
            in_thread(lambda: context.run(walk, inside, seen))
        else:
            asyncio_run(way, lambda: walk(inside, seen))


def asyncio_run(way: str, work: Callable[[], None]) -> None:
    """In a task, or in a thread of asyncio's, both made from here."""

    async def task() -> None:
        await (asyncio.to_thread(work) if way == "to_thread" else asyncio.create_task(step()))

    async def step() -> None:
        work()

    context = contextvars.copy_context()
    in_thread(lambda: context.run(asyncio.run, task()))  # a loop of its own: we may be inside one


def expected(tree: Tree, chosen: str, met: list[bool], seen: list[str]) -> str:
    """What `walk` sees, in words; returns what is chosen afterwards, "" for nothing."""
    if tree == "call":
        seen.append(chosen or ("refused" if met[0] else "local"))
    elif isinstance(tree, list):
        for part in tree:
            chosen = expected(part, chosen, met, seen)
    elif tree[0] in SHOWN:
        met[0] = met[0] or tree[0] == "processes"
        expected(tree[1], tree[0], met, seen)
        return chosen or "local"
    else:
        expected(tree[1], "" if tree[0] == "thread" else chosen, met, seen)
    return chosen


@given(tree=TREES)
def test_a_call_gets_what_its_context_chose(tree: Tree) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "_met_parties", threading.Event())
        seen, told = [], []
        afresh(lambda: walk(tree, seen))
        expected(tree, "", [False], told)
        assert seen == told


def test_without_parties_a_thread_gets_the_default() -> None:
    assert afresh(ran_on) == "local"
    assert in_thread(ran_on) == "local"


def test_a_thread_started_in_the_block_is_told_what_to_do() -> None:
    def work() -> None:
        with jmpc.use(Parties()) as _:
            with pytest.raises(ConfigError, match="not said where this call runs") as caught:
                in_thread(lambda: double(X))
            assert "jmpc.use(backend)" in str(caught.value)
            assert "copy_context" in str(caught.value)
            assert "ThreadPoolExecutor" in str(caught.value.where)

    afresh(work)


def test_a_thread_gets_a_backend_as_a_value() -> None:
    def work() -> None:
        parties = Parties()

        def there() -> str:
            with jmpc.use(parties):
                return ran_on()

        with jmpc.use(parties):
            assert in_thread(there) == "processes"
        assert in_thread(ran_on) == "refused"

        def simulated() -> str:
            with jmpc.local():
                return ran_on()

        assert in_thread(simulated) == "local"
        assert ran_on() == "local"  # it left the block itself

    afresh(work)


def test_a_call_of_another_thread_never_becomes_a_simulation() -> None:
    """The worker knows nothing of the block: before it opens, while it is open, and after."""
    asked, answered, seen = threading.Semaphore(0), threading.Semaphore(0), []

    def worker() -> None:
        for _ in range(3):
            asked.acquire()
            seen.append(ran_on())
            answered.release()

    def ask() -> None:
        asked.release()
        answered.acquire()

    def owner() -> None:
        ask()
        with jmpc.use(Parties()):
            ask()
        ask()

    thread = threading.Thread(target=worker)
    thread.start()
    afresh(owner)
    thread.join()
    assert seen == ["local", "refused", "refused"]


def test_a_block_that_ends_in_another_context_changes_none() -> None:
    """As with a fixture or a generator that is closed elsewhere."""

    def generator() -> Iterator[None]:
        with jmpc.use(Other()):
            yield

    def work() -> None:
        block = generator()
        contextvars.copy_context().run(next, block)
        assert ran_on() == "local"
        block.close()
        assert ran_on() == "local"

    afresh(work)


def test_blocks_nest() -> None:
    def work() -> None:
        with jmpc.use(Parties()), jmpc.local() as inner:
            assert inner is LOCAL
            assert ran_on() == "local"
        with jmpc.use(Other()):
            with jmpc.use(Parties()):
                assert ran_on() == "processes"
            assert ran_on() == "mesh"

    afresh(work)


@pytest.mark.parametrize("wrong", ["processes", None, jmpc.processes, LocalBackend])
def test_what_is_no_backend_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="no backend"), jmpc.use(wrong):
        pass


def test_compiling_asks_for_a_backend_too() -> None:
    def work() -> None:
        lowered = double.lower(X)
        with jmpc.use(Parties()):
            pass
        with pytest.raises(ConfigError, match="not said"):
            in_thread(lowered.compile)

    afresh(work)


# --- what is required


@pytest.mark.parametrize("by_variable", [False, True])
def test_where_processes_are_required_no_simulation_runs(monkeypatch: pytest.MonkeyPatch, by_variable: bool) -> None:
    if by_variable:
        monkeypatch.setenv("JMPC_REQUIRE", "processes")
    else:
        jmpc.require("processes")

    def work() -> None:
        with pytest.raises(ConfigError, match="would run on 'local'") as caught:
            double(X)
        assert "one process sees everything" in str(caught.value)
        assert "jmpc.processes()" in str(caught.value)
        for simulation in (LOCAL, Other()):
            with jmpc.use(simulation):
                assert ran_on() == "refused"
                assert in_thread(ran_on) == "refused"
                with pytest.raises(ConfigError):
                    double.lower(X).compile()
        with jmpc.use(Parties()):
            assert ran_on() == "processes"
        assert ran_on() == "refused"

    afresh(work)


def test_what_is_required_can_be_lifted_and_is_inherited() -> None:
    jmpc.require("processes")
    script = "import jmpc, numpy as np; jmpc.secure(lambda x: x)(np.float32([1]))"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert "only 'processes' is allowed here" in child.stderr
    jmpc.require("mesh")
    assert afresh(ran_on) == "refused"
    jmpc.require(None)
    jmpc.require(None)
    assert afresh(ran_on) == "local"
    jmpc.require("local")
    assert afresh(ran_on) == "local"


@pytest.mark.parametrize("name", ["", "process", "Processes", 3])
def test_another_name_is_not_required(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="nothing is called"):
        jmpc.require(name)
    if name and isinstance(name, str):
        monkeypatch.setenv("JMPC_REQUIRE", name)
        with pytest.raises(ConfigError, match="nothing is called"):
            double(X)


# --- over real processes


def test_real_parties_serve_threads_and_tasks_and_nobody_after_them() -> None:
    def work() -> None:
        with jmpc.processes(deadline_s=60) as parties:
            assert in_thread(ran_on) == "refused"
            context = contextvars.copy_context()
            assert in_thread(lambda: context.run(ran_on)) == "processes"

            async def many() -> list[str]:
                return await asyncio.gather(*(asyncio.to_thread(ran_on) for _ in range(4)))

            assert asyncio.run(many()) == ["processes"] * 4
            assert ran_on() == "processes"
        with pytest.raises(LaunchError, match="closed"):
            in_thread(lambda: context.run(double, X))
        with jmpc.use(parties), pytest.raises(LaunchError, match="closed"):
            double(X)
        assert ran_on() == "local"

    afresh(work)


def test_there_are_as_many_processes_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family may have others than three parties."""
    asked: list[Settings] = []

    def launched(settings: Settings) -> Any:
        asked.append(settings)
        raise LaunchError("started by nobody")

    monkeypatch.setattr("jmpc.client.processes.Children", launched)
    given = {"NAME": "value"}
    with pytest.raises(LaunchError, match="by nobody"):
        jmpc.processes(parties=4, modules=["four"], deadline_s=7, environment=given).__enter__()
    assert asked == [Settings(parties=4, modules=("four",), deadline_s=7, environment=given)]
