"""For each primitive without a secure form: why not, and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.errors import UnsupportedError

PRINTING = "printing a secret would show it: print public values, or return it to a receiver"
SECRET_KEY = (
    "whoever draws must know the key: make it public, secure(public=...), or draw with jmpc.random what no party knows"
)
ACROSS_DEVICES = "it works across devices of the user's own program; secrets live with the parties"
ORDER = "it orders side effects, of which a secure function has none: return the value to a receiver"
REFERENCE = "it reads or writes a mutable reference, which has no secure form: return the new value instead"
ITERATED = (
    "JAX iterates for as long as the value needs, which would show it: fit a polynomial or a table on your domain, or "
    "compute it before values of different owners meet"
)
FACTORED = "of factorizations, jnp.linalg.cholesky, qr, lu, eigh and svd have a secure form"
BITS = "a secret number has the bits of a ring element, not those of a float: use jnp.signbit, jnp.frexp, jnp.ldexp"
NEAREST = {
    "debug_print": PRINTING,
    "debug_callback": PRINTING,
    "pure_callback": "the host sees no secret: compute it with jax.numpy, or before values of different owners meet",
    "io_callback": "the host sees no secret: return the value to a receiver",
    "scatter-add": "use a one-hot matrix and a matrix product",
    **dict.fromkeys(("random_bits", "random_wrap", "random_split", "random_fold_in", "threefry2x32"), SECRET_KEY),
    **dict.fromkeys(("random_seed", "random_gamma", "random_unwrap", "rng_bit_generator"), SECRET_KEY),
    "rng_uniform": "its limits must be public: draw from 0 to 1 with jmpc.random.uniform, and scale",
    **dict.fromkeys(("all_gather", "all_to_all", "axis_index", "pmax", "pmin", "ppermute", "psum"), ACROSS_DEVICES),
    **dict.fromkeys(("ragged_all_to_all",), ACROSS_DEVICES),
    **dict.fromkeys(("after_all", "create_token"), ORDER),
    **dict.fromkeys(("get", "swap", "new_ref", "addupdate"), REFERENCE),
    **dict.fromkeys(("igamma", "igammac", "igamma_grad_a", "random_gamma_grad"), ITERATED),
    **dict.fromkeys(("polygamma", "regularized_incomplete_beta", "zeta"), ITERATED),
    **dict.fromkeys(("eig", "geqrf", "geqp3", "hessenberg", "householder_product", "ormqr", "schur"), FACTORED),
    "tridiagonal": FACTORED,
    "bitcast_convert_type": BITS,
    "mulhi": "the ring keeps the low half of a product: multiply integers of twice the width, and shift",
    "scaled_dot": "its scales are floats of 8 bits, which have no secure form: multiply by the scales yourself",
    "select_and_scatter": "of windows, maxima and sums and their gradients have a secure form",
}


def reason(primitive: str, inside: Sequence[str] = ()) -> str:
    """inside: what has no secure form in what JAX computes the primitive by."""
    known = NEAREST.get(primitive)
    if known is None and inside:
        return f"JAX computes it by {', '.join(sorted(set(inside)))}: compute it before values of different owners meet"
    return known or "it has no secure form here; compute it before values of different owners meet"


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
