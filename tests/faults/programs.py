"""The programs that faults act on: few frames a round, as many rounds as real ones have.

What goes in: nothing. What comes out: calls of a raw client, and what they must give.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmpc
from jmpc.compiler import Flow
from tests.service.raw_client import Call, encoded, numbers

X = np.array([[1.5, -2.0], [0.25, 3.0]], np.float32)
Y = np.array([[2.0], [-1.0]], np.float32)
V = np.array([0.5, -1.25, 2.0, 0.75, -0.5, 1.0], np.float32)


def relu_product(x: Any, y: Any) -> Any:
    return jnp.maximum(x @ y, 0.0)


def softmax(v: Any) -> Any:
    return jax.nn.softmax(v)


def normalised(v: Any) -> Any:
    v = jnp.sort(v)
    return (v - v.mean()) / jnp.sqrt(v.var() + 0.1)


FUNCTIONS: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "relu_product": (relu_product, (X, Y)),
    "softmax": (softmax, (V,)),
    "normalised": (normalised, (V,)),
}


@dataclass(frozen=True)
class Program:
    name: str
    flow: Flow
    inputs: dict[int, np.ndarray]
    right: np.ndarray

    def call(self, label: str = "fault") -> Call:
        return Call(self.flow, self.inputs, label=label)

    def is_right(self, outputs: dict[int, np.ndarray]) -> bool:
        (found,) = outputs.values()
        return bool(np.allclose(numbers(found), self.right, atol=5e-3))


@cache
def program(name: str) -> Program:
    function, arguments = FUNCTIONS[name]
    flow, inputs = encoded(jmpc.secure(function), *arguments)
    return Program(name, flow, inputs, np.asarray(function(*arguments)))
