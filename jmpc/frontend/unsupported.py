"""For each primitive without a secure form: why not, and what to write instead."""

from __future__ import annotations

from jmpc.errors import UnsupportedError

PRINTING = "printing a secret would show it: print public values, or return it to a receiver"
SECRET_KEY = (
    "whoever draws must know the key: make it public, secure(public=...), or draw with jmpc.random what no party knows"
)
NEAREST = {
    "debug_print": PRINTING,
    "debug_callback": PRINTING,
    "pure_callback": "the host sees no secret: compute it with jax.numpy, or before values of different owners meet",
    "io_callback": "the host sees no secret: return the value to a receiver",
    "scatter-add": "use a one-hot matrix and a matrix product",
    **dict.fromkeys(("random_bits", "random_wrap", "random_split", "random_fold_in", "threefry2x32"), SECRET_KEY),
}


def reason(primitive: str) -> str:
    return NEAREST.get(primitive, "it has no secure form here; compute it before values of different owners meet")


def raise_if_any(missing: dict[tuple[str, str], str], function: str) -> None:
    """One error that lists every operation without a secure form."""
    if not missing:
        return
    lines = [f"{name} on a secret, at {loc}: {hint}" for (name, loc), hint in missing.items()]
    raise UnsupportedError(
        f"{function}: {len(lines)} operation{'s have' if len(lines) > 1 else ' has'} no secure form",
        where=next(iter(missing))[1],
        why="on secret values only some operations have a protocol",
        todo=lines,
    )
