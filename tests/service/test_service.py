"""A party's service: jobs of one client and of several, stored values, who may do what, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.runtime.requests import NEVER
from jmpc.service.limits import Limits
from tests.service.raw_client import Call, RawClient, encoded, kept, numbers, of_owner, soon
from tests.service.three import Three

X = np.array([[1.5, -2.0], [0.25, 3.0]], np.float32)
Y = np.array([[2.0], [-1.0]], np.float32)


@jmpc.secure
def relu_product(x: Any, y: Any) -> Any:
    return jnp.maximum(x @ y, 0.0)


@jmpc.secure(outputs=jmpc.SECRET)
def doubled(x: Any) -> Any:
    return x * 2.0


@jmpc.secure(inputs={"x": "alice", "y": "bob"}, outputs="bob")
def product_for_bob(x: Any, y: Any) -> Any:
    return jnp.maximum(x @ y, 0.0)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with Three(tmp_path_factory.mktemp("three"), ["alice", "bob", "carol"], Limits(waiting_s=8.0)) as cluster:
        yield cluster


def relu_call(**more: Any) -> Call:
    flow, inputs = encoded(relu_product, X, Y)
    return Call(flow, inputs, **more)


def assert_works(client: RawClient) -> None:
    (found,) = client.run(relu_call(label="after")).values()
    np.testing.assert_allclose(numbers(found), np.maximum(X @ Y, 0), atol=1e-4)


def failures(client: RawClient, call: Call) -> list[dict[str, Any]]:
    client.join(call)
    found = client.result(call)
    assert {kind for kind, _ in found} == {"failed"}, found
    return [fields for _, fields in found]


# Calls of one client.


def test_a_client_calls_and_gets_its_result(alice: RawClient) -> None:
    assert_works(alice)


def test_one_link_serves_call_after_call(alice: RawClient) -> None:
    for _ in range(5):
        assert_works(alice)


def test_parties_say_the_same_of_a_session(three: Three, alice: RawClient) -> None:
    alice.join(call := relu_call())
    found = alice.result(call)
    for party, (_, fields) in enumerate(found):
        alice.arrays(call.flow, party, fields["outputs"])
    assert len({fields["session"] for _, fields in found}) == 1
    assert len({fields["rounds"] for _, fields in found}) == 1
    assert sum(fields["sent"] for _, fields in found) == sum(fields["received"] for _, fields in found)


# Stored values.


def keep(client: RawClient, name: str, x: np.ndarray = X) -> None:
    flow, inputs = encoded(doubled, x)
    assert client.run(Call(flow, inputs, keep=[kept(flow, name, [0])])) == {}


def reading(**roles: Any) -> Any:
    return jmpc.secure(lambda w, y: jnp.maximum(w @ y, 0.0), **roles)


def stored_call(name: str, function: Any, **more: Any) -> Call:
    """A call whose first argument is stored."""
    with jmpc.local():
        handle = doubled(X)  # of the same type as what is stored
    lowered = function.lower(handle, Y)
    owner = next(entry.owner for entry in lowered.flow.share.inputs if entry.owner != "jmpc.SECRET")
    call = function.bind((handle, Y), {})
    arrays = call.arrays()
    supplied = lowered.owners[owner].supply([arrays[n] for n in lowered.owners[owner].arguments])
    (number,) = [n for n, entry in enumerate(lowered.flow.share.inputs) if entry.owner == "jmpc.SECRET"]
    return Call(lowered.flow, dict(supplied.inputs), stored=[(number, name, 0, 0)], **more)


def test_a_result_stays_and_is_read_by_a_later_program(alice: RawClient) -> None:
    keep(alice, "mine")
    (found,) = alice.run(stored_call("mine", reading())).values()
    np.testing.assert_allclose(numbers(found), np.maximum(2 * X @ Y, 0), atol=1e-4)


def test_all_parties_describe_a_value_alike(alice: RawClient) -> None:
    keep(alice, "alike")
    found = alice.answers("describe", {"name": "alike"}, "described")
    told = [{k: v for k, v in fields.items() if k != "bytes"} for _, fields in found]
    assert told[0] == told[1] == told[2]
    assert told[0]["owner"] == "alice"
    assert '"owners":["alice"]' in told[0]["contents"]


def test_what_is_not_there_is_said_without_the_folders_of_a_party(three: Three, alice: RawClient) -> None:
    asked = [alice.answers(kind, {"name": "nothing"}, kind) for kind in ("describe", "delete", "fetch")]
    said = [fields for found in asked for _, fields in found]
    said += failures(alice, stored_call("nothing", reading()))
    for fields in said:
        assert (fields["error"], fields["what"]) == ("NotStoredError", "there is no value 'nothing'")
        assert fields["todo"] == ["cluster.list(), or jmpc client list, says what is stored"]
        assert str(three.folder.parent) not in str(fields)


def test_another_client_reads_only_with_consent(alice: RawClient, bob: RawClient) -> None:
    keep(alice, "consented")
    call = stored_call("consented", reading())
    for said in failures(bob, call):
        assert said["error"] == "RefusedError"
        assert "alice did not consent" in said["why"]
        assert "cluster.consent('consented'" in said["todo"][0]
    program = bob.load(call.flow)
    fields = {"name": "consented", "allow": [program], "forbid": [], "expires": -2}
    assert {kind for kind, _ in alice.answers("amend", fields, "amended")} == {"amended"}
    (found,) = bob.run(call).values()
    np.testing.assert_allclose(numbers(found), np.maximum(2 * X @ Y, 0), atol=1e-4)
    withdrawn = {"name": "consented", "allow": [], "forbid": [program], "expires": -2}
    assert {kind for kind, _ in alice.answers("amend", withdrawn, "amended")} == {"amended"}
    assert failures(bob, call)[0]["error"] == "RefusedError"


def test_nobody_consents_for_another(alice: RawClient, bob: RawClient) -> None:
    keep(alice, "hers")
    fields = {"name": "hers", "allow": ["0" * 64], "forbid": [], "expires": -2}
    for kind, said in bob.answers("amend", fields, "amended"):
        assert (kind, said["error"]) == ("failed", "RefusedError")


def test_a_name_belongs_to_who_put_it_first(alice: RawClient, bob: RawClient) -> None:
    keep(alice, "taken")
    flow, inputs = encoded(doubled, X)
    for said in failures(bob, Call(flow, inputs, keep=[kept(flow, "taken", [0])])):
        assert "another client's" in said["what"]
    for kind, said in bob.answers("delete", {"name": "taken"}, "deleted"):
        assert (kind, said["error"]) == ("failed", "RefusedError")
    keep(alice, "taken", X + 1)
    assert {kind for kind, _ in alice.answers("delete", {"name": "taken"}, "deleted")} == {"deleted"}
    assert {said["error"] for _, said in alice.answers("delete", {"name": "taken"}, "deleted")} == {"NotStoredError"}


def test_what_stays_shared_is_given_to_nobody(alice: RawClient) -> None:
    keep(alice, "shared")
    for kind, said in alice.answers("fetch", {"name": "shared"}, "result"):
        assert (kind, said["error"]) == ("failed", "RefusedError")
        assert "stays shared" in said["what"]


def test_a_result_is_left_for_its_receiver_alone(alice: RawClient, bob: RawClient) -> None:
    function = jmpc.secure(lambda x: x * 3.0, outputs="bob", owners=["bob"])
    flow, inputs = encoded(function, X)
    assert alice.run(Call(flow, inputs, leave=[kept(flow, "for bob", [0], result=True)])) == {}
    for kind, said in alice.answers("fetch", {"name": "for bob"}, "result"):
        assert (kind, said["error"]) == ("failed", "RefusedError")
        assert "bob learns it" in said["why"]
    found = bob.answers("fetch", {"name": "for bob"}, "result")
    assert {kind for kind, _ in found} == {"result"}
    held = [bob.arrays(flow, party, [0])[0] for party in range(3)]
    np.testing.assert_allclose(numbers(bob._open(flow, 0, held)), 3 * X, atol=1e-4)
    for said in failures(alice, stored_call("for bob", reading())):
        assert "is a result" in said["what"]


def test_what_is_kept_must_be_as_the_program_has_it(alice: RawClient) -> None:
    flow, inputs = encoded(doubled, X)
    wide, _ = encoded(doubled, np.zeros((5, 5), np.float32))
    name, _, outputs, expires = kept(flow, "wrong", [0])
    bad = [
        (name, kept(wide, "wrong", [0])[1], outputs, expires),  # of another shape
        (name, kept(flow, "wrong", [0], result=True)[1], outputs, expires),  # as a result
        (name, kept(flow, "wrong", [0])[1], [1], expires),  # an output that there is not
        (name, "{}", outputs, expires),
    ]
    for row in bad:
        assert failures(alice, Call(flow, inputs, keep=[row]))[0]["error"] == "ArgumentError"
    assert failures(alice, Call(flow, inputs))[0]["error"] == "ArgumentError"  # it stays shared, under no name
    two, arrays = encoded(jmpc.secure(lambda x: (x, x + 1.0), outputs=jmpc.SECRET), X)
    twice = Call(two, arrays, keep=[kept(two, "same", [0]), kept(two, "same", [1])])
    assert {said["what"] for said in failures(alice, twice)} == {"results of one call are stored under one name twice"}
    assert_works(alice)


# Calls of several clients.


def test_two_owners_join_and_the_receiver_alone_learns(alice: RawClient, bob: RawClient) -> None:
    flow, inputs = encoded(product_for_bob, X, Y)
    mine = Call(flow, of_owner(flow, inputs, "alice"), label="both")
    theirs = Call(flow, of_owner(flow, inputs, "bob"), label="both")
    alice.join(mine)
    (found,) = bob.run(theirs).values()
    np.testing.assert_allclose(numbers(found), np.maximum(X @ Y, 0), atol=1e-4)
    answers = alice.result(mine)
    assert [(kind, fields["outputs"]) for kind, fields in answers] == [("done", [])] * 3


def test_a_client_that_waits_is_told_for_whom(alice: RawClient) -> None:
    flow, inputs = encoded(product_for_bob, X, Y)
    alice.join(Call(flow, of_owner(flow, inputs, "alice"), label="alone"))
    kind, fields = alice.links[1].receive(("progress", "failed"), soon())
    assert (kind, fields["waits"]) == ("progress", "for bob")


def test_nobody_sends_the_input_of_another(alice: RawClient, bob: RawClient) -> None:
    flow, inputs = encoded(product_for_bob, X, Y)
    for said in failures(alice, Call(flow, inputs, label="greedy")):
        assert said["error"] == "ArgumentError"
    assert_works(alice)


def test_who_has_no_part_in_a_call_cannot_join_it(three: Three, alice: RawClient, bob: RawClient) -> None:
    """Else it would be one of those to whom what is kept belongs."""
    flow, inputs = encoded(product_for_bob, X, Y)
    with RawClient(three, "carol") as carol:
        for said in failures(carol, Call(flow, {}, label="three's a crowd")):
            assert (said["error"], said["what"]) == ("ArgumentError", "carol has no part in this call")
    alice.join(mine := Call(flow, of_owner(flow, inputs, "alice"), label="three's a crowd"))
    bob.run(Call(flow, of_owner(flow, inputs, "bob"), label="three's a crowd"))
    assert {kind for kind, _ in alice.result(mine)} == {"done"}


def test_clients_that_want_different_things_are_refused(alice: RawClient, bob: RawClient) -> None:
    flow, inputs = encoded(product_for_bob, X, Y)
    alice.join(Call(flow, of_owner(flow, inputs, "alice"), label="quarrel"))
    row = kept(flow, "quarrel", [0], result=True)
    bob.join(call := Call(flow, of_owner(flow, inputs, "bob"), label="quarrel", leave=[row]))
    for kind, said in bob.result(call) + alice.result(call):
        assert (kind, said["error"]) == ("failed", "HandshakeError")


def test_a_call_whose_other_client_never_comes_ends(alice: RawClient) -> None:
    flow, inputs = encoded(product_for_bob, X, Y)
    for said in failures(alice, Call(flow, of_owner(flow, inputs, "alice"), label="lonely")):
        assert (said["error"], said["what"]) == ("DeadlineError", "bob did not join in time")


# Clients that lie.


def test_every_word_of_an_inconsistent_share_is_noticed(three: Three, alice: RawClient) -> None:
    flow, inputs = encoded(relu_product, X, Y)
    for party in range(3):
        for array, word in [(0, 0), (0, 3), (1, 1), (2, 0), (3, 1)]:

            def tamper(at: int, arrays: list[np.ndarray], party: int = party, array: int = array, word: int = word):
                if at == party:
                    arrays = [a.copy() for a in arrays]
                    arrays[array].reshape(-1)[word] ^= np.uint64(1)
                return arrays

            said = failures(alice, Call(flow, inputs, tamper=tamper))
            assert any("other shares of an input" in one["what"] for one in said), said
    assert_works(alice)


def test_different_public_inputs_are_noticed(alice: RawClient) -> None:
    function = jmpc.secure(lambda x, s: x * s, public=["s"])
    flow, inputs = encoded(function, X, np.float32(2.0))
    (public,) = [n for n, entry in enumerate(flow.share.inputs) if not entry.owner]

    def tamper(party: int, arrays: list[np.ndarray]) -> list[np.ndarray]:
        sizes = [2 if n != public else 1 for n in sorted(inputs)]
        at = sum(sizes[: sorted(inputs).index(public)])
        return [a + np.uint64(party == 1) if i == at else a for i, a in enumerate(arrays)]

    assert any("public inputs" in said["what"] for said in failures(alice, Call(flow, inputs, tamper=tamper)))
    np.testing.assert_allclose(numbers(alice.run(Call(flow, inputs))[0]), 2 * X, atol=1e-4)


def test_a_client_that_tells_the_parties_different_things_is_noticed(alice: RawClient) -> None:
    flow, inputs = encoded(doubled, X)

    def fields(party: int, said: dict[str, Any]) -> dict[str, Any]:
        name = "one" if party else "another"
        return {**said, "keep": [[name, *said["keep"][0][1:]]]}

    call = Call(flow, inputs, keep=[kept(flow, "one", [0])], fields=fields)
    assert any("becomes of the results" in said["what"] for said in failures(alice, call))
    for kind, said in alice.answers("describe", {"name": "one"}, "described"):
        assert (kind, said["error"]) == ("failed", "NotStoredError")


def test_arrays_of_other_sizes_are_refused_and_the_link_goes_on(alice: RawClient) -> None:
    flow, inputs = encoded(relu_product, X, Y)
    call = Call(flow, inputs, tamper=lambda party, arrays: [a[:1] for a in arrays])
    assert {said["error"] for said in failures(alice, call)} == {"ArgumentError"}
    assert_works(alice)


def test_a_ticket_counts_once(alice: RawClient) -> None:
    call = relu_call(label="twice")
    alice.join(call, ticket=b"t" * 16)
    for party, (_, fields) in enumerate(alice.result(call)):
        alice.arrays(call.flow, party, fields["outputs"])
    alice.join(call, ticket=b"t" * 16)
    assert {fields["what"] for _, fields in alice.result(call)} == {"the tickets of this call were used before"}
    assert_works(alice)


def test_a_program_that_is_not_approved_is_not_run(three: Three, alice: RawClient) -> None:
    call = relu_call(label="refused")
    program = alice.load(call.flow)
    three.programs[2].refused[program] = "the operator has not approved it"
    try:
        alice.join(call, parties=[2])
        kind, said = alice.answer(2, "done")
        assert (kind, said["error"], said["why"]) == ("failed", "RefusedError", "the operator has not approved it")
    finally:
        three.programs[2].refused.clear()
    assert_works(alice)


def test_a_party_that_no_client_asked_ends_the_call(three: Three, alice: RawClient) -> None:
    alice.join(relu_call(label="two of three"), parties=[0, 1])
    said = [alice.answer(party, "done") for party in (0, 1)]
    assert {fields["error"] for _, fields in said} <= {"DeadlineError", "PartyError"}
    assert any("party 2 did not begin" in fields["what"] for _, fields in said)
    assert_works(alice)


# Uploads.


def begin(client: RawClient, name: str, x: np.ndarray, key: bytes, tamper: Any = None, parts: int = 2) -> list[Any]:
    """Send one array, as shares made by hand; what parties said before it."""
    flow, inputs = encoded(doubled, x)
    from jmpc.owner import dealt
    from jmpc.party.program import input_type
    from jmpc.runtime.contents import Contents, Leaf

    leaf = Leaf("", "float32", input_type(flow.share.body.params[0].type))
    what = Contents("aby3", 64, 18, (leaf,)).text
    fields = {"upload": key, "name": name, "contents": what, "programs": [], "expires": NEVER}
    found = client.answers("put", fields, "writing")
    if any(kind == "failed" for kind, _ in found):
        return found
    pieces = dealt(flow, 0, inputs[0])
    for party, link in enumerate(client.links):
        for part, array in enumerate(pieces[party][:parts]):
            array = tamper(party, part, array) if tamper else array
            rest = array.tobytes()[found[party][1]["written"][part] :]
            for at in range(0, len(rest), 8):
                link.send(
                    "chunk",
                    {"part": part, "bytes": len(rest[at : at + 8])},
                    soon(),
                    body=rest[at : at + 8],
                )
    return found


def upload(client: RawClient, name: str, x: np.ndarray, key: bytes, tamper: Any = None, parts: int = 2) -> list[Any]:
    """Put one array."""
    found = begin(client, name, x, key, tamper, parts)
    if any(kind == "failed" for kind, _ in found):
        return found
    return client.answers("commit", {"upload": key}, "stored")


def test_a_value_is_put_and_read(alice: RawClient) -> None:
    found = upload(alice, "put", X, b"p" * 16)
    assert {kind for kind, _ in found} == {"stored"}
    assert len({fields["version"] for _, fields in found}) == 1
    listed = alice.answers("values", {"after": ""}, "listed")
    assert all(any(row[0] == "put" for row in fields["entries"]) for _, fields in listed)
    assert {kind for kind, _ in alice.answers("commit", {"upload": b"p" * 16}, "stored")} == {"stored"}  # asked again


def test_an_upload_goes_on_after_a_link_was_lost(three: Three) -> None:
    with RawClient(three, "alice") as first:
        found = upload(first, "resumed", X, b"r" * 16, parts=1)
        assert {fields["error"] for _, fields in found} == {"ArgumentError"}
    with RawClient(three, "alice") as second:
        again = upload(second, "resumed", X, b"s" * 16)
        assert {kind for kind, _ in again} == {"stored"}


def test_inconsistent_shares_of_an_upload_are_noticed(alice: RawClient) -> None:
    for at in range(3):
        for part in range(2):

            def tamper(party: int, number: int, array: np.ndarray, at: int = at, part: int = part) -> np.ndarray:
                return array ^ np.uint64(1 << 63) if (party, number) == (at, part) else array

            found = upload(alice, "liar", X, bytes([at, part]) * 8, tamper)
            assert any("other shares of this value" in said.get("what", "") for _, said in found), found
            assert {kind for kind, _ in alice.answers("describe", {"name": "liar"}, "described")} <= {"failed"}


def test_nobody_goes_on_with_the_upload_of_another(alice: RawClient, bob: RawClient) -> None:
    upload(alice, "hers alone", X, b"h" * 16, parts=1)
    for kind, said in bob.answers("commit", {"upload": b"h" * 16}, "stored"):
        assert (kind, said["error"]) == ("failed", "ArgumentError")


# Sessions at once.


def test_sessions_of_several_clients_run_at_once_and_do_not_mix(three: Three) -> None:
    wrong: list[Any] = []

    def calls(name: str, first: int) -> None:
        rng = np.random.default_rng(first)
        with RawClient(three, name) as client:
            for n in range(first, first + 6):
                x, y = rng.normal(size=(2, 2)).astype(np.float32), rng.normal(size=(2, 1)).astype(np.float32)
                flow, inputs = encoded(relu_product, x, y)
                try:
                    (found,) = client.run(Call(flow, inputs, label=f"{name} {n}")).values()
                except BaseException as exc:
                    wrong.append((name, n, repr(exc)))
                    return
                error = np.abs(numbers(found) - np.maximum(x @ y, 0)).max()
                if error > 1e-4:
                    wrong.append((name, n, error))

    names = ("alice", "bob", "carol", "alice", "bob")
    threads = [threading.Thread(target=calls, args=(name, 100 * i)) for i, name in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    finished = [len(events.named("session finished")) for events in three.events]
    assert len(set(finished)) == 1


# Ends.


def test_a_client_that_leaves_ends_its_call(three: Three, tmp_path: Path) -> None:
    flow, inputs = encoded(product_for_bob, X, Y)
    with RawClient(three, "alice") as alice:
        alice.join(Call(flow, of_owner(flow, inputs, "alice"), label="left"))
        for link in alice.links:  # else the join that left may come to a party after the one that stays
            link.receive(("progress",), soon())
    with RawClient(three, "alice") as again, RawClient(three, "bob") as bob:
        again.join(mine := Call(flow, of_owner(flow, inputs, "alice"), label="left"))
        (found,) = bob.run(Call(flow, of_owner(flow, inputs, "bob"), label="left")).values()
        np.testing.assert_allclose(numbers(found), np.maximum(X @ Y, 0), atol=1e-4)
        assert {kind for kind, _ in again.result(mine)} == {"done"}


def test_a_party_stops_and_comes_back(tmp_path: Path) -> None:
    with Three(tmp_path, ["alice"], Limits(waiting_s=5.0)) as cluster:
        with RawClient(cluster, "alice") as alice:
            keep(alice, "kept")
            program = alice.load((call := relu_call()).flow)
            cluster.stop(1)
            alice.join(call, parties=[0, 2], program=program)
            for party in (0, 2):
                kind, said = alice.answer(party, "done")
                assert (kind, said["error"]) == ("failed", "PeerError"), said
                assert "party 1" in said["what"]
        cluster.start(1)
        cluster.wait()
        with RawClient(cluster, "alice") as alice:
            assert_works(alice)
            (found,) = alice.run(stored_call("kept", reading())).values()
            np.testing.assert_allclose(numbers(found), np.maximum(2 * X @ Y, 0), atol=1e-4)
