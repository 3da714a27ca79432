"""What two ends must agree on before they work together, and the comparison.

In: a control link and this side's terms. Out: the peer's message, or HandshakeError naming the fields that
differ: at both ends, since each sends before it compares. The words of a peer are never repeated in an
error. This file derives no key.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from jmpc import __version__
from jmpc.errors import HandshakeError
from jmpc.runtime.control import ControlLink
from jmpc.runtime.failure import Place
from jmpc.runtime.messages import SESSION_BYTES

PROTOCOL = 1
_HINTS = {
    "protocol": "run the same version of jmpc everywhere",
    "version": "run the same version of jmpc everywhere",
    "config": "start all parties with the same settings",
    "roster": "start all parties with the same addresses and the same CA",
    "program": "load the same program at all parties",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """All that must be equal at both ends. A link is opened with no session and no program."""

    config: str
    roster: str
    protocol: int = PROTOCOL
    version: str = ""
    epoch: int = 0
    session: bytes = field(default=bytes(SESSION_BYTES), repr=False)
    program: str = ""

    def as_fields(self) -> dict[str, Any]:
        """The terms as the fields of a message."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def differing(self, other: dict[str, Any]) -> list[str]:
        """The names of the fields in which a peer's message differs."""
        return [field.name for field in fields(self) if getattr(self, field.name) != other[field.name]]


def library_version() -> str:
    """The version of jmpc that this process runs."""
    return __version__


def send_terms(link: ControlLink, kind: str, terms: Terms, deadline: float, **more: Any) -> None:
    """Send this side's half of a handshake (`hello` on a new link, `offer` in a session)."""
    link.send(kind, {**terms.as_fields(), **more}, deadline)


def require_equal(link: ControlLink, terms: Terms, theirs: dict[str, Any], phase: str) -> None:
    """Refuse the peer if its half differs in any field."""
    wrong = terms.differing(theirs)
    if wrong:
        raise HandshakeError(
            f"{link.peer} disagrees on {' and '.join(wrong)}",
            where=Place(party=link.party, phase=phase, peer=link.peer),
            why="both ends must have the same",
            todo=sorted({_HINTS[name] for name in wrong if name in _HINTS}),
        )


def greet(link: ControlLink, terms: Terms, deadline: float) -> None:
    """The handshake of a new link."""
    send_terms(link, "hello", terms, deadline)
    _, theirs = link.receive(("hello",), deadline)
    require_equal(link, terms, theirs, "handshake")
