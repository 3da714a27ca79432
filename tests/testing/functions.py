"""A function that a snippet can import."""

from __future__ import annotations

from typing import Any

import jax


def layer(x: Any, w: Any) -> Any:
    return jax.nn.relu(x @ w), (x @ w).argmax(-1)
