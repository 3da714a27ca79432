"""What does more than compute: it prints, or calls the host.

What goes in: an equation. What comes out: whether it, or a body in it, acts. Such an equation is never run while the
compiler folds constants or counts trips, and never in a branch that may not be taken.
"""

from __future__ import annotations

from typing import Any

from jmpc import _jax

# JAX says of `pure_callback` that it has no effect; its function may raise all the same.
CALLS_HOST = {"pure_callback", "io_callback", "debug_callback", "debug_print", "check"}


def acts(eqn: Any) -> bool:
    if eqn.effects or eqn.primitive.name in CALLS_HOST:
        return True
    return any(acts(inner) for body in _jax.bodies_of(eqn) for inner in body.eqns)
