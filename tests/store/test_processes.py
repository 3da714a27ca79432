"""Several processes: one owns a store, a fork does not; one that is killed at any time leaves it whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jmpc.errors import StoreError
from jmpc.store import Part, StorageKey, Store

from .helpers import ROWS, content, files, plain, summands, words

KILLS = 20


def test_a_second_owner_is_refused_and_told_who_is_the_first(place: Path, key: StorageKey, store: Store) -> None:
    with pytest.raises(StoreError, match="in use") as found:
        Store.open(place / "store", key)
    assert f"process {os.getpid()} of user {os.geteuid()} on " in found.value.why
    script = "import sys; from jmpc.store import *; Store.open(sys.argv[1], StorageKey.read(sys.argv[2]))"
    command = [sys.executable, "-c", script, str(place / "store"), str(place / "key")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"it belongs to process {os.getpid()} of" in done.stderr
    store.close()
    subprocess.run(command, check=True)
    Store.open(place / "store", key).close()


def in_a_fork(work: object) -> int:
    """Its exit status. It leaves as a program does, with all that Python does then."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()  # type: ignore[operator]
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*_at_fork.*")  # of JAX, where another test of this process has it
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_a_fork_cannot_use_a_store(place: Path, key: StorageKey, store: Store) -> None:
    store.put(ROWS, summands(1))
    writer = store.writer(ROWS, [Part("a", "uint64", (2,))])

    def misuse() -> None:
        for use in (store.values, lambda: store.load("rows"), lambda: writer.write("a", b"x"), lambda: store.used):
            with pytest.raises(StoreError, match="is a fork"):
                use()
        with pytest.raises(StoreError, match="is a fork"), writer:  # left, it takes nothing from its parent
            writer.commit()
        store.close()

    assert in_a_fork(misuse) == 0
    with pytest.raises(StoreError, match="in use"):  # the fork let nothing go
        Store.open(place / "store", key)
    writer.write("a", words(1, 2))
    writer.commit()
    assert plain(store.load("rows")) == {"a": words(1, 2).tolist()}


FORKING = """
import os, sys
from jmpc.store import *
from tests.store.helpers import *
key = StorageKey.read(sys.argv[2])
store = Store.open(sys.argv[1], key)
store.put(ROWS, summands(1))
child = os.fork()
if child == 0:
    sys.exit(0)  # with all that Python does at its end, to the index too
os.waitpid(child, 0)
store.put(named("after"), summands(2))
store.delete("rows")
store.put(ROWS, summands(3))
if os.fork() == 0:
    os.close(1)
    sys.stdin.read()  # it outlives its parent, which ends without a word
    os._exit(0)
print("ready", flush=True)
os._exit(0)
"""


def test_a_fork_that_ends_spoils_nothing_and_one_that_stays_holds_nothing(place: Path, key: StorageKey) -> None:
    Store.create(place / "store", key)
    command = [sys.executable, "-c", FORKING, str(place / "store"), str(place / "key")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "ready\n"
        assert process.wait() == 0
        with Store.open(place / "store", key) as store:
            assert {name: arrays for name, (_, arrays) in content(store).items()} == {
                "after": plain(summands(2)),
                "rows": plain(summands(3)),
            }


WRITING = """
import sys
from jmpc.store import *
from tests.store.helpers import *
store = Store.open(sys.argv[1], StorageKey.read(sys.argv[2]))
begin = int(sys.argv[3])
for seed in range(begin, begin + 1000):
    print("begin", seed, flush=True)
    if seed % 5 == 4:
        store.delete("rows")
    else:
        store.put(ROWS, summands(seed, 1 + seed * 3000 % 200_000))
    print("end", seed, flush=True)
"""


def test_killed_at_any_time(place: Path, key: StorageKey) -> None:
    """What is there is what the last whole change made, or the one that was cut off."""
    Store.create(place / "store", key)
    rng, begin, last = np.random.default_rng(1), 0, 4
    for _ in range(KILLS):
        command = [sys.executable, "-c", WRITING, str(place / "store"), str(place / "key"), str(begin)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            begun, ended, stop = begin - 1, last, begin + int(rng.integers(1, 6))
            for line in process.stdout:
                what, seed = line.split()
                begun, ended = (int(seed), ended) if what == "begin" else (begun, int(seed))
                if begun == stop:
                    spin(int(rng.integers(0, 200_000)))
                    process.send_signal(signal.SIGKILL)
                    break
            rest = [line.split() for line in process.stdout.read().splitlines()]
        for what, seed in rest:
            begun, ended = (int(seed), ended) if what == "begin" else (begun, int(seed))
        assert process.returncode == -signal.SIGKILL
        with Store.open(place / "store", key) as store:
            found = {name: arrays for name, (_, arrays) in content(store).items()}
            fits = [seed for seed in {ended, begun} if found == held(seed)]
            assert fits, (begun, ended)
            assert len(files(store)) == len(found)
        last, begin = fits[0], begun + 1


def held(seed: int) -> dict[str, dict[str, list[int]]]:
    return {} if seed % 5 == 4 else {"rows": plain(summands(seed, 1 + seed * 3000 % 200_000))}


def spin(times: int) -> None:
    """A moment."""
    for _ in range(times):
        pass
