"""Control messages: only exactly the right shape is read, whatever the bytes are."""

from __future__ import annotations

import struct
import time
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmpc.errors import DeadlineError, PeerError
from jmpc.runtime.control import ControlLink
from jmpc.runtime.messages import decode, encode
from jmpc.runtime.requests import NEVER, REQUESTS, UNCHANGED
from jmpc.runtime.schema import SchemaError

from .helpers import LONG_S, authority_and, party_identity, tls_pair

quick = settings(max_examples=200, deadline=None, derandomize=True)
KINDS = list(REQUESTS.schemas)
HASH = "c" * 64
VALUE: dict[str, Any] = {
    "name": "rows",
    "owner": "alice",
    "version": 3,
    "created": 1,
    "expires": NEVER,
    "bytes": 10,
    "consents": [["alice", HASH]],
    "receivers": ["bob"],
}
FAILURE: dict[str, Any] = {
    "error": "FrameError",
    "what": "w",
    "where": "x",
    "why": "",
    "todo": ["t"],
    "phase": "run",
    "round": 3,
    "peer": "party 1",
    "relayed": False,
}
GOOD: dict[str, dict[str, Any]] = {
    "hello": {"protocol": 1, "version": "0.1.0", "roster": HASH, "party": -1},
    "load": {"bytes": 10},
    "loaded": {"program": HASH, "allowed": True, "why": ""},
    "join": {
        "label": "call",
        "ticket": b"t" * 16,
        "program": HASH,
        "sent": [0, 1],
        "keys": [["arith", 0, b"k" * 16]],
        "bytes": 64,
        "stored": [[2, "rows", 0, 3]],
        "keep": [["model", "{}", [0], NEVER]],
        "leave": [["result", "{}", [1], 5]],
        "detached": False,
    },
    "progress": {"rounds": 1, "of": 2, "waits": "for its turn"},
    "done": {
        "session": b"s" * 32,
        "seconds": 0.5,
        "rounds": 2,
        "sent": 3,
        "received": 4,
        "version": 5,
        "outputs": [0, 1],
    },
    "put": {"upload": b"u" * 16, "name": "rows", "contents": "{}", "programs": [HASH], "expires": NEVER},
    "writing": {"written": [0, 8]},
    "chunk": {"part": 0, "bytes": 100},
    "commit": {"upload": b"u" * 16},
    "stored": {"version": 3},
    "values": {"after": "rows"},
    "listed": {"entries": [list(VALUE.values())], "more": True},
    "describe": {"name": "rows"},
    "described": {**VALUE, "contents": "{}"},
    "delete": {"name": "rows"},
    "deleted": {},
    "amend": {"name": "rows", "allow": [HASH], "forbid": [], "expires": UNCHANGED},
    "amended": {},
    "fetch": {"name": "rows"},
    "result": {**VALUE, "contents": "{}"},
    "status": {},
    "state": {"text": "{}"},
    "post": {"label": "call", "text": "{}"},
    "posted": {},
    "look": {"label": "call", "owner": "alice", "wait_s": 3},
    "seen": {"text": ""},
    "failed": FAILURE,
}
OTHER_VALUES = [None, -(2**40), 1.5, float("nan"), True, "\x00" * 3, "x" * 3000, b"zz", [], [[[[[[]]]]]], {"a": 1}]
FIELDS = [(kind, name) for kind, fields in GOOD.items() for name in fields]


