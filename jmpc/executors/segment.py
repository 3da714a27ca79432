"""Segments compiled by XLA: each distinct one once, kept in the process and on disk.

What goes in: plans. What comes out: for each segment key an executable that takes mask buffers and arrays; or, where
masks are drawn inside, a key and a place for each buffer. Compiles run side by side in threads. Nothing here knows
whose keys they are or how messages travel.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.ir.plan import Plan, Segment
from jmpc.ring import chacha

Executable = Any
HEAVY_WORK = 1 << 22

# XLA:CPU's fusion emitters make code about twice as fast and take twice as long about it.
_LIGHT = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
_HEAVY = {"xla_backend_optimization_level": 1}

_compiled: dict[tuple[str, bool], Executable] = {}
_lock = threading.Lock()


def segments(plan: Plan) -> Iterator[Segment]:
    """Every segment of a plan, bodies of loops included."""
    for step in plan.steps:
        for loop in step.loops:
            yield from segments(loop.body)
        if step.segment is not None:
            yield step.segment


def compile_plans(plans: Iterable[Plan], cache: Path | None = None, inside: bool = False) -> None:
    """Compile what is not compiled yet. inside: masks are drawn in the segments. Raises whatever XLA raises."""
    todo = {s.key: s for plan in plans for s in segments(plan) if (s.key, inside) not in _compiled}
    if not todo:
        return
    folder = str(cache) if cache else None
    with _lock, _jax.compilation_cache(folder), ThreadPoolExecutor(max(os.cpu_count() or 1, 1)) as pool:
        for key, executable in zip(todo, pool.map(lambda s: _compile(s, inside), todo.values()), strict=True):
            _compiled[key, inside] = executable


def executable(segment: Segment, inside: bool = False) -> Executable:
    return _compiled[segment.key, inside]


def _compile(segment: Segment, inside: bool) -> Executable:
    run = _with_masks(segment) if inside else segment.run
    masks = [s for r in segment.masks for s in _mask_arguments(r.count, inside)]
    arrays = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in segment.input_specs]
    options = (_HEAVY if segment.work >= HEAVY_WORK else _LIGHT) if jax.default_backend() == "cpu" else {}
    with _jax.x64():
        lowered = jax.jit(run, keep_unused=True).lower(*masks, *arrays)
        return lowered.compile(compiler_options=options)


def _mask_arguments(count: int, inside: bool) -> list[jax.ShapeDtypeStruct]:
    """What a range of masks is to a compiled segment: its words, or a key and the place of the first word."""
    if not inside:
        return [jax.ShapeDtypeStruct((count,), np.uint64)]
    return [jax.ShapeDtypeStruct((8,), np.uint32), jax.ShapeDtypeStruct((), np.uint64)]


def _with_masks(segment: Segment) -> Callable[..., list[Any]]:
    """The segment with its masks drawn in front of it, all in one block function."""
    counts = [r.count for r in segment.masks]

    def run(*args: Any) -> list[Any]:
        keys, starts, arrays = args[: 2 * len(counts) : 2], args[1 : 2 * len(counts) : 2], args[2 * len(counts) :]
        words = chacha.ranges(keys, starts, counts) if counts else []
        return segment.run(*words, *arrays)

    return run
