"""Uploads that lose a link go on where each party is; what cannot go on stores nothing; shares say nothing twice."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jmpc
from jmpc import families
from jmpc.client import chunks, upload
from jmpc.client.cluster import Cluster
from jmpc.client.forms import value_of
from jmpc.client.sharing import STEP_WORDS, Sharer
from jmpc.errors import ArgumentError, PeerError, StoreFullError
from jmpc.families import sharing
from jmpc.ir.types import Type
from jmpc.ring.element import Ring
from jmpc.runtime.control import ControlLink
from jmpc.service.limits import Limits
from jmpc.service.uploads import Upload, Uploads
from jmpc.store import Part
from tests.service.three import Three

from .doubles import rows_of
from .fakes import Fakes, failed, reply, soon

STEP = 8 * STEP_WORDS


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "CHUNK_BYTES", STEP)
    monkeypatch.setattr(upload, "_PAUSE_S", 0.01)


class Keeping:
    """Parties that keep what they are sent. lose: called with a party and the bytes that it has; whether its link ends
    now, before it has read more."""

    def __init__(self, lose: Any = lambda party, done: False) -> None:
        self.parts: list[dict[bytes, list[bytearray]]] = [{}, {}, {}]
        self.contents: dict[bytes, Any] = {}
        self.commits: Counter[int] = Counter()
        self.current: dict[ControlLink, bytes] = {}
        self.holder: dict[tuple[int, bytes], ControlLink] = {}
        self.lose = lose
        self.chunks: list[tuple[int, int, str]] = []

    def answer(self, party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        if kind == "put":
            contents = jmpc.runtime.contents.Contents.of(fields["contents"])
            self.contents[fields["upload"]] = contents
            count = sum(map(len, contents.parts(families.FAMILIES["aby3"], party)))
            held = self.parts[party].setdefault(fields["upload"], [bytearray() for _ in range(count)])
            self.current[link] = fields["upload"]
            self.holder[party, fields["upload"]] = link
            reply(link, "writing", {"written": [len(part) for part in held]})
        elif kind == "chunk":
            part = self.parts[party][self.current[link]][fields["part"]]
            content = link.receive_bytes(fields["bytes"], soon())
            if self.holder[party, self.current[link]] is not link:
                return  # it comes over another link now
            self.chunks.append((party, fields["part"], hashlib.sha256(content).hexdigest()))
            part.extend(content)
            if self.lose(party, sum(map(len, self.parts[party][self.current[link]]))):
                del part[-(len(content) // 3) :]  # it had not written all of it
                link.close()
        elif kind == "commit":
            self.commits[party] += 1
            reply(link, "stored", {"version": 7})
        elif kind == "describe":
            said = dict.fromkeys(("version", "created", "bytes"), 1) | {"name": "x", "owner": "alice", "expires": -1}
            text = next(iter(self.contents.values())).text
            reply(link, "described", {**said, "consents": [], "receivers": [], "contents": text})

    def opened(self) -> list[np.ndarray]:
        """What the parties have, put together."""
        (key,) = self.contents
        contents, family = self.contents[key], families.FAMILIES["aby3"]
        found, at = [], [0, 0, 0]
        for n, leaf in enumerate(contents.leaves):
            held = []
            for party in range(3):
                specs = contents.parts(family, party)[n]
                arrays = self.parts[party][key][at[party] : at[party] + len(specs)]
                at[party] += len(specs)
                held.append([np.frombuffer(a, s[1]).reshape(s[0]) for a, s in zip(arrays, specs, strict=True)])
            form = family.forms[leaf.type.form]
            summands = sharing.summands_of(held, form)  # which two copies of one must be alike
            opened = sharing.opened(summands, leaf.type, Ring(contents.k))
            found.append(jmpc.api.decode(opened, leaf.type, np.dtype(leaf.dtype), jmpc.Config()))
        return found


def put(parties: Keeping, folder: Path, tree: Any, **more: Any) -> list[int]:
    """How many links each party saw."""
    with Fakes(folder, parties.answer) as fakes, jmpc.connect(fakes.folder, identity="alice") as cluster:
        cluster.put(tree, name="x", **more)
        return list(fakes.links)


def the_same(found: Any, right: Any) -> None:
    for a, b in zip(found, right, strict=True):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), atol=1e-5)


TREE = {"a": np.linspace(-9, 9, 3000, dtype=np.float32).reshape(1000, 3), "b": np.arange(70_000) % 3 == 0}


def test_what_the_parties_hold_is_worth_what_was_put(tmp_path: Path) -> None:
    parties = Keeping()
    assert put(parties, tmp_path, TREE) == [1, 1, 1]
    the_same(parties.opened(), TREE.values())
    assert len(parties.chunks) > 20


@pytest.mark.parametrize("party", range(3))
def test_an_upload_goes_on_with_what_each_party_lacks(tmp_path: Path, party: int) -> None:
    lost: list[int] = []

    def lose(which: int, done: int) -> bool:
        if which == party and done > 10_000 * (len(lost) + 1) and len(lost) < 3:
            lost.append(done)
            return True
        return False

    parties = Keeping(lose)
    links = put(parties, tmp_path, TREE)
    assert len(lost) == 3
    assert links[party] == 4
    the_same(parties.opened(), TREE.values())
    assert parties.commits[party] == 1
    assert set(parties.commits) == {0, 1, 2}  # the others may have been asked before the loss was seen
    whole = [chunk for chunk in parties.chunks if chunk[0] != party]
    assert len(whole) == len(set(whole))  # nobody is sent again what it has


def test_what_has_changed_meanwhile_is_not_stored_half_and_half(tmp_path: Path) -> None:
    array, once = np.zeros(3000, np.float32), [True]

    def lose(which: int, done: int) -> bool:
        if which == 1 and once:
            once.clear()
            array[0] = 1
            return True
        return False

    parties = Keeping(lose)
    with pytest.raises(ArgumentError, match="has changed"):
        put(parties, tmp_path, array)
    assert not parties.commits[1]  # without whom nobody stores it


def test_batches_of_an_iterator_cannot_be_had_again(tmp_path: Path) -> None:
    once = [True]
    parties = Keeping(lambda party, done: bool(party == 1 and once and once.pop()))
    rows = [{"x": np.ones((1000, 2), np.float32)}] * 3
    with Fakes(tmp_path, parties.answer) as fakes, jmpc.connect(fakes.folder, identity="alice") as cluster:
        with pytest.raises(ArgumentError, match="cannot be had again"):
            cluster.put_rows(iter(rows), name="x", rows=3000)
        once.append(True)
        parties.contents.clear()
        cluster.put_rows(rows, name="x")
    the_same(parties.opened(), [np.ones((3000, 2))])


def test_a_party_that_stays_away_ends_the_upload(tmp_path: Path) -> None:
    parties = Keeping(lambda party, done: party == 1)
    with pytest.raises(PeerError, match="party 1 was lost") as caught:
        put(parties, tmp_path, np.zeros(30_000, np.float32), patience_s=0.0)
    assert "nothing is stored yet" in str(caught.value)
    assert not parties.commits[1]


def test_what_a_party_refuses_is_not_tried_again(tmp_path: Path) -> None:
    parties = Keeping()

    def full(party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        if kind == "commit":
            reply(link, "failed", failed("StoreFullError", "there is no room"))
        else:
            parties.answer(party, link, kind, fields)

    with Fakes(tmp_path, full) as fakes, jmpc.connect(fakes.folder, identity="alice") as cluster:
        with pytest.raises(StoreFullError, match="no room") as caught:
            cluster.put(TREE, name="x")
        cluster.describe("x")
        assert fakes.links == [1, 1, 1]
    assert caught.value.where == "all parties: here"


def test_a_party_that_claims_more_than_it_was_sent_is_refused(tmp_path: Path) -> None:
    parties = Keeping()

    def ahead(party: int, link: ControlLink, kind: str, fields: dict[str, Any]) -> None:
        if kind == "put" and party == 2:
            reply(link, "writing", {"written": []})
        else:
            parties.answer(party, link, kind, fields)

    with Fakes(tmp_path, ahead) as fakes, pytest.raises(PeerError, match="party 2 says"):
        jmpc.connect(fakes.folder, identity="alice").put(TREE, name="x", patience_s=0.0)
    assert not parties.commits


def test_real_parties_take_an_upload_up_again(alice: Cluster, three: Three) -> None:
    tree, cut = {"x": np.linspace(-1, 1, 20_000).reshape(-1, 4).astype(np.float32), **rows_of(500)}, [0.3, 0.6]

    def progress(done: int, of: int) -> None:
        if cut and done > cut[0] * of:
            cut.pop(0)
            service = three.services[len(cut)]
            assert service is not None
            for link in list(service.clients._links):
                link.hang_up()

    alice.put(tree, name="lost", progress=progress)
    assert not cut
    found = alice.run(jmpc.secure(lambda tree: tree), jmpc.stored("lost"))
    the_same(found.values(), [tree[name] for name in found])
    alice.delete("lost")


def test_what_an_earlier_link_still_holds_is_not_written() -> None:
    class Writer:
        parts = (Part("0.0", "uint64", (2,)),)
        got: list[bytes] = []  # noqa: RUF012

        def write(self, name: str, data: bytes) -> None:
            self.got.append(data)

    parties: Any = Uploads(0, None, Limits(), 1.0)  # pyright: ignore[reportArgumentType]
    taken_up = Upload(b"", "alice", b"", None, Writer(), 0.0, [hashlib.sha256()], turn=2)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArgumentError, match="over another link"):
        parties.write(taken_up, 1, 0, bytes(8))
    parties.write(taken_up, 2, 0, bytes(8))
    assert Writer.got == [bytes(8)]


# --- shares


def forms(array: np.ndarray, config: jmpc.Config) -> Any:
    (form,) = value_of(array, "alice", config).forms
    return form


@given(
    st.sampled_from([np.float32, np.int8, bool]),
    st.lists(st.integers(0, 70), min_size=0, max_size=3),
    st.sampled_from([64, 32]),
    st.integers(0, 2**32),
)
def test_chunks_together_are_the_shares_of_the_whole(dtype: Any, shape: list[int], k: int, seed: int) -> None:
    config = jmpc.Config(k=k, f=10)
    rng = np.random.default_rng(seed)
    array = (rng.normal(size=shape) * 9).astype(dtype)
    form = forms(array, config)
    sharer, family = Sharer(form, 1), families.of(config)
    held: list[list[list[np.ndarray]]] = [[[] for _ in family.specs(form.type, Ring(k), p)] for p in range(3)]
    for chunk in chunks.Arrays([array]).chunks([sharer]):
        for mine, pieces in zip(held, sharer.share(chunk.start, chunk.values), strict=True):
            for part, piece in zip(mine, pieces, strict=True):
                part.append(piece)
    shape_of, word = family.spec(form.type, Ring(k))
    whole = [[np.concatenate([np.zeros(0, word), *part]).reshape(shape_of) for part in mine] for mine in held]
    summands = sharing.summands_of(whole, family.forms[form.type.form])
    opened = jmpc.api.decode(sharing.opened(summands, form.type, Ring(k)), form.type, array.dtype, config)
    np.testing.assert_allclose(np.asarray(opened, float), array.astype(float), atol=2**-10)


def test_each_array_is_shared_under_a_key_of_its_own_and_each_place_of_it_once() -> None:
    zeros = np.zeros(5000, np.float32)
    form = forms(zeros, jmpc.Config())
    words: Counter[int] = Counter()
    for _ in range(2):
        sharer = Sharer(form, STEP)
        for chunk in chunks.Arrays([zeros]).chunks([sharer]):
            pieces = sharer.share(chunk.start, chunk.values)
            words.update(int(word) for word in pieces[0][0])
            words.update(int(word) for word in pieces[0][1])
    assert max(words.values()) == 1  # of 20,000 words that hide zeros


def test_a_chunk_that_is_shared_again_holds_what_it_held() -> None:
    form = forms(np.zeros(10, np.float32), jmpc.Config())
    sharer = Sharer(form)
    first = sharer.share(0, np.arange(10, dtype=np.float32))
    again = sharer.share(0, np.arange(10, dtype=np.float32))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ArgumentError, match="has changed"):
        sharer.share(0, np.ones(10, np.float32))


def test_types_are_those_of_an_argument(alice: Cluster) -> None:
    """What is stored goes into a function as the same type as what the function would have shared itself."""
    for array in (np.float32([1]), np.int8([1]), np.array([True]), np.uint32([1])):
        (form,) = value_of(array, "alice", None).forms
        kept = jmpc.secure(lambda x: x, outputs=jmpc.SECRET)(array)
        assert isinstance(form.type, Type)
        assert form.type == kept.type


def test_an_upload_of_many_threads_mixes_nothing(alice: Cluster) -> None:
    arrays = {f"threads/{n}": np.full(3000, n, np.float32) for n in range(4)}
    threads = [threading.Thread(target=alice.put, args=(array, name)) for name, array in arrays.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, array in arrays.items():
        the_same([alice.run(jmpc.secure(lambda x: x), jmpc.stored(name))], [array])
        alice.delete(name)
