"""Segments compiled by XLA: each distinct one once, kept in the process and on disk.

What goes in: plans. What comes out: for each segment key an executable that takes mask buffers and arrays. Compiles
run side by side in threads. Nothing here knows where masks come from or how messages travel.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.ir.plan import Plan, Segment

Executable = Any
OPTIONS: dict[str, dict[str, Any]] = {"cpu": {"xla_backend_optimization_level": 1}}

_compiled: dict[str, Executable] = {}
_lock = threading.Lock()


def segments(plan: Plan) -> Iterator[Segment]:
    """Every segment of a plan, bodies of loops included."""
    for step in plan.steps:
        for loop in step.loops:
            yield from segments(loop.body)
        if step.segment is not None:
            yield step.segment


def compile_plans(plans: Iterable[Plan], cache: Path | None = None) -> None:
    """Compile what is not compiled yet. Raises whatever XLA raises."""
    todo = {s.key: s for plan in plans for s in segments(plan) if s.key not in _compiled}
    if not todo:
        return
    folder = str(cache) if cache else None
    with _lock, _jax.compilation_cache(folder), ThreadPoolExecutor(max(os.cpu_count() or 1, 1)) as pool:
        for key, executable in zip(todo, pool.map(_compile, todo.values()), strict=True):
            _compiled[key] = executable


def executable(segment: Segment) -> Executable:
    return _compiled[segment.key]


def _compile(segment: Segment) -> Executable:
    masks = [jax.ShapeDtypeStruct((r.count,), np.uint64) for r in segment.masks]
    arrays = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in segment.input_specs]
    options = OPTIONS.get(jax.default_backend(), {})
    with _jax.x64():
        lowered = jax.jit(segment.run, keep_unused=True).lower(*masks, *arrays)
        return lowered.compile(compiler_options=options)
