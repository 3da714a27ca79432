"""The channels of this project do what every channel must do, for three parties and, in memory, for other numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jmpc.runtime.memory import memory_channels
from jmpc.testing.conformance.channels import CHANNELS, Connect

from .helpers import NetworkTrio


class InMemory:
    """The channels in memory, of so many parties."""

    def __init__(self, deadline_s: float, parties: int = 3) -> None:
        self.channels = memory_channels(deadline_s, parties=parties)

    def lose(self, party: int) -> None:
        self.channels[party].close()

    def close(self) -> None:
        for channel in self.channels:
            channel.close()


CONNECT: dict[str, Connect] = {
    "memory": InMemory,
    "memory of two": lambda deadline_s: InMemory(deadline_s, 2),
    "memory of four": lambda deadline_s: InMemory(deadline_s, 4),
    "network": NetworkTrio,
}


@pytest.mark.parametrize("kind", sorted(CONNECT))
@pytest.mark.parametrize("check", CHANNELS.checks.values(), ids=CHANNELS.checks)
def test_a_channel_does_what_every_channel_must(check: Callable[[Connect], None], kind: str) -> None:
    check(CONNECT[kind])
