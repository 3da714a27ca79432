"""Errors that travel: every foreign one is mapped, and none brings a value along."""

from __future__ import annotations

import ssl

import msgpack
import pytest
from cryptography.exceptions import InvalidTag

from jmpc import errors
from jmpc.errors import DeadlineError, FrameError, HandshakeError, JMPCError, PartyError, PeerError, ProgramError
from jmpc.runtime.failure import (
    Place,
    completed,
    foreign,
    from_abort,
    from_engine,
    from_foreign,
    from_record,
    to_abort,
    to_record,
)
from jmpc.runtime.messages import decode, encode
from jmpc.runtime.requests import REQUESTS
from jmpc.runtime.schema import SchemaError
from jmpc.service.words import PEERS

SECRET = "4711"
PLACE = Place(party=0, phase="handshake", round_no=3, peer="party 1")


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (InvalidTag(), FrameError),
        (ssl.SSLCertVerificationError(), HandshakeError),
        (ssl.SSLError(1, "x"), HandshakeError),
        (ssl.SSLEOFError(8, "x"), PeerError),
        (TimeoutError(SECRET), DeadlineError),
        (ConnectionResetError(SECRET), PeerError),
        (BrokenPipeError(SECRET), PeerError),
        (EOFError(SECRET), PeerError),
        (OSError(SECRET), PeerError),
        (msgpack.exceptions.ExtraData(1, SECRET), PeerError),
        (msgpack.exceptions.OutOfData(SECRET), PeerError),
        (UnicodeDecodeError("utf-8", b"4711", 0, 1, SECRET), PeerError),
        (SchemaError("done.seconds is not a finite number"), PeerError),
        (ZeroDivisionError(SECRET), PartyError),
    ],
)
def test_every_foreign_error_is_mapped_without_its_text(exc: Exception, kind: type[JMPCError]) -> None:
    with pytest.raises(PartyError) as caught, foreign(PLACE):
        raise exc
    assert type(caught.value) is kind
    assert caught.value.__cause__ is exc
    assert "party 0, phase handshake, round 3, peer party 1" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_our_own_errors_pass() -> None:
    error = FrameError("x")
    with pytest.raises(FrameError) as caught, foreign(PLACE):
        raise error
    assert caught.value is error


def test_an_engine_error_gives_type_and_line_only() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as exc:
        error = from_engine(exc, PLACE)
    assert SECRET not in str(error)
    assert "ValueError at " in error.why
    assert "test_failure.py" in error.why


@pytest.mark.parametrize("name", sorted(name for name in vars(errors) if name.endswith("Error")))
def test_every_error_of_jmpc_travels(name: str) -> None:
    error = vars(errors)[name]("what", where=PLACE, why="why", todo=["a", "b"])
    _, record = decode(encode("failed", to_record(error), REQUESTS), ["failed"], REQUESTS)
    back = from_record(record, 0)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert isinstance(back.where, Place)


def test_an_unknown_error_of_a_peer_becomes_a_party_error() -> None:
    record = to_record(FrameError("what", where=PLACE))
    assert type(from_record({**record, "error": "SystemExit"}, 1)) is PartyError


def test_an_abort_names_place_and_kind_but_no_text() -> None:
    fields = {"session": bytes(32), **to_abort(FrameError("what", where=PLACE, why=SECRET))}
    error = from_abort(decode(encode("abort", fields, PEERS), ["abort"], PEERS)[1], 2, "party 0")
    assert "party 0 aborted the session" in str(error)
    assert "party 2, phase handshake, round 3" in str(error)
    assert "FrameError" in error.why
    assert SECRET not in str(error)


def test_who_was_told_of_an_error_says_so_and_blames_nobody_else() -> None:
    """To its client, which looks for the one that found it, and to its own peers."""
    told = from_abort(to_abort(FrameError("what", where=PLACE)), 2, "party 0")
    assert to_record(told)["relayed"]
    assert not to_record(FrameError("what", where=PLACE))["relayed"]
    for fields in (to_record(told), to_abort(told), to_record(completed(told, 2, "run", 4))):
        assert fields["error"] == "PartyError"
    assert to_record(completed(told, 2, "run", 4))["relayed"]
    assert type(from_record(to_record(told), 2)) is PartyError


def test_a_place_is_filled_in_but_never_overwritten() -> None:
    error = completed(FrameError("x", where=Place(peer="party 1")), 0, "run", 4)
    assert str(error.where) == "party 0, phase run, round 4, peer party 1"
    kept = completed(FrameError("x", where=Place(phase="handshake", peer="party 1")), 0, "run", None)
    assert str(kept.where) == "party 0, phase handshake, peer party 1"
    named = ProgramError("x", where="line 3")
    assert completed(named, 0, "run", 4) is named
    assert isinstance(from_foreign(OSError(), PLACE), PeerError)


def test_an_error_carries_its_place_in_parts() -> None:
    """By number where it is a party; and so does one that another process raised."""
    error = FrameError("x", where=Place(party=1, phase="run", round_no=0, peer="party 0"))
    for found in (error, from_record(to_record(error), 1)):
        assert isinstance(found, PartyError)
        assert (found.party, found.peer, found.phase, found.round) == (1, 0, "run", 0)
    driver = HandshakeError("x", where=Place(phase="handshake", peer="the driver"))
    assert (driver.party, driver.peer, driver.phase, driver.round) == (None, "the driver", "handshake", None)
    nowhere = PartyError("x")
    assert (nowhere.party, nowhere.peer, nowhere.phase, nowhere.round) == (None, None, "", None)
