"""Where and how the processes of one party meet, before any of them takes JAX.

In: an address and numbers. Out: a `HostOrder`; an address that is none, or that others may reach, is refused.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from jmpc.errors import ConfigError

HEAD = 0


@dataclass(frozen=True, slots=True)
class HostOrder:
    """One process of a party. address: `host:port` of the head.  count: of all processes.  index: of this one, 0 is the
    head.  deadline_s: for what all of them do together.  patience_s: for one that compiles, or waits for another party.
    launch_s: until all are there.  public: the address may be one of the internet."""

    address: str
    count: int
    index: int
    deadline_s: float = 60.0
    patience_s: float = 600.0
    launch_s: float = 120.0
    public: bool = False

    @property
    def said(self) -> str:
        """Which process this is, for people."""
        return f"host {self.index} of {self.count}, {self.address}"


def check_address(address: str, public: bool) -> None:
    """Raises ConfigError for an address that others than the party may reach, or that is none."""
    host, _, port = address.rpartition(":")
    try:
        found = ipaddress.ip_address(host.strip("[]"))
        inside = found.is_private and not found.is_unspecified
    except ValueError:
        found, inside = None, False
    if found is None or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(
            f"{address!r} is not where the hosts of a party meet",
            where="address",
            why="it is a number, not a name: a look-up could lead elsewhere",
            todo="write it as 10.0.0.1:7100 or [fd00::1]:7100",
        )
    if not inside and not public:
        raise ConfigError(
            f"the hosts of a party do not meet at {address}",
            where="address",
            why="shares and keys travel between them unencrypted, and that is no private address",
            todo="give one of a network of the party alone; where it is one all the same, say public = true",
        )
