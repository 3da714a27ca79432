"""A party that lost its disk takes back what it held from the two others, if their operators consent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.approval.restores import Restores
from jmpc.cluster import Identity
from jmpc.errors import ConfigError, PartyError, RefusedError
from jmpc.service.peers import terms
from jmpc.service.rebuild import Report, rebuild
from jmpc.service.words import RESTORE
from tests.service.raw_client import Call, RawClient, encoded, kept, numbers, soon
from tests.service.test_service import X, Y, keep, reading, stored_call, upload
from tests.service.three import Three


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Three]:
    with Three(tmp_path, ["alice", "bob"]) as cluster:
        yield cluster


def lose_and_rebuild(three: Three, party: int, allow: bool = True) -> Report:
    store = three.lose_disk(party)
    for other in set(range(3)) - {party} if allow else ():
        three.allowed[other].parties.add(party)
    try:
        return rebuild(three.roster, Identity.read(three.folder / f"party-{party}", three.roster), store)
    finally:
        store.close()


@pytest.mark.parametrize("party", range(3))
def test_each_party_gets_back_what_it_held(three: Three, party: int) -> None:
    bits = jmpc.secure(lambda x: x > 0.5, outputs=jmpc.SECRET)
    flow, inputs = encoded(bits, X)
    with RawClient(three, "alice") as alice:
        keep(alice, "kept")
        upload(alice, "put", X, b"u" * 16)
        alice.run(Call(flow, inputs, keep=[kept(flow, "bits", [0])]))
    before = {
        s.description.name: dict(three.stores[party].load(s.description.name)) for s in three.stores[party].values()
    }
    report = lose_and_rebuild(three, party)
    assert (report.rebuilt, report.sound, report.failed) == (["bits", "kept", "put"], [], {})
    three.start(party)
    three.wait()
    after = {name: dict(three.stores[party].load(name)) for name in before}
    for name, parts in before.items():
        assert parts.keys() == after[name].keys()
        assert all(np.array_equal(parts[part], after[name][part]) for part in parts)
    with RawClient(three, "alice") as alice:
        (found,) = alice.run(stored_call("kept", reading())).values()
        np.testing.assert_allclose(numbers(found), np.maximum(2 * X @ Y, 0), atol=1e-4)


def test_what_is_sound_is_left_alone_and_what_is_damaged_comes_back(three: Three, tmp_path: Path) -> None:
    with RawClient(three, "alice") as alice:
        keep(alice, "sound")
        keep(alice, "damaged")
    three.stop(1)
    store = three.reopen(1)
    file = store._index.entries["damaged"].file
    path = tmp_path / "store-1" / "values" / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for other in (0, 2):
        three.allowed[other].parties.add(1)
    report = rebuild(three.roster, Identity.read(three.folder / "party-1", three.roster), store)
    store.close()
    assert (report.rebuilt, report.sound, report.failed) == (["damaged"], ["sound"], {})


def test_nothing_is_given_without_the_operators_consent(three: Three) -> None:
    with RawClient(three, "alice") as alice:
        keep(alice, "kept")
    with pytest.raises(RefusedError, match="party 0 gives nothing back") as caught:
        lose_and_rebuild(three, 1, allow=False)
    assert "jmpc party allow-rebuild party/1" in caught.value.todo[0]
    assert three.events[0].named("restore refused")


def test_a_client_cannot_ask_to_be_restored(three: Three) -> None:
    identity = Identity.read(three.folder / "client-alice", three.roster)
    with pytest.raises(ConfigError, match="is no party"):
        rebuild(three.roster, identity, three.stores[0])
    with RawClient(three, "alice", greet=False) as alice:
        for link in alice.links:
            link._words = RESTORE
            link.send("restore", terms(three.roster, 1), soon())
            with pytest.raises(PartyError):
                link.receive(("welcome",), soon())


def test_a_result_that_waits_is_lost_and_said_so(three: Three) -> None:
    """Each party masks its own part of a result for the receiver; nobody else has it."""
    function = jmpc.secure(lambda x: jnp.tanh(x), outputs="bob", owners=["bob"])
    flow, inputs = encoded(function, X)
    with RawClient(three, "alice") as alice:
        alice.run(Call(flow, inputs, leave=[kept(flow, "waits", [0], result=True)]))
        report = lose_and_rebuild(three, 2)
        assert report.rebuilt == []
        assert "run the program again" in report.failed["waits"]


def test_survivors_that_hold_different_words_are_not_believed(three: Three) -> None:
    with RawClient(three, "alice") as alice:
        keep(alice, "kept")
    held = three.stores[0].load("kept")
    described = three.stores[0].describe("kept").description
    store = three.stores[0]
    tampered = {name: array ^ np.uint64(1) if name == "0.1" else array for name, array in held.items()}
    store.delete("kept")
    store.put(described, tampered)
    report = lose_and_rebuild(three, 2)
    assert report.rebuilt == []
    assert "same words" in report.failed["kept"]


def test_an_operators_word_holds_for_one_party_and_a_while(tmp_path: Path) -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    restores = Restores(tmp_path, lambda: now)
    assert "has not said" in restores.refusal(1)
    command_line = Restores(tmp_path, lambda: now)
    command_line.allow(1, dt.timedelta(hours=2))
    assert restores.refusal(1) == ""
    assert "has not said" in restores.refusal(2)
    command_line.allow(2, dt.timedelta(hours=4))
    now += dt.timedelta(hours=3)
    assert "was until" in restores.refusal(1)
    assert restores.refusal(2) == ""
    with pytest.raises(ConfigError, match="no time"):
        command_line.allow(2, dt.timedelta(days=8))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"party/1": 3}', b'{"party/1": "soon"}', b"\xff"])
def test_a_word_that_cannot_be_read_allows_nothing(tmp_path: Path, content: bytes) -> None:
    Restores(tmp_path).allow(1, dt.timedelta(hours=1))
    (tmp_path / "restores.json").write_bytes(content)
    assert "cannot be read" in Restores(tmp_path).refusal(1)
