"""Where a session failed, and the one place where foreign errors become errors of jmpc.

In: an exception of ssl, the operating system, msgpack, cryptography or an engine. Out: a JMPCError whose
`where` names party, phase, round and peer, and the plain record of it that travels to the others.
No text of a foreign exception is kept but that of ssl and of our schema: it may hold values.
"""

from __future__ import annotations

import ssl
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import msgpack
from cryptography.exceptions import InvalidTag

from jmpc import errors
from jmpc.errors import DeadlineError, FrameError, HandshakeError, HostError, JMPCError, PartyError, PeerError
from jmpc.runtime.schema import SchemaError

COMPARE_FILES = (
    "compare what `jmpc cluster show` prints at both ends; the newest cluster.toml is that of who runs the cluster"
)
_NO_ROUND = -1
_MOST_PEER = 64  # characters of a peer's name in a message: several clients that are missing have a longer one


class Place(str):
    """Where something failed: a string for the reader, with its parts for the program."""

    __slots__ = ("party", "peer", "phase", "round_no")
    party: int | None
    phase: str
    round_no: int | None
    peer: str

    def __new__(
        cls, *, party: int | None = None, phase: str = "", round_no: int | None = None, peer: str = ""
    ) -> Place:
        parts = [
            "" if party is None else f"party {party}",
            phase and f"phase {phase}",
            "" if round_no is None else f"round {round_no}",
            peer and f"peer {peer}",
        ]
        place = super().__new__(cls, ", ".join(part for part in parts if part))
        place.party, place.phase, place.round_no, place.peer = party, phase, round_no, peer
        return place

    @property
    def blamed(self) -> int | str | None:
        """The peer: a party by its number, any other by its name."""
        number = self.peer.removeprefix(_PARTY)
        return int(number) if number != self.peer and number.isdecimal() else self.peer or None


_PARTY = "party "


def party_name(index: int) -> str:
    """How messages name a party."""
    return f"{_PARTY}{index}"


def from_foreign(exc: BaseException, place: Place) -> PartyError:
    """The error of jmpc for an exception of a library below; raise it `from exc`."""
    peer = place.peer or "a peer"
    if isinstance(exc, InvalidTag):
        return FrameError("a frame is not authentic", where=place, why="its tag does not match key, header and content")
    if isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _from_ssl(exc, place)
    if isinstance(exc, TimeoutError):
        return DeadlineError(f"{peer} did not answer in time", where=place, why="the deadline passed")
    if isinstance(exc, OSError | EOFError):
        return PeerError(f"{peer} was lost", where=place, why=f"the connection ended ({type(exc).__name__})")
    if isinstance(exc, msgpack.exceptions.UnpackException | ValueError):
        why = str(exc) if isinstance(exc, SchemaError) else type(exc).__name__
        return PeerError(f"{peer} sent a malformed message", where=place, why=why)
    return from_engine(exc, place)


def from_engine(exc: BaseException, place: Place) -> PartyError:
    """The error for an exception out of an engine: its type and line, never its text."""
    return PartyError("the party's program failed", where=place, why=f"{type(exc).__name__} {_raised_at(exc)}".strip())


def _from_ssl(exc: ssl.SSLError, place: Place) -> PartyError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        why, todo = f"certificate: {getattr(exc, 'verify_message', 'not valid')}", [COMPARE_FILES]
    else:
        why = f"certificate or TLS: {getattr(exc, 'reason', None) or 'refused'}"
        todo = []
    kind = PeerError if place.phase == "run" else HandshakeError
    return kind(f"the TLS link to {place.peer or 'a peer'} was refused", where=place, why=why, todo=todo)


def _raised_at(exc: BaseException) -> str:
    """File, line and function of the innermost frame: public, unlike the text of the exception."""
    frames = traceback.extract_tb(exc.__traceback__)
    return f"at {frames[-1].filename}:{frames[-1].lineno} ({frames[-1].name})" if frames else ""


@contextmanager
def foreign(place: Place) -> Generator[None]:
    """Map every foreign exception of the block."""
    try:
        yield
    except JMPCError:
        raise
    except Exception as exc:
        raise from_foreign(exc, place) from exc


def completed(error: JMPCError, party: int, phase: str, round_no: int | None) -> JMPCError:
    """The same error with whatever its place did not say yet."""
    old = error.where if isinstance(error.where, Place) else None
    if old is None and error.where and not isinstance(error, HostError):  # the address within a party is its own affair
        return error  # The engine named a line of the user's program, which says more than a phase.
    place = Place(
        party=party,
        phase=(old and old.phase) or phase,
        round_no=old.round_no if old and old.round_no is not None else round_no,
        peer=old.peer if old else "",
    )
    done = type(error)(error.what, where=place, why=error.why, todo=error.todo)
    done.__cause__ = error.__cause__
    return done


_KINDS: dict[str, type[JMPCError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, JMPCError)
}


def to_abort(error: JMPCError) -> dict[str, Any]:
    """The fields of an `abort` message: no free text, a peer gets only what and where."""
    place = error.where if isinstance(error.where, Place) else Place()
    round_no = _NO_ROUND if place.round_no is None else place.round_no
    return {
        "error": _name(error),
        "phase": place.phase,
        "round": round_no,
        "peer": place.peer[:_MOST_PEER],
    }


class Relayed(PartyError):
    """A peer gave up, and said so: what is wrong, it knows itself."""


def from_abort(fields: dict[str, Any], party: int, sender: str) -> Relayed:
    """What `party` raises when `sender` tells it that it gave up."""
    round_no = None if fields["round"] == _NO_ROUND else fields["round"]
    there = Place(phase=fields["phase"], round_no=round_no, peer=fields["peer"])
    return Relayed(
        f"{sender} aborted the session",
        where=Place(party=party, phase=fields["phase"], round_no=round_no, peer=sender),
        why=f"{fields['error']} there ({there})",
    )


def to_record(error: JMPCError) -> dict[str, Any]:
    """The fields of a `failed` message. `relayed` in them: the party only passes on what a peer told it."""
    place = error.where if isinstance(error.where, Place) else Place()
    return {
        "error": _name(error),
        "what": error.what[:2000],
        "where": str(error.where)[:2000],
        "why": error.why[:2000],
        "todo": [remedy[:500] for remedy in error.todo[:8]],
        "phase": place.phase,
        "round": _NO_ROUND if place.round_no is None else place.round_no,
        "peer": place.peer[:_MOST_PEER],
        "relayed": isinstance(error, Relayed),
    }


def _name(error: JMPCError) -> str:
    return (PartyError if isinstance(error, Relayed) else type(error)).__name__


def from_record(record: dict[str, Any], party: int) -> JMPCError:
    """The error that `to_record` described, as raised by `party`."""
    kind = _KINDS.get(record["error"], PartyError)
    where: str = record["where"]
    if record["phase"]:
        round_no = None if record["round"] == _NO_ROUND else record["round"]
        where = Place(party=party, phase=record["phase"], round_no=round_no, peer=record["peer"])
    return kind(record["what"], where=where, why=record["why"], todo=record["todo"])
