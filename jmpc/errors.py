"""Every error that jmpc raises on purpose, one tree.

    JMPCError
    +-- UserError                   the program or its arguments; raised before anything is shared
    |   +-- ConfigError             a setting of jmpc.Config, jmpc.secure, jmpc.processes or a cluster
    |   +-- UnsupportedError        operations that have no secure form (all of them at once)
    |   +-- SecretBranchError       a Python `if`, `bool()` or `int()` on a secret
    |   +-- ArgumentError           wrong shape, dtype, owner or pytree at a call
    |   |   +-- RangeError          NaN, infinity, or a value beyond the number format
    |   +-- BoundError              a static bound that the number format cannot hold
    |   +-- CheckError              check mode found a wrong result or a wrap
    +-- ProgramError                IR text that does not parse, or breaks a rule of ir/spec.py
    +-- PartyError                  something went wrong between the parties; the session was aborted
    |   +-- HandshakeError          peers disagree: version, configuration, program, roster, certificate
    |   +-- PeerError               a peer was lost, or sent what it must not send
    |   |   +-- FrameError          a frame that is malformed, too long, replayed or not authentic
    |   +-- DeadlineError           a peer did not answer in time
    |   +-- RefusedError            a party refuses what it was asked: not approved, no consent, no receiver, no room
    |   +-- HostError               a host of this party itself was lost, where it has several
    |   +-- LaunchError             a party process could not be started
    +-- StoreError                  a party's stored shares: the folder, its key, its index, its disk
        +-- NotStoredError          no value of that name, or none any more
        +-- DamagedError            what lies on disk is not what was written; it is named
        +-- StoreFullError          no room: the quota, or the disk

A message says what, where, why and what to do. It never holds a share, a key or a secret value.

Warnings say the same of what is allowed, and may be meant otherwise. They come while a function is compiled, before
anything is shared:

    UserWarning
    +-- JMPCWarning
        +-- RangeWarning            right only while values keep a smaller range than the number format has
        +-- NothingSecretWarning    a secure call that computes on nothing that is secret
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class JMPCError(Exception):
    """Base of all errors of jmpc.

    what: the fault, in one line.  where: `file:line (function)`, a configuration key, or a phase and a
    peer.  why: the reason.  todo: what to do, one remedy a line.  reports: of a request to all parties, what each that
    failed said, by party.
    """

    reports: Mapping[int, JMPCError] = MappingProxyType({})

    def __init__(self, what: str, *, where: str = "", why: str = "", todo: str | list[str] = "") -> None:
        self.what, self.where, self.why = what, where, why
        self.todo = [todo] if isinstance(todo, str) and todo else list(todo)
        super().__init__(self.render())

    def render(self) -> str:
        """The message as the user reads it."""
        lines = [self.what]
        if self.where:
            lines.append(f"  --> {self.where}")
        if self.why:
            lines.append(f"  why: {self.why}")
        lines.extend(f"  fix: {remedy}" for remedy in self.todo)
        return "\n".join(lines)


class JMPCWarning(UserWarning):
    """Base of all warnings of jmpc."""


class RangeWarning(JMPCWarning): ...


class NothingSecretWarning(JMPCWarning): ...


class UserError(JMPCError): ...


class ConfigError(UserError): ...


class UnsupportedError(UserError): ...


class SecretBranchError(UserError): ...


class ArgumentError(UserError): ...


class RangeError(ArgumentError): ...


class BoundError(UserError): ...


class CheckError(UserError): ...


class ProgramError(JMPCError): ...


class PartyError(JMPCError):
    """party: the number of who raised it, or was lost.  peer: whom it blames, by number where it is a party, else by
    name.  phase: "launch", "handshake", "run", ...  round: of the exchange, counted from 0.  None, or no text, where it
    is not known."""

    @property
    def party(self) -> int | None:
        return getattr(self.where, "party", None)

    @property
    def peer(self) -> int | str | None:
        return getattr(self.where, "blamed", None)

    @property
    def phase(self) -> str:
        return getattr(self.where, "phase", "")

    @property
    def round(self) -> int | None:
        return getattr(self.where, "round_no", None)


class HandshakeError(PartyError): ...


class PeerError(PartyError): ...


class FrameError(PeerError): ...


class DeadlineError(PartyError): ...


class RefusedError(PartyError): ...


class HostError(PartyError): ...


class LaunchError(PartyError): ...


class CheatingDetected(PartyError): ...


class StoreError(JMPCError): ...


class NotStoredError(StoreError): ...


class DamagedError(StoreError): ...


class StoreFullError(StoreError): ...
