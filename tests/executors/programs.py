"""Small programs that between them use every part of an executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmpc import Config
from jmpc.ring.keys import MaskKeys

KEYS = [MaskKeys({(p + 1) % 3: bytes([p]) * 16, (p - 1) % 3: bytes([(p - 1) % 3]) * 16}) for p in range(3)]


def _draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def _mlp(x: Any, w: Any, b: Any, v: Any) -> Any:
    return jax.nn.relu(x @ w + b) @ v


def _product(x: Any, y: Any) -> Any:
    return (x @ y) * y[:3]


def _conv_pool(x: Any, kernel: Any, w: Any) -> Any:
    h = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    h = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return h.reshape(x.shape[0], -1) @ w


def _argmax(x: Any) -> Any:
    return jnp.argmax(x, -1)


def _bools(x: Any) -> Any:
    return x > 0, (x > 0) & (x < 1)


def _loop(x: Any, w: Any) -> Any:
    def body(carry: Any, t: Any) -> Any:
        return carry @ w + t, (carry.sum(), carry > t)

    return jax.lax.scan(body, x, jnp.arange(3.0), reverse=True)


def _sort(keys: Any) -> Any:
    """A long row is ranked by digits, of one bit here."""
    return jnp.argsort(keys)


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...], Config]] = {
    "mlp": (_mlp, (_draw(3, 5), _draw(5, 4), _draw(4), _draw(4, 2)), Config()),
    "product, k=32": (_product, (_draw(3, 5), _draw(5, 3)), Config(k=32, f=8)),
    "product, chacha20": (_product, (_draw(3, 5), _draw(5, 3)), Config(prf="chacha20")),
    "conv and pool": (_conv_pool, (_draw(1, 6, 6, 1), _draw(3, 3, 1, 2), _draw(8, 3)), Config()),
    "argmax": (_argmax, (_draw(2, 3),), Config()),
    "bools": (_bools, (_draw(3, 7),), Config()),
    "sort": (_sort, (_draw(100) > 0,), Config()),
    "loop": (_loop, (_draw(2, 3), _draw(3, 3) / 3), Config()),
}
