"""A process with two devices: runs programs on one of them and on both, from the same keys and shares."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jmpc
from jmpc.backends import pieces
from jmpc.executors.code_store import CodeStore
from jmpc.executors.engine import PartyEngine
from jmpc.executors.local import fresh_keys, run_local
from jmpc.executors.placement import Placement
from jmpc.executors.spread import Spread

RNG = np.random.default_rng(7)
BIG = RNG.normal(size=(96, 120)).astype(np.float32)  # in parts
ODD = RNG.normal(size=(97, 101)).astype(np.float32)  # divides by nothing
PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "product": (lambda x: jnp.maximum(x @ x.T, 0.0), (BIG,)),
    "odd sizes": (lambda x: jnp.tanh(x) @ x.T, (ODD,)),
    "sort": (lambda x: jnp.sort(x, axis=0), (BIG[:, :90],)),
    "comparison": (lambda x: jnp.where(x > 0.25, x, -x).sum(0), (BIG,)),
    "loop": (lambda x: lax.fori_loop(0, 3, lambda i, y: jnp.maximum(y * 0.5 + x, 0.0), x), (BIG,)),
}


SEEN: list[int] = []  # on how many devices results lay
_CALL = Spread.__call__


def watched(self: Spread, *arguments: Any) -> Any:
    results = _CALL(self, *arguments)
    SEEN.extend(len(a.devices()) for a in results)
    return results


def main() -> None:
    Spread.__call__ = watched
    one, both = Placement.on(jax.devices()[:1]), Placement.over(jax.devices())
    assert PartyEngine(0, both).placement.spread
    for name, (body, arguments) in PROGRAMS.items():
        function = jmpc.secure(body)
        lowered = function.lower(*arguments)
        arrays = function.bind(arguments, {}).arrays()
        inputs: dict[int, np.ndarray] = {}
        for owner in lowered.owners.values():
            inputs |= owner.supply([arrays[n] for n in owner.arguments]).inputs
        shares = pieces(lowered.flow, [inputs[n] for n in range(len(inputs))], None)
        keys, found = fresh_keys(3), []
        for placement in (one, both):
            held, _ = run_local(lowered.flow.placed(placement), shares, keys, store=CodeStore(folder=lambda: None))
            found.append([array for mine in held for array in mine])
        pairs = list(zip(*found, strict=True))
        print(
            json.dumps(
                {
                    "name": name,
                    "arrays": len(pairs),
                    "devices": max(SEEN),
                    "differ": sum(not np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs),
                }
            )
        )


if __name__ == "__main__":
    main()
