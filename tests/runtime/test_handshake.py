"""The handshake: one field that differs is refused at both ends, by name."""

from __future__ import annotations

import time
from dataclasses import fields, replace

import pytest

from jmpc.errors import HandshakeError
from jmpc.runtime.control import ControlLink
from jmpc.runtime.handshake import Terms, greet, library_version, require_equal, send_terms
from jmpc.runtime.identity import party_identity
from jmpc.runtime.join import config_hash, roster_hash

from .helpers import LONG_S, authority_and, tls_pair, together

TERMS = Terms("a" * 64, "b" * 64, version=library_version(), epoch=4, session=b"s" * 32, program="c" * 64)
OTHER = {
    "config": "d" * 64,
    "roster": "e" * 64,
    "protocol": 2,
    "version": "9.9.9",
    "epoch": 5,
    "session": b"t" * 32,
    "program": "f" * 64,
}


@pytest.fixture(scope="module")
def links():
    client, server = authority_and(party_identity(0), party_identity(1))
    one, other = tls_pair(client, server, party_identity(1), [party_identity(0)])
    pair = ControlLink(one, 0, "party 1"), ControlLink(other, 1, "party 0")  # type: ignore[arg-type]
    yield pair
    for link in pair:
        link.close()


def test_every_field_is_mutated_below() -> None:
    assert OTHER.keys() == {field.name for field in fields(Terms)}


def test_equal_terms_pass(links: tuple[ControlLink, ControlLink]) -> None:
    soon = time.monotonic() + LONG_S
    assert together([lambda: greet(links[0], TERMS, soon), lambda: greet(links[1], TERMS, soon)]) == [None, None]


@pytest.mark.parametrize("name", sorted(OTHER))
def test_one_other_field_is_refused_at_both_ends_by_name(links: tuple[ControlLink, ControlLink], name: str) -> None:
    soon = time.monotonic() + LONG_S
    other = replace(TERMS, **{name: OTHER[name]})
    results = together([lambda: greet(links[0], TERMS, soon), lambda: greet(links[1], other, soon)])
    for result, peer in zip(results, ("party 1", "party 0"), strict=True):
        assert isinstance(result, HandshakeError)
        assert f"{peer} disagrees on {name}" in str(result)
        assert str(OTHER[name])[:9] not in str(result)


def test_an_offer_carries_the_same_terms(links: tuple[ControlLink, ControlLink]) -> None:
    soon = time.monotonic() + LONG_S
    send_terms(links[0], "offer", TERMS, soon, contribution=b"x" * 32, bulk=False)
    _, theirs = links[1].receive(("offer",), soon)
    require_equal(links[1], TERMS, theirs, "handshake")
    with pytest.raises(HandshakeError, match="program"):
        require_equal(links[1], replace(TERMS, program="f" * 64), theirs, "handshake")


def test_config_and_roster_hashes_see_every_part() -> None:
    addresses = [("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 3)]
    assert config_hash("m:f", 1.0) == config_hash("m:f", 1) != config_hash("m:f", 2.0)
    assert config_hash("m:g", 1.0) != config_hash("m:f", 1.0) == config_hash("m:f", 1.0, ())
    assert len({config_hash("m:f", 1.0, modules) for modules in ((), ("ops",), ("ops", "more"), ("more",))}) == 4
    swapped = [addresses[1], addresses[0], addresses[2]]
    hashes = {roster_hash(addresses, b"ca"), roster_hash(swapped, b"ca"), roster_hash(addresses, b"cb")}
    assert len(hashes) == 3
