"""The families of protocols, by the name that `Config.protocol` gives them.

A family from elsewhere makes itself known by `register`, at each party too.
"""

from __future__ import annotations

from jmpc.config import PROTOCOLS, Config
from jmpc.errors import ConfigError
from jmpc.families.family import FAMILIES, Family
from jmpc.families.replicated3 import ABY3


def register(family: Family) -> None:
    """Let `Config(protocol=family.name)` pick it. Raises ConfigError where another family has the name, or what it says
    does not fit together."""
    if family.fault:
        raise ConfigError(f"the family {family.name!r} is not whole", where="Family", why=family.fault)
    if FAMILIES.setdefault(family.name, family) is not family:
        raise ConfigError(f"there is a family {family.name!r} already", where="Family.name", todo="choose another name")
    PROTOCOLS.add(family.name)


def of(config: Config) -> Family:
    """The family that a program is for."""
    return FAMILIES[config.protocol]


def pairs(parties: int) -> list[tuple[int, int]]:
    """All pairs of parties, each with the lower first: of parties 0 and 1, 1 and 2, and so on around, then of those two
    apart. What is counted by pair is in this order."""
    found = [(p, (p + step) % parties) for step in range(1, parties // 2 + 1) for p in range(parties)]
    return list(dict.fromkeys((min(pair), max(pair)) for pair in found))


register(ABY3)
