"""Segments compiled by XLA: each distinct one once, kept on disk, and in the process as long as a plan needs it.

What goes in: plans. What comes out: for each segment, or for the three segments of a step where one process runs all
parties, an executable that takes mask buffers and arrays; or, where masks are drawn inside, keys and places. Compiles
run side by side in threads. Nothing here knows whose keys they are or how messages travel.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import jax
import numpy as np

from jmpc import _jax
from jmpc.ir.plan import Plan, Segment
from jmpc.ring import chacha

Executable = Any
HEAVY_WORK = 1 << 22

# XLA:CPU's fusion emitters make code about twice as fast and take twice as long about it (the choice is JAX 0.10's).
# Segments compile side by side, each in one part: in parts they take a quarter more time and six times the mappings.
_HEAVY = {"xla_backend_optimization_level": 1, "xla_cpu_parallel_codegen_split_count": 1}
_LIGHT = {**_HEAVY, "xla_cpu_use_fusion_emitters": False}

_lock = threading.Lock()

Group = tuple[Segment | None, ...]
Key = tuple[tuple[str, ...], bool]


@dataclass(frozen=True, eq=False)
class Code:
    """One executable."""

    call: Executable


KEPT = 1024  # of plans that are gone; each takes about 6 of the 65,530 memory mappings that Linux gives a process
_compiled: WeakValueDictionary[Key, Code] = WeakValueDictionary()
_recent: deque[Code] = deque(maxlen=KEPT)
_needed: WeakKeyDictionary[Plan, dict[tuple[int, bool], list[Code]]] = WeakKeyDictionary()


def groups(plans: Sequence[Plan]) -> Iterator[Group]:
    """What runs in one go: the segments of each step, of all the parties here; bodies of loops included."""
    for steps in zip(*(p.steps for p in plans), strict=True):
        for loops in zip(*(s.loops for s in steps), strict=True):
            yield from groups([lp.body for lp in loops])
        yield tuple(s.segment for s in steps)


def compile_plans(plans: Sequence[Plan], cache: Path | None = None, inside: bool = False) -> None:
    """Compile what is not compiled yet, for plans that run in lock step: one party's, or three.

    inside: masks are drawn in the segments. Raises whatever XLA raises."""
    needed, what = _needed.setdefault(plans[0], {}), (len(plans), inside)
    if what in needed:
        return
    with _lock:
        by_key = {(_key(g), inside): g for g in groups(plans) if any(g)}
        held = {key: code for key in by_key if (code := _compiled.get(key))}
        held |= _compile_all({key: g for key, g in by_key.items() if key not in held}, cache)
        _compiled.update(held)
        needed[what] = list(held.values())


def _compile_all(todo: dict[Key, Group], cache: Path | None) -> dict[Key, Code]:
    if not todo:
        return {}
    folder = str(cache) if cache else None
    with _jax.compilation_cache(folder), ThreadPoolExecutor(max(os.cpu_count() or 1, 1)) as pool:
        made = pool.map(lambda key: Code(_compile(todo[key], key[1])), todo)
        found = dict(zip(todo, made, strict=True))
    _recent.extend(found.values())
    return found


def executable(group: Group, inside: bool = False) -> Executable:
    """Takes the mask arguments of each segment in turn, then the arrays of each; returns the results of each."""
    return _compiled[_key(group), inside].call


def compiler_options(work: int, platform: str) -> dict[str, Any]:
    """XLA's options for code that does about `work` elementary operations."""
    if platform != "cpu":
        return {}
    return _jax.known_options(_HEAVY if work >= HEAVY_WORK else _LIGHT)


def _key(group: Group) -> tuple[str, ...]:
    return tuple(s.key if s else "" for s in group)


def _compile(group: Group, inside: bool) -> Executable:
    members = [s for s in group if s is not None]
    run, arguments = together(members, inside)
    options = compiler_options(sum(s.work for s in members), jax.default_backend())
    with _jax.x64():
        lowered = jax.jit(run, keep_unused=True).lower(*arguments)
        return lowered.compile(compiler_options=options)


def together(members: Sequence[Segment], inside: bool) -> tuple[Callable[..., list[Any]], list[jax.ShapeDtypeStruct]]:
    """The segments side by side, as one function of flat arguments, and the shapes of these."""
    masks = [a for s in members for r in s.masks for a in _mask_arguments(r.count, inside)]
    arrays = [jax.ShapeDtypeStruct(shape, dtype) for s in members for shape, dtype in s.input_specs]
    runs = [_with_masks(s) if inside else s.run for s in members]
    per_range = 2 if inside else 1

    def run(*args: Any) -> list[Any]:
        results: list[Any] = []
        mask_at, at = 0, sum(per_range * len(s.masks) for s in members)
        for member, one in zip(members, runs, strict=True):
            masks = args[mask_at : mask_at + per_range * len(member.masks)]
            results += one(*masks, *args[at : at + len(member.inputs)])
            mask_at += len(masks)
            at += len(member.inputs)
        return results

    return run, masks + arrays


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
