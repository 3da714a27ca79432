"""Time that passes only while everybody waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.testing.faults.virtual_clock import VirtualClock


def together(clock: VirtualClock, tasks: list[Callable[[], object]]) -> list[object]:
    def work(task: Callable[[], object]) -> object:
        with clock.working():
            return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(work, tasks))


def test_a_deadline_passes_once_all_wait_and_takes_no_time() -> None:
    clock = VirtualClock(2)
    box = clock.mailbox()

    def wait() -> float:
        with pytest.raises(queue.Empty):
            box.get(timeout=1e9)
        return clock.now()

    assert together(clock, [wait, lambda: clock.sleep(5)]) == [1e9, None]


def test_who_works_is_not_late() -> None:
    """One thread waits in a short deadline while the other works for as long as it likes."""
    clock = VirtualClock(2)
    box, waits = clock.mailbox(), threading.Event()

    def wait() -> object:
        waits.set()
        return box.get(timeout=1e-9)

    def work() -> None:
        waits.wait()
        for _ in range(1000):
            assert clock.now() == 0
        box.put("late")

    assert together(clock, [wait, work]) == ["late", None]


def test_what_comes_before_the_deadline_is_taken_and_later_things_are_not() -> None:
    clock = VirtualClock(2)
    box = clock.mailbox()

    def send() -> None:
        clock.sleep(1)
        box.put("first")
        clock.sleep(3)
        box.put("second")

    def take() -> object:
        first = box.get(timeout=2)
        with pytest.raises(queue.Empty):
            box.get(timeout=2)
        return first, clock.now(), box.get(timeout=2), clock.now()

    assert together(clock, [take, send])[0] == ("first", 3, "second", 4)


def test_a_thread_that_ended_is_not_waited_for() -> None:
    clock = VirtualClock(2)
    box = clock.mailbox()

    def fail() -> None:
        raise ZeroDivisionError

    def wait() -> float:
        with pytest.raises(queue.Empty):
            box.get(timeout=7)
        return clock.now()

    with ThreadPoolExecutor(2) as pool:

        def work(task: Callable[[], object]) -> object:
            with clock.working():
                return task()

        failed, waited = pool.submit(work, fail), pool.submit(work, wait)
        assert waited.result() == 7
        assert isinstance(failed.exception(), ZeroDivisionError)


@given(sleeps=st.lists(st.lists(st.integers(0, 20), max_size=5), min_size=1, max_size=4))
def test_sleepers_wake_in_order(sleeps: list[list[int]]) -> None:
    """Each thread's sum of sleeps is its time, and all see the same order."""
    clock, woken, lock = VirtualClock(len(sleeps)), [], threading.Lock()

    def sleeper(naps: list[int]) -> float:
        for nap in naps:
            clock.sleep(nap)
            with lock:
                woken.append(clock.now())
        return clock.now()

    assert together(clock, [lambda naps=naps: sleeper(naps) for naps in sleeps]) == [sum(naps) for naps in sleeps]
    assert woken == sorted(woken)
