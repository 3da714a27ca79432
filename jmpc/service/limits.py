"""How much a party gives to its clients at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """sessions: that run at once.  memory: bytes of the arrays of all that run.  held: bytes of the inputs of calls
    that wait or run.  waiting: calls that wait, of all clients.  waiting_s: how long a call waits for its other
    clients, or for its turn.  links: connections of one client.  text: bytes of a program's text.  uploads: values of
    one client that are being written.  upload_s: how long one waits for its client to come back.  handshake_s: for a
    connection to prove who it is.  idle_s: for a client that says nothing."""

    sessions: int = 8
    memory: int = 4 << 30
    held: int = 8 << 30
    waiting: int = 1000
    waiting_s: float = 300.0
    links: int = 32
    text: int = 1 << 25
    uploads: int = 8
    upload_s: float = 3600.0
    handshake_s: float = 5.0
    idle_s: float = 3600.0
