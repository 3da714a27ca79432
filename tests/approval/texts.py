"""Texts of small programs, each of another kind, made once."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmpc
from jmpc.api import Lowered


def _predict(x: Any, w: Any) -> Any:
    return jax.nn.relu(x @ w)


def _kept(x: Any, w: Any) -> Any:
    return x @ w, w


def _sort(x: Any, y: Any) -> Any:
    return jnp.sort(x + y)


def _loop(x: Any, y: Any) -> Any:
    return jax.lax.fori_loop(0, 5, lambda i, z: jnp.sort(z * y), x)


def _worked(x: Any, w: Any, n: Any) -> Any:
    return jnp.exp(x) * jnp.log(w) * n + w


X, W, ROW = np.ones((3, 4), np.float32), np.ones((4, 2), np.float32), np.ones(6, np.float32)
HOSPITAL = {"inputs": {"x": "hospital-a", "w": "model-owner"}, "outputs": "hospital-a"}
KINDS: dict[str, tuple[Any, dict[str, Any], tuple[Any, ...]]] = {
    "predict": (_predict, HOSPITAL, (X, W)),
    "for caller": (_predict, {"inputs": {"w": "model-owner"}}, (X, W)),
    "kept": (_kept, {**HOSPITAL, "outputs": ("hospital-a", jmpc.SECRET)}, (X, W)),
    "sort": (_sort, {"inputs": {"x": "hospital-a", "y": "bank"}, "outputs": "hospital-a"}, (ROW, ROW)),
    "loop": (_loop, {"inputs": {"x": "hospital-a", "y": "bank"}, "outputs": "hospital-a"}, (ROW, ROW)),
    "worked": (_worked, {**HOSPITAL, "public": ("n",), "outputs": "bank", "owners": ("bank",)},
               (ROW, ROW, np.float32(2))),
}  # fmt: skip


@cache
def lowered(kind: str, rows: int = 3) -> Lowered:
    """rows: of the first argument, so that there are many programs of a kind."""
    function, told, (first, *more) = KINDS[kind]
    if rows != 3 and first.ndim == 2:
        first = np.ones((rows, 4), np.float32)
    return jmpc.secure(function, **told).lower(first, *more)


@cache
def text_of(kind: str, rows: int = 3) -> str:
    return lowered(kind, rows).program_text


@cache
def of_stored() -> str:
    """The text of a program whose second input is shared already."""
    handle = jmpc.secure(lambda w: w, outputs=jmpc.SECRET)(W)
    told = {"inputs": {"x": "hospital-a"}, "outputs": "hospital-a"}
    return jmpc.secure(_predict, **told).lower(X, handle).program_text


def doctored(old: str, new: str, kind: str = "predict") -> str:
    """A text that somebody changed."""
    text = text_of(kind)
    assert old in text
    return text.replace(old, new)
