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
from jmpc.runtime.identity import party_identity
from jmpc.runtime.messages import MESSAGE_BYTES, SCHEMAS, decode, describe, encode, sizes_checked
from jmpc.runtime.schema import SchemaError

from .helpers import LONG_S, authority_and, tls_pair

quick = settings(max_examples=200, deadline=None, derandomize=True)
KINDS = list(SCHEMAS)
TERMS: dict[str, Any] = {
    "protocol": 1,
    "version": "0.1.0",
    "config": "a" * 64,
    "roster": "b" * 64,
    "epoch": 3,
    "session": b"s" * 32,
    "program": "c" * 64,
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
    "hello": TERMS,
    "offer": {**TERMS, "contribution": b"c" * 32, "bulk": True},
    "abort": {"epoch": 3, "error": "FrameError", "phase": "run", "round": -1, "peer": ""},
    "load": {"bytes": 10},
    "compile": {"program": "c" * 64},
    "run": {
        "epoch": 3,
        "session": b"s" * 32,
        "program": "c" * 64,
        "inputs": [["", "u8", [2, 3]], ["w", "", []]],
        "keep": [[0, "w"]],
    },
    "deliver": {"epoch": 3},
    "drop": {"handle": "w"},
    "unload": {"program": "c" * 64},
    "ready": {},
    "loaded": {"program": "c" * 64},
    "compiled": {},
    "done": {
        "epoch": 3,
        "seconds": 0.5,
        "rounds": 2,
        "sent": [[1, 1], [2, 2]],
        "received": [[1, 3], [2, 4]],
        "outputs": [["u4", []]],
    },
    "dropped": {},
    "unloaded": {},
    "failed": FAILURE,
}
OTHER_VALUES = [None, -(2**40), 1.5, float("nan"), True, "\x00" * 3, "x" * 3000, b"zz", [], [[[[[[]]]]]], {"a": 1}]
FIELDS = [(kind, name) for kind, fields in GOOD.items() for name in fields]


def test_every_kind_has_an_example() -> None:
    assert GOOD.keys() == SCHEMAS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_messages_round_trip(kind: str) -> None:
    assert decode(encode(kind, GOOD[kind]), [kind]) == (kind, GOOD[kind])


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_missing_field_is_refused(kind: str, name: str) -> None:
    fields = {key: value for key, value in GOOD[kind].items() if key != name}
    with pytest.raises(SchemaError):
        decode(msgpack.packb([kind, fields]), [kind])


@pytest.mark.parametrize("kind", KINDS)
def test_an_extra_key_is_refused(kind: str) -> None:
    with pytest.raises(SchemaError):
        decode(msgpack.packb([kind, {**GOOD[kind], "more": 1}]), [kind])


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_field_of_another_type_or_size_is_refused(kind: str, name: str) -> None:
    refusals = []
    for value in OTHER_VALUES:
        try:
            decode(msgpack.packb([kind, {**GOOD[kind], name: value}]), [kind])
        except SchemaError as exc:
            refusals.append(str(exc))
    assert len(refusals) >= len(OTHER_VALUES) - 3  # each field has few other values that it takes
    assert "zz" not in " ".join(refusals)


def test_a_kind_that_is_not_awaited_is_refused() -> None:
    with pytest.raises(SchemaError, match="not expected"):
        decode(encode("ready", {}), ["done", "failed"])


@quick
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(SchemaError):
        decode(payload, KINDS)


@quick
@given(st.sampled_from(KINDS), st.data())
def test_a_changed_byte_gives_a_valid_message_or_a_refusal(kind: str, data: st.DataObject) -> None:
    payload = bytearray(encode(kind, GOOD[kind]))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        found, fields = decode(payload, KINDS)
    except SchemaError:
        return
    assert encode(found, fields)


def test_a_key_that_comes_twice_is_refused() -> None:
    payload = b"\x92" + msgpack.packb("deliver") + b"\x82" + (msgpack.packb("epoch") + b"\x01") * 2
    with pytest.raises(SchemaError, match="twice"):
        decode(payload, ["deliver"])


@pytest.mark.parametrize("code", [-1, 0, 42])
def test_an_extension_type_is_refused(code: int) -> None:
    body = b"\xd6" + struct.pack("b", code) + b"\0\0\0\1"
    with pytest.raises(SchemaError):
        decode(b"\x92" + msgpack.packb("deliver") + b"\x81" + msgpack.packb("epoch") + body, ["deliver"])


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(SchemaError):
        decode(b"\x91" * 100_000, KINDS)


def test_declared_arrays_are_limited_and_of_known_types() -> None:
    assert sizes_checked([("u8", [2, 3]), ("u1", [])]) == [((2, 3), np.dtype("u8")), ((), np.dtype("u1"))]
    with pytest.raises(SchemaError, match="too large"):
        sizes_checked([("u8", [2**20, 2**20])])
    for bad in (np.zeros(2), np.zeros(2, np.int64), np.zeros(2, bool), np.array([object()])):
        with pytest.raises(TypeError):
            describe(bad)


@pytest.fixture
def links():
    client, server = authority_and(party_identity(0), party_identity(1))
    one, other = tls_pair(client, server, party_identity(1), [party_identity(0)])
    pair = ControlLink(one, 0, "party 1"), ControlLink(other, 1, "party 0")  # type: ignore[arg-type]
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
    links[0]._sock.sendall(struct.pack(">I", MESSAGE_BYTES + 1))
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
