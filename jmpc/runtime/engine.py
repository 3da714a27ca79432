"""What the runtime asks of the engine that compiles and runs a party's program.

In: a program's text, a channel, keys and this party's pieces. Out: this party's pieces of the results.
The runtime knows engines by this protocol only; jmpc.executors.engine holds the real one.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from jmpc.ring.keys import MaskKeys
from jmpc.runtime.channel import Channel


class Engine(Protocol):
    """One party's compiler and executor; a factory `make_engine(party) -> Engine` builds it."""

    def load(self, text: str) -> str:
        """Parse and verify a program, build this party's plan; returns the program's sha256 in hex."""
        ...

    def compile(self, program_hash: str) -> None:
        """Make a loaded program ready to run; slow work belongs here, not into `run`."""
        ...

    def unload(self, program_hash: str) -> None:
        """Forget a program that was loaded, its plan and its code."""
        ...

    def run(
        self, program_hash: str, channel: Channel, mask_keys: MaskKeys, inputs: list[np.ndarray]
    ) -> list[np.ndarray]:
        """Run a compiled program on this party's pieces: flat lists of unsigned integer arrays."""
        ...
