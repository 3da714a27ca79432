"""Compiled code has an owner, and a limit: what was used longest ago goes first, and a run never misses a piece."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jmpc
from jmpc import backends
from jmpc.backends import LocalBackend
from jmpc.errors import ConfigError
from jmpc.executors import code_store
from jmpc.executors.code_store import CodeStore
from jmpc.executors.engine import PartyEngine
from jmpc.executors.segment import Placed, may_be_quick

X = np.array([1.5, -2.0, 0.25], np.float32)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was compiled, in order."""
    monkeypatch.setenv("JMPC_CACHE_DIR", "")
    found: list[Any] = []
    compiled = code_store._made
    monkeypatch.setattr(code_store, "_made", lambda *args: found.append(args[0]) or compiled(*args))
    return found


def placed(function: Any, size: int = 3) -> Placed:
    return Placed.here(jmpc.secure(function).lower(np.zeros(size, np.float32)).flow.plans)


def test_equal_segments_compile_once(made: list[Any]) -> None:
    store, one, other = CodeStore(), placed(lambda x: x * x + x), placed(lambda x: x * x + x)
    first, second = store.code(one), store.code(other)
    assert len(made) == len(store) == len(one.groups) > 0
    assert first == second
    assert store.code(placed(lambda x: x * x + x, 4)) != first
    assert len(made) == 2 * len(one.groups)


def test_at_most_so_many_are_kept_and_a_run_has_all_of_its_own(made: list[Any]) -> None:
    """A store with room for one piece: programs of more pieces still run, and give what they gave."""
    backend = LocalBackend()
    backend.store = CodeStore(kept=1)
    functions = [lambda x: x * x + x, lambda x: x * x - x]
    with backends.use(backend):
        for function in [*functions, *functions]:
            secured = jmpc.secure(function)
            assert len(secured.lower(X).flow.placed(backend.placement).groups) > 1
            np.testing.assert_allclose(secured(X), function(X), atol=1e-3)
            assert len(backend.store) == 1


def test_what_was_used_longest_ago_goes_first(made: list[Any]) -> None:
    programs = [placed(lambda x: x * x, n) for n in (2, 3, 4)]
    (pieces,) = {len(p.groups) for p in programs}
    store = CodeStore(kept=2 * pieces)
    for which in (0, 1, 0, 2):  # 1 goes
        store.code(programs[which])
    made.clear()
    store.code(programs[0])
    store.code(programs[2])
    assert not made
    store.code(programs[1])
    assert len(made) == pieces


def test_code_goes_with_its_store() -> None:
    """And plans with the function that they were made for."""
    backend = LocalBackend()
    backend.store = CodeStore()
    secured = jmpc.secure(lambda x: x * x - x)
    with backends.use(backend):
        secured(X)
        flow = secured.lower(X).flow
        plans = [weakref.ref(p) for p in flow.placed(backend.placement).plans]
        code = [weakref.ref(one) for one in backend.store.code(flow.placed(backend.placement)).values()]
    del flow
    gc.collect()
    assert all(one() is not None for one in code)
    assert all(p() is None for p in plans)
    del backend
    gc.collect()
    assert all(one() is None for one in code)


def test_an_engine_keeps_its_own_code_or_that_which_it_is_given() -> None:
    store = CodeStore()
    assert PartyEngine(0, store=store).store is store
    assert PartyEngine(0).store is not PartyEngine(0).store


def test_threads_compile_a_piece_once_and_do_not_wait_for_others(made: list[Any], monkeypatch: Any) -> None:
    """Who has all his code gets it while another thread compiles."""
    store, ready, new = CodeStore(), placed(lambda x: x * x), placed(lambda x: x * x * x)
    store.code(ready)
    made.clear()
    compiling, go_on, compiled = threading.Event(), threading.Event(), code_store._made

    def slow(*args: Any) -> Any:
        compiling.set()
        assert go_on.wait(60)
        return compiled(*args)

    monkeypatch.setattr(code_store, "_made", slow)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(store.code, new) for _ in range(2)]
        assert compiling.wait(60)
        assert store.code(ready)
        go_on.set()
        one, other = (f.result() for f in both)
    assert one == other
    assert len(made) == len([g for g in new.groups if g not in ready.groups])


LARGE = np.linspace(-2, 2, 3000, dtype=np.float32)  # its segments are of middling size


def codes(store: CodeStore, program: Placed) -> dict[Any, Any]:
    return dict(store.code(program))


def test_code_that_has_run_for_long_is_made_better_and_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The next run has it, and so has the next process, from the disk."""
    monkeypatch.setenv("JMPC_CACHE_DIR", str(tmp_path / "code"))
    secured, backend = jmpc.secure(jax.nn.relu), LocalBackend()
    store = backend.store = CodeStore()
    program = secured.lower(LARGE).flow.placed(backend.placement)
    quick = {names for names, work in program.work.items() if may_be_quick(work, program.placement)}
    assert quick
    with backends.use(backend):
        first = secured(LARGE)
        before = codes(store, program)
        for entry in store._quick:
            entry.left = 1
        second = secured(LARGE)
        store.settle()
        after = codes(store, program)
        np.testing.assert_array_equal(secured(LARGE), first)
    np.testing.assert_array_equal(first, second)
    assert {names for names in before if before[names] is not after[names]} == quick
    assert not len(store._quick)
    other = CodeStore()
    monkeypatch.setattr(code_store, "compiler_options", None)  # nothing is compiled
    other.code(program)
    assert not len(other._quick)


def test_work_counts_the_trips_of_loops() -> None:
    def work(trips: int) -> int:
        looped = placed(lambda x: jax.lax.fori_loop(0, trips, lambda _, y: jax.nn.relu(y) * 0.5, x), 7)
        return sum(looped.work.values())

    assert work(9) - work(6) == work(6) - work(3) > 0


def test_code_can_be_good_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMPC_CACHE_DIR", "")
    program, levels = placed(jax.nn.relu, LARGE.size), list[int]()
    options = code_store.compiler_options
    monkeypatch.setattr(
        code_store, "compiler_options", lambda *args: levels.append(args[0]) or options(*args[:2], quick=args[2])
    )
    monkeypatch.setenv("JMPC_CODE", "best")
    store = CodeStore()
    store.code(program)
    assert levels
    assert not len(store._quick)
    monkeypatch.setenv("JMPC_CODE", "fast")
    with pytest.raises(ConfigError, match="JMPC_CODE"):
        CodeStore().code(program)


def test_what_cannot_be_made_better_stays(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("JMPC_CACHE_DIR", "")
    program, store = placed(jax.nn.relu, LARGE.size), CodeStore()
    before = codes(store, program)

    def broken(*args: Any) -> Any:
        raise RuntimeError("no room")

    monkeypatch.setattr(code_store, "_made", broken)
    for entry in store._quick:
        entry.left = 1
    store.code(program)
    store.settle()
    assert codes(store, program) == before
    assert "no room" in caplog.text


def test_where_no_thread_can_start_runs_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JMPC_CACHE_DIR", "")
    monkeypatch.setenv("JMPC_CODE", "")  # as if it were not set
    program, store = placed(jax.nn.relu, LARGE.size), CodeStore()
    before = codes(store, program)

    def spent(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for entry in store._quick:
        entry.left = 1
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", spent)
        assert codes(store, program) == before
    store.settle()
    assert "can't start new thread" in caplog.text
    assert codes(store, program) == before
