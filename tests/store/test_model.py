"""Any changes in any order, with reopening, faults and crashes between them, against a dict."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jmpc.errors import StoreError
from jmpc.store import StorageKey, Store

from .conftest import IN_MEMORY
from .faulty_disk import Crash, CrashingDisk, FaultyDisk, full_error, system_error
from .helpers import Model, content, files, named, plain, words

NAMES = st.sampled_from(["a", "b", "é/ü", "rows of all"])
DTYPES = st.sampled_from(["uint8", "uint16", "uint32", "uint64"])
SHAPES = st.sampled_from([(), (0,), (3,), (2, 5), (0, 4), (40,), (7, 1, 3)])
ARRAYS = st.dictionaries(st.sampled_from(["0", "1", "ß"]), st.tuples(DTYPES, SHAPES, st.integers(0, 9)), min_size=1)
KEYS = [StorageKey(bytes([n]) * 32) for n in range(3)]


class Stores(RuleBasedStateMachine):
    """model: what the store must hold. Where a change was cut off, it may be that before or that after."""

    @initialize()
    def make(self) -> None:
        self.place = Path(tempfile.mkdtemp(dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self.folder, self.key, self.now, self.copies = self.place / "store", KEYS[0], 100, 0
        self.disk, self.model, self.closed = FaultyDisk(), Model(), False
        Store.create(self.folder, self.key)
        self.store = self.opened()

    def opened(self) -> Store:
        return Store.open(self.folder, self.key, disk=self.disk, clock=lambda: self.now)

    def expected(self) -> Model:
        """Without what is over."""
        return {n: v for n, v in self.model.items() if v[0].expires is None or v[0].expires > self.now}

    @rule(name=NAMES, arrays=ARRAYS, expires=st.none() | st.integers(1, 30))
    def put(self, name: str, arrays: dict[str, tuple[str, tuple[int, ...], int]], expires: int | None) -> None:
        made = {}
        for part, (dtype, shape, seed) in arrays.items():
            size = 1
            for n in shape:
                size *= n
            made[part] = words(seed, size, dtype).reshape(shape)
        said = named(name, expires=None if expires is None else self.now + expires)
        after = {**self.expected(), name: (said, plain(made))}
        self.change(lambda: self.store.put(said, made), after)

    @precondition(lambda self: self.expected())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.expected())))
        self.change(lambda: self.store.delete(name), {n: v for n, v in self.expected().items() if n != name})

    @precondition(lambda self: self.expected())
    @rule(data=st.data(), receivers=st.sampled_from([(), ("bob",), ("bob", "carol")]))
    def amend(self, data: st.DataObject, receivers: tuple[str, ...]) -> None:
        name = data.draw(st.sampled_from(sorted(self.expected())))
        said, arrays = self.model[name]
        version = self.store.describe(name).description.version
        after = {**self.expected(), name: (replace(said, receivers=receivers), arrays)}
        self.change(lambda: self.store.amend(replace(said, receivers=receivers, version=version)), after)

    @rule(key=st.sampled_from(KEYS))
    def rotate(self, key: StorageKey) -> None:
        if key.id != self.key.id:
            self.change(lambda: self.store.rotate(key), self.expected())
            self.key = self.store._index.key

    @rule(seconds=st.integers(1, 20))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.opened()

    @rule(number=st.integers(0, 30), full=st.booleans(), done=st.booleans())
    def fail_next(self, number: int, full: bool, done: bool) -> None:
        """One of the next operations on the disk, whatever it is."""
        self.disk.at, self.disk.done = len(self.disk.log) + number, done
        self.disk.fault = full_error if full else system_error

    @rule(number=st.integers(0, 30), power=st.booleans(), name=NAMES, seed=st.integers(10, 20))
    def crash(self, number: int, power: bool, name: str, seed: int) -> None:
        """In the middle of storing; what goes on is the image that the crash left."""
        self.store.close()
        image = self.place / f"image {self.copies}"
        self.copies += 1
        arrays = {"0": words(seed)}
        before = self.expected()
        try:
            disk = CrashingDisk(number, self.folder, image, power)
            with Store.open(self.folder, self.key, disk=disk, clock=lambda: self.now) as store:
                store.put(named(name), arrays)
            self.model = {**before, name: (named(name), plain(arrays))}
        except Crash:
            self.folder, self.model = image, before
            with Store.open(image, self.key, clock=lambda: self.now) as store:
                if (found := content(store)) != before:
                    self.model = {**before, name: (named(name), plain(arrays))}
                    assert found == self.model
        self.disk.at = None
        self.store = self.opened()

    @precondition(lambda self: self.copies < 8)
    @rule()
    def restore(self) -> None:
        self.disk.at = None
        backup, folder = self.place / f"backup {self.copies}", self.place / f"restored {self.copies}"
        self.copies += 1
        self.store.backup(backup)
        self.store.close()
        Store.restore(backup, folder, self.key, clock=lambda: self.now)
        self.folder = folder
        self.store = self.opened()

    def change(self, action: object, after: Model) -> None:
        before = self.expected()
        try:
            action()  # type: ignore[operator]
        except StoreError:
            assert self.disk.at is not None, "nothing was to fail"
            self.disk.at = None
            found = content(self.store)
            assert found in (before, after)
            self.model = found
        else:
            self.model = after

    @invariant()
    def holds_what_it_must(self) -> None:
        at, self.disk.at = self.disk.at, None
        assert content(self.store) == self.expected()
        self.store.expire()
        entries = self.store._index.entries
        assert self.store.used == sum(entry.bytes for entry in entries.values())
        assert {entry.file for entry in entries.values()} <= {path.name for path in files(self.store)}
        self.disk.at = at

    def teardown(self) -> None:
        self.disk.at = None
        self.store.close()
        with self.opened() as store:
            assert content(store) == self.expected()
            assert {entry.file for entry in store._index.entries.values()} == {path.name for path in files(store)}
        shutil.rmtree(self.place)


TestStores = Stores.TestCase
TestStores.settings = settings(
    max_examples=20, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow], deadline=None
)
