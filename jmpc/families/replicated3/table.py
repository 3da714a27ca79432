"""The table of this family's protocols. The files of `protocols/` fill it."""

from __future__ import annotations

from jmpc.families.protocol import Table

PROTOCOLS = Table("aby3")
protocol = PROTOCOLS.protocol
