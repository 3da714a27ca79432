"""From the same keys the same bits, whatever becomes of the code in between: digests of whole runs, kept on record.

What is held of results depends on every mask, its place in the stream and every message; the text of the share-level
program, on every choice of the compiler.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc import Config
from jmpc.backends import LocalBackend
from jmpc.ir.text import print_program
from tests.executors.programs import PROGRAMS

ROW = np.linspace(-3, 3, 12).reshape(3, 4).astype(np.float32)
MORE: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...], Config]] = {
    "softmax": (lambda x: jax.nn.softmax(x), (ROW,), Config()),
    "quotient": (lambda x, y: x / (y * y + 1), (ROW, ROW), Config()),
    "norm": (lambda x: jnp.linalg.norm(x, axis=-1), (ROW,), Config()),
    "sigmoid and log": (lambda x: jnp.log(jax.nn.sigmoid(x)), (ROW,), Config()),
    "secret index": (lambda x, n: x[n], (ROW, np.array([2, 0], np.int32)), Config()),
    "long sort on a wan": (lambda x: jnp.sort(x), (np.tile(ROW.reshape(-1), 12),), Config(network="wan")),
    "integer quotient": (lambda x: x // 3 % 5, (np.arange(-6, 6, dtype=np.int32),), Config()),
    "median": (lambda x: jnp.median(x), (ROW,), Config(k=32, f=8)),
}
ALL = PROGRAMS | MORE


class Recorded(LocalBackend):
    """Keeps what the parties hold at the end of a run."""

    def __init__(self) -> None:
        self.ends: list[tuple[list[list[np.ndarray]], Any]] = []

    def execute(self, flow: Any, inputs: Any) -> Any:
        self.ends.append(super().execute(flow, inputs))
        return self.ends[-1]


def _urandom() -> Callable[[int], bytes]:
    """Stands in for the operating system's: the same bytes in every run."""
    drawn = itertools.count()
    return lambda count: hashlib.shake_128(next(drawn).to_bytes(8)).digest(count)


@pytest.mark.parametrize("name", ALL)
def test_a_run_is_bit_for_bit_what_it_was(
    name: str, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    function, args, config = ALL[name]
    compiled = jmpc.secure(function, config=config).lower(*args).compile()
    text = print_program(compiled.lowered.flow.share, locations=False).split("\n", 2)[2]
    backend = Recorded()
    monkeypatch.setattr(os, "urandom", _urandom())
    with jmpc.use(backend):
        compiled(*args)
    ((ends, counts),) = backend.ends
    lines = [f"program {_digest(text.encode())}", f"rounds {counts.rounds}, bytes {list(counts.bytes_sent)}"]
    lines += [f"party {party} {_digest(*(a.tobytes() for a in held))}" for party, held in enumerate(ends)]
    golden(f"runs/{name}", "\n".join(lines))


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]