def test_every_kind_has_an_example() -> None:
    assert GOOD.keys() == REQUESTS.schemas.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_messages_round_trip(kind: str) -> None:
    assert decode(encode(kind, GOOD[kind], REQUESTS), [kind], REQUESTS) == (kind, GOOD[kind])


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_missing_field_is_refused(kind: str, name: str) -> None:
    fields = {key: value for key, value in GOOD[kind].items() if key != name}
    with pytest.raises(SchemaError):
        decode(msgpack.packb([kind, fields]), [kind], REQUESTS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_extra_key_is_refused(kind: str) -> None:
    with pytest.raises(SchemaError):
        decode(msgpack.packb([kind, {**GOOD[kind], "more": 1}]), [kind], REQUESTS)


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_field_of_another_type_or_size_is_refused(kind: str, name: str) -> None:
    refusals = []
    for value in OTHER_VALUES:
        try:
            decode(msgpack.packb([kind, {**GOOD[kind], name: value}]), [kind], REQUESTS)
        except SchemaError as exc:
            refusals.append(str(exc))
    assert len(refusals) >= len(OTHER_VALUES) - 3  # each field has few other values that it takes
    assert "zz" not in " ".join(refusals)


def test_a_kind_that_is_not_awaited_is_refused() -> None:
    with pytest.raises(SchemaError, match="not expected"):
        decode(encode("posted", {}, REQUESTS), ["done", "failed"], REQUESTS)


@quick
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(SchemaError):
        decode(payload, KINDS, REQUESTS)


@quick
@given(st.sampled_from(KINDS), st.data())
def test_a_changed_byte_gives_a_valid_message_or_a_refusal(kind: str, data: st.DataObject) -> None:
    payload = bytearray(encode(kind, GOOD[kind], REQUESTS))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        found, fields = decode(payload, KINDS, REQUESTS)
    except SchemaError:
        return
    assert encode(found, fields, REQUESTS)


def test_a_key_that_comes_twice_is_refused() -> None:
    payload = b"\x92" + msgpack.packb("stored") + b"\x82" + (msgpack.packb("version") + b"\x01") * 2
    with pytest.raises(SchemaError, match="twice"):
        decode(payload, ["stored"], REQUESTS)


@pytest.mark.parametrize("code", [-1, 0, 42])
def test_an_extension_type_is_refused(code: int) -> None:
    body = b"\xd6" + struct.pack("b", code) + b"\0\0\0\1"
    with pytest.raises(SchemaError):
        decode(b"\x92" + msgpack.packb("stored") + b"\x81" + msgpack.packb("version") + body, ["stored"], REQUESTS)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(SchemaError):
        decode(b"\x91" * 100_000, KINDS, REQUESTS)


@pytest.fixture
def links():
    client, server = authority_and(party_identity(0), party_identity(1))
    one, other = tls_pair(client, server, party_identity(1), [party_identity(0)])
    pair = ControlLink(one, 0, "party 1", REQUESTS), ControlLink(other, 1, "party 0", REQUESTS)  # type: ignore[arg-type]
    yield pair
    for link in pair:
        link.close()


def test_messages_and_arrays_cross_a_link(links: tuple[ControlLink, ControlLink]) -> None:
    soon = time.monotonic() + LONG_S
    arrays = [np.arange(6, dtype=np.uint64).reshape(2, 3), np.empty((0, 4), np.uint8), np.uint32(7).reshape(())]
    links[0].send("load", {"bytes": 3}, soon, b"abc")
    links[0].send_arrays(arrays, soon)
    assert links[1].receive(("load",), soon) == ("load", {"bytes": 3})
    assert links[1].receive_bytes(3, soon) == b"abc"
    for sent, got in zip(arrays, links[1].receive_arrays([(a.shape, a.dtype) for a in arrays], soon), strict=True):
        np.testing.assert_array_equal(sent, got)
        assert got.dtype == sent.dtype


def test_a_long_message_is_refused_before_it_is_read(links: tuple[ControlLink, ControlLink]) -> None:
    links[0]._sock.sendall(struct.pack(">I", REQUESTS.most_bytes + 1))
    with pytest.raises(PeerError, match="too long"):
        links[1].receive(KINDS, time.monotonic() + LONG_S)


def test_silence_meets_the_deadline_and_an_end_is_a_lost_peer(links: tuple[ControlLink, ControlLink]) -> None:
    with pytest.raises(DeadlineError, match="party 0"):
        links[1].receive(KINDS, time.monotonic() + 0.05)
    assert links[1].alive
    links[0].close()
    with pytest.raises(PeerError, match="party 0 was lost"):
        links[1].receive(KINDS, time.monotonic() + LONG_S)
    assert not links[1].alive
