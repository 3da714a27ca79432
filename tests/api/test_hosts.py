"""A program compiled on machines with other instructions is the same text: constants are rounded once, on none of them
by its own fast mathematics."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import hashlib
import jax, jax.numpy as jnp, numpy as np
import jmpc

x = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
mixing = np.sin(np.arange(16.0)).reshape(4, 4)
functions = [
    jax.nn.gelu, jax.nn.softmax, jnp.exp, lambda x: jnp.log(x * x + 0.1), jnp.tanh, lambda x: 1 / (1 + x * x),
    lambda x: x @ jmpc.public(jnp.exp(mixing) / jnp.pi), lambda x: jnp.sqrt(jnp.var(x, 0)), jnp.sort,
    lambda x: jnp.fft.rfft(x).real, jax.grad(lambda x: jax.nn.sigmoid(x).sum()), lambda x: x * np.float32(1 / 3),
]
for f in functions:
    print(jmpc.secure(f).lower(x).program_hash)
"""
PLAIN = {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"}
ALL_FEATURES = (
    "import numpy._core._multiarray_umath as m; print(*(f for f in m.__cpu_dispatch__ if m.__cpu_features__[f]))"
)


def run(script: str, **environment: str) -> str:
    variables = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
    done = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_program_is_the_same_whatever_the_instructions() -> None:
    features = run(ALL_FEATURES).strip()
    here, there = run(SCRIPT), run(SCRIPT, **PLAIN, NPY_DISABLE_CPU_FEATURES=features)
    assert len(set(here.split())) == 12
    assert here == there
